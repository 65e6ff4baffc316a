"""NodePorts: two pods on a node cannot have the same host port."""

from kapi.scheduler.framework import ClusterEvent, EventKind, Rejection
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import HostPort, PodInfo

_EVERY_ADDRESS = "0.0.0.0"


class NodePorts:
    name = "NodePorts"

    def filter(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if not pod.host_ports or not node.used_ports:
            return None
        if not any(_clash(a, b) for a in pod.host_ports for b in node.used_ports):
            return None
        reason = "node(s) didn't have free ports for the requested pod ports"
        return Rejection(self.name, (reason,))

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind is EventKind.ASSIGNED_POD_DELETE and event.pod is not None:
            return any(_clash(a, b) for a in pod.host_ports for b in event.pod.host_ports)
        return event.kind in (EventKind.NODE_ADD, EventKind.NODE_UPDATE)


def _clash(a: HostPort, b: HostPort) -> bool:
    """Same protocol and port, on the same address or with one of them on all addresses."""
    return a[1:] == b[1:] and (a[0] == b[0] or _EVERY_ADDRESS in (a[0], b[0]))
