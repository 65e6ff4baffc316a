"""A new node takes no pods until it has reported Ready.

Source: k8s.io/kubernetes `plugin/pkg/admission/nodetaint`.
"""

from kapi.admission.plugin import AdmissionPlugin
from kapi.registry.admission import AdmissionRequest

_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(AdmissionPlugin):
    def handles(self, request: AdmissionRequest) -> bool:
        return (
            request.resource.qualified == "nodes"
            and request.operation == "CREATE"
            and not request.subresource
        )

    async def mutate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        spec = request.obj.setdefault("spec", {})
        taints = spec.setdefault("taints", [])
        if not any(
            taint.get("key") == _NOT_READY["key"] and taint.get("effect") == _NOT_READY["effect"]
            for taint in taints
        ):
            taints.append(dict(_NOT_READY))
