"""DynamicResources: kapi allocates no devices; a pod that claims some is told so."""

from typing import Any

from kapi.scheduler.cache import Cache
from kapi.scheduler.framework import SKIP, ClusterEvent, EventKind, PreFilterResult, Rejection
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo


class DynamicResources:
    name = "DynamicResources"

    def pre_filter(self, pod: PodInfo, cache: Cache) -> PreFilterResult:
        if not pod.spec.get("resourceClaims"):
            return SKIP
        reason = "pod has resource claims, and dynamic resource allocation is not built"
        return PreFilterResult(rejection=Rejection(self.name, (reason,), resolvable=False))

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        return event.kind is EventKind.POD_UPDATE
