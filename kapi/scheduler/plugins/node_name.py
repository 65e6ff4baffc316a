"""NodeName: a pod that names its node goes nowhere else."""

from kapi.scheduler.framework import ClusterEvent, EventKind, Rejection
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo


class NodeName:
    name = "NodeName"

    def filter(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if not pod.node_name or pod.node_name == node.name:
            return None
        reason = "node(s) didn't match the requested node name"
        return Rejection(self.name, (reason,), resolvable=False)

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        return event.kind is EventKind.NODE_ADD
