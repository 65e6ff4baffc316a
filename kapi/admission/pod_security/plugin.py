"""Refuses pods, and warns of them, as the labels of their namespace ask.

Source: k8s.io/pod-security-admission `admission/admission.go`. Audit annotations are not written.
"""

from collections.abc import Iterable

from kapi.admission.plugin import AdmissionPlugin, refuse
from kapi.admission.pod_security.evaluate import violations
from kapi.admission.pod_security.levels import Policy, Standard, policy_of
from kapi.api.object import Object, labels_of, metadata, name_of
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest

_IGNORED_SUBRESOURCES = frozenset(
    ("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status")
)
_TEMPLATES = {
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_MOST_PODS = 3000


class PodSecurity(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        if request.operation not in ("CREATE", "UPDATE"):
            return False
        resource = request.resource.qualified
        if resource == "pods":
            return request.subresource not in _IGNORED_SUBRESOURCES
        return not request.subresource and (resource == "namespaces" or resource in _TEMPLATES)

    async def validate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        resource = request.resource.qualified
        if resource == "namespaces":
            self._judge_namespace(request, request.obj)
            return
        namespace = self._lookup.get("namespaces", "", request.namespace)
        policy = policy_of(labels_of(namespace or {}))
        if resource == "pods":
            self._judge_pod(request, request.obj, policy)
        else:
            self._warn_of_template(request, request.obj, policy)

    def _judge_pod(self, request: AdmissionRequest, pod: Object, policy: Policy) -> None:
        if request.old is not None and not _differs(pod, request.old):
            return
        found = violations(metadata(pod), pod.get("spec") or {}, policy.enforce)
        if found:
            text = f'violates PodSecurity "{policy.enforce}": {", ".join(found)}'
            raise refuse(request, text)
        _warn(request, metadata(pod), pod.get("spec") or {}, policy.warn)

    def _warn_of_template(self, request: AdmissionRequest, obj: Object, policy: Policy) -> None:
        template = obj
        for key in _TEMPLATES[request.resource.qualified]:
            template = template.get(key) or {}
        _warn(request, template.get("metadata") or {}, template.get("spec") or {}, policy.warn)

    # Namespaces ----------------------------------------------------------------------------------

    def _judge_namespace(self, request: AdmissionRequest, namespace: Object) -> None:
        new, old = labels_of(namespace), labels_of(request.old or {})
        now, before = policy_of(new).enforce, policy_of(old).enforce
        if request.old is None or now == before or now.strictness < before.strictness:
            return
        request.ctx.warnings.extend(self._existing(name_of(namespace), now))

    def _existing(self, namespace: str, standard: Standard) -> list[str]:
        """Warnings of the pods that a stricter standard would not have let in."""
        pods = list(self._lookup.list("pods", namespace))
        shown = sorted(pods[:_MOST_PODS], key=name_of)
        by_reason: dict[str, list[str]] = {}
        for pod in shown:
            found = violations(pod.get("metadata") or {}, pod.get("spec") or {}, standard)
            if found:
                reasons = ", ".join(text.partition(" (")[0] for text in found)
                by_reason.setdefault(reasons, []).append(name_of(pod))
        warnings = sorted(_summary(names, reasons) for reasons, names in by_reason.items())
        if warnings:
            warnings.insert(
                0,
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce '
                f'level "{standard}"',
            )
        if len(pods) > _MOST_PODS:
            warnings.append(
                "new PodSecurity enforce level only checked against the first "
                f"{_MOST_PODS} of {len(pods)} existing pods"
            )
        return warnings


def _summary(names: list[str], reasons: str) -> str:
    others = len(names) - 1
    if others == 0:
        return f"{names[0]}: {reasons}"
    return f"{names[0]} (and {others} other {'pod' if others == 1 else 'pods'}): {reasons}"


def _warn(request: AdmissionRequest, meta: Object, spec: Object, standard: Standard) -> None:
    found = violations(meta, spec, standard)
    if found:
        text = f'would violate PodSecurity "{standard}": {", ".join(found)}'
        request.ctx.warnings.append(text)


def _differs(new: Object, old: Object) -> bool:
    """Does an update run other images, or more or fewer containers?"""
    return any(
        list(_images(new.get("spec") or {}, field)) != list(_images(old.get("spec") or {}, field))
        for field in _CONTAINERS
    )


def _images(spec: Object, field: str) -> Iterable[str]:
    return (str(item.get("image", "")) for item in spec.get(field) or ())
