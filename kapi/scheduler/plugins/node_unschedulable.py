"""NodeUnschedulable: cordoned nodes take only pods that tolerate it."""

from kapi.api.node_selector import NO_SCHEDULE, tolerates
from kapi.scheduler.framework import NODE_EVENTS, ClusterEvent, EventKind, Rejection
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo

_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": NO_SCHEDULE}


class NodeUnschedulable:
    name = "NodeUnschedulable"

    def filter(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if not node.unschedulable or any(tolerates(t, _TAINT) for t in pod.tolerations):
            return None
        return Rejection(self.name, ("node(s) were unschedulable",), resolvable=False)

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind in NODE_EVENTS and event.node is not None:
            return self.filter(pod, event.node) is None
        return event.kind is EventKind.POD_UPDATE
