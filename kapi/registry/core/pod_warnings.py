"""Warnings about pods that work, but not as their author may think.

Source: k8s.io/kubernetes `pkg/api/pod/warnings.go`.
"""

from kapi.api.object import Object, annotations_of
from kapi.registry.core.quantities import amount

_DEAD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SHOWN = {"storageos": "storageOS"}
_APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_BYTE_RESOURCES = ("memory", "ephemeral-storage")


def pod_warnings(pod: Object, old: Object | None) -> list[str]:
    """For a pod; an update that changes no spec warns of nothing."""
    if old is not None and old.get("spec") == pod.get("spec"):
        return []
    return spec_warnings(pod.get("spec") or {}, "spec")


def app_armor_warnings(pod: Object) -> list[str]:
    """For the annotations that a new pod uses in place of fields; said of invalid pods too."""
    names = {item.get("name") for item in (pod.get("spec") or {}).get("containers") or ()}
    return [
        f"metadata.annotations[{key}]: deprecated since v1.30; "
        'use the "appArmorProfile" field instead'
        for key in sorted(annotations_of(pod))
        if key.startswith(_APPARMOR_PREFIX) and key.removeprefix(_APPARMOR_PREFIX) in names
    ]


def spec_warnings(spec: Object, path: str) -> list[str]:
    """For the spec of a pod or of a template."""
    texts: list[str] = []
    for index, volume in enumerate(spec.get("volumes") or ()):
        texts += _volume(volume, f"{path}.volumes[{index}]")
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            texts.append(f'{path}.imagePullSecrets[{index}].name: invalid empty name ""')
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            texts += _container(container, f"{path}.{kind}[{index}]")
    return texts


def dead_source_warnings(volume: Object, path: str, sources: tuple[str, ...]) -> list[str]:
    """For those of the sources that no kubelet mounts any more."""
    return [
        f"{path}.{_SHOWN.get(source, source)}: {_DEAD_VOLUMES[source]}"
        for source in sources
        if volume.get(source) is not None
    ]


def _volume(volume: Object, path: str) -> list[str]:
    texts = dead_source_warnings(volume, path, tuple(_DEAD_VOLUMES))
    projected = volume.get("projected")
    if projected is not None:
        sources = projected.get("sources") or []
        if not any(source for source in sources):
            texts.append(f'volume "{volume.get("name")}" (Projected) has no sources provided')
    return texts


def _container(container: Object, path: str) -> list[str]:
    texts: list[str] = []
    resources = container.get("resources") or {}
    for kind in ("limits", "requests"):
        for name in _BYTE_RESOURCES:
            quantity = (resources.get(kind) or {}).get(name)
            if quantity is not None and amount(quantity) % 1:
                texts.append(
                    f"{path}.resources.{kind}[{name}]: fractional byte value "
                    f'"{quantity}" is invalid, must be an integer'
                )
    seen: dict[str, int] = {}
    for index, variable in enumerate(container.get("env") or ()):
        name = str(variable.get("name") or "")
        if name in seen:
            texts.append(
                f'{path}.env[{index}]: hides previous definition of "{name}", which may be '
                "dropped when using apply"
            )
        seen[name] = index
    return texts
