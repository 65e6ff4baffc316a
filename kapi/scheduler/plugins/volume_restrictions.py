"""VolumeRestrictions: a ReadWriteOncePod claim serves one pod at a time."""

from kapi.scheduler.cache import Cache
from kapi.scheduler.framework import SKIP, ClusterEvent, EventKind, PreFilterResult, Rejection
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo
from kapi.scheduler.volumes import Volumes, claims_of

_IN_USE = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode "
    "already in-use by another pod"
)


class VolumeRestrictions:
    name = "VolumeRestrictions"

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def pre_filter(self, pod: PodInfo, cache: Cache) -> PreFilterResult:
        """State: the names of the pod's claims that only one pod may use, if one is in use."""
        exclusive = {use.name for use in claims_of(pod) if self._is_exclusive(pod, use.name)}
        if not exclusive:
            return SKIP
        users = frozenset(
            node.name
            for node in cache.nodes()
            for other in node.pods.values()
            if other.namespace == pod.namespace
            and other.uid != pod.uid
            and any(use.name in exclusive for use in claims_of(other))
        )
        return PreFilterResult(state=users) if users else SKIP

    def filter(self, state: frozenset[str], pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return Rejection(self.name, (_IN_USE,))

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        return event.kind in (EventKind.ASSIGNED_POD_DELETE, EventKind.VOLUME_CHANGE)

    def _is_exclusive(self, pod: PodInfo, claim_name: str) -> bool:
        claim = self._volumes.claim(pod.namespace, claim_name)
        return claim is not None and "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ())
