"""A pod carries the zone and region of its node as labels.

Source: k8s.io/kubernetes `plugin/pkg/admission/podtopologylabels`.
"""

from kapi.admission.plugin import AdmissionPlugin
from kapi.api.object import Object, labels_of, metadata
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest

_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        if request.resource.qualified != "pods":
            return False
        created = request.operation == "CREATE" and not request.subresource
        return created or (request.operation == "UPDATE" and request.subresource == "binding")

    async def mutate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        node = self._node_of(request.obj)
        if node is None:
            return
        copied = {key: labels_of(node)[key] for key in _LABELS if key in labels_of(node)}
        if copied:
            meta = metadata(request.obj)
            meta["labels"] = {**(meta.get("labels") or {}), **copied}

    def _node_of(self, pod: Object) -> Object | None:
        name = (pod.get("spec") or {}).get("nodeName")
        return self._lookup.get("nodes", "", name) if name else None
