"""Pods stay 300 s on a node that is not ready or unreachable, unless they say otherwise.

Source: k8s.io/kubernetes `plugin/pkg/admission/defaulttolerationseconds`.
"""

from kapi.admission.plugin import AdmissionPlugin
from kapi.registry.admission import AdmissionRequest

_KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_SECONDS = 300


class DefaultTolerationSeconds(AdmissionPlugin):
    def handles(self, request: AdmissionRequest) -> bool:
        return (
            request.resource.qualified == "pods"
            and not request.subresource
            and request.operation in ("CREATE", "UPDATE")
        )

    async def mutate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        spec = request.obj.get("spec") or {}
        tolerations = list(spec.get("tolerations") or ())
        missing = [key for key in _KEYS if not any(_covers(item, key) for item in tolerations)]
        if missing:
            spec["tolerations"] = tolerations + [_toleration(key) for key in missing]


def _covers(toleration: dict[str, object], key: str) -> bool:
    return (toleration.get("key") or key) == key and toleration.get("effect") in (
        None,
        "",
        "NoExecute",
    )


def _toleration(key: str) -> dict[str, object]:
    return {
        "key": key,
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": _SECONDS,
    }
