"""Security contexts in the runtime's terms. Pure.

Upstream: pkg/securitycontext/util.go, pkg/kubelet/kuberuntime/security_context.go.
"""

from typing import Any

from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.kubelet.runtime.interface import Image, SecuritySpec


class NonRootViolation(Exception):
    """The container would run as root though it must not; a configuration error."""


def pod_name(pod: Object) -> str:
    """`name_namespace(uid)`, as messages spell a pod."""
    return f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"


def effective(pod: Object, container: Object) -> dict[str, Any]:
    """The container's fields over the pod's."""
    merged = dict(pod["spec"].get("securityContext") or {})
    own = container.get("securityContext") or {}
    merged.update({name: value for name, value in own.items() if value is not None})
    return merged


def check_non_root(pod: Object, container: Object, image: Image) -> None:
    """Raises NonRootViolation."""
    security = effective(pod, container)
    if not security.get("runAsNonRoot"):
        return
    where = f'(pod: "{pod_name(pod)}", container: {container["name"]})'
    user = security.get("runAsUser")
    if user is not None:
        if int(user) == 0:
            raise NonRootViolation(f"container's runAsUser breaks non-root policy {where}")
        return
    image_user = image.user.partition(":")[0]
    if image_user and not image_user.isdigit():
        raise NonRootViolation(
            f"container has runAsNonRoot and image has non-numeric user ({image_user}), "
            f"cannot verify user is non-root {where}"
        )
    if not image_user or int(image_user) == 0:
        raise NonRootViolation(f"container has runAsNonRoot and image will run as root {where}")


def security_spec(pod: Object, container: Object, image: Image, seccomp_root: str) -> SecuritySpec:
    """Everything the runtime needs to know; `seccomp_root` holds localhost profiles."""
    security = effective(pod, container)
    of_pod = pod["spec"].get("securityContext") or {}
    groups = [str(group) for group in of_pod.get("supplementalGroups") or ()]
    if of_pod.get("fsGroup") is not None:
        groups.insert(0, str(of_pod["fsGroup"]))
    capabilities = security.get("capabilities") or {}
    privileged = bool(security.get("privileged"))
    return SecuritySpec(
        user=_user(security, image),
        groups=tuple(groups),
        privileged=privileged,
        read_only_root=bool(security.get("readOnlyRootFilesystem")),
        no_new_privileges=security.get("allowPrivilegeEscalation") is False,
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        seccomp="" if privileged else _seccomp(security, seccomp_root),
    )


def _user(security: dict[str, Any], image: Image) -> str:
    user, group = security.get("runAsUser"), security.get("runAsGroup")
    if user is None and group is None:
        return ""
    name = str(user) if user is not None else image.user.partition(":")[0] or "0"
    return f"{name}:{group}" if group is not None else name


def _seccomp(security: dict[str, Any], root: str) -> str:
    profile = security.get("seccompProfile") or {}
    kind = profile.get("type") or "Unconfined"
    if kind == "RuntimeDefault":
        return ""
    if kind == "Localhost":
        return f"localhost/{root}/{profile.get('localhostProfile', '')}"
    return "unconfined"
