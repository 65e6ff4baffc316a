"""VolumeZone: a volume labelled with a zone or region is used from nodes there only."""

from collections.abc import Mapping

from kapi.api.object import labels_of
from kapi.scheduler.cache import Cache
from kapi.scheduler.framework import (
    NODE_EVENTS,
    SKIP,
    ClusterEvent,
    EventKind,
    PreFilterResult,
    Rejection,
)
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import REGION_LABEL, ZONE_LABEL, PodInfo
from kapi.scheduler.volumes import Volumes, claims_of

_KEYS = (
    ZONE_LABEL,
    REGION_LABEL,
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
# A label value may name several zones.
_SEPARATOR = "__"


class VolumeZone:
    name = "VolumeZone"

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def pre_filter(self, pod: PodInfo, cache: Cache) -> PreFilterResult:
        wanted: list[tuple[str, frozenset[str]]] = []
        for use in claims_of(pod):
            claim = self._volumes.claim(pod.namespace, use.name) or {"spec": {}}
            volume = self._volumes.volume(claim["spec"].get("volumeName") or "")
            labels: Mapping[str, str] = labels_of(volume) if volume else {}
            wanted += [(k, frozenset(labels[k].split(_SEPARATOR))) for k in _KEYS if k in labels]
        return PreFilterResult(state=wanted) if wanted else SKIP

    def filter(
        self, state: list[tuple[str, frozenset[str]]], pod: PodInfo, node: NodeInfo
    ) -> Rejection | None:
        if not any(key in node.labels for key in _KEYS):
            return None
        if all(node.labels.get(key) in values for key, values in state):
            return None
        return Rejection(self.name, ("node(s) had no available volume zone",), resolvable=False)

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        return event.kind is EventKind.VOLUME_CHANGE or event.kind in NODE_EVENTS
