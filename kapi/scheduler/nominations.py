"""Pods that a node was promised to: preemption made room, and nobody lesser may take it."""

from kapi.scheduler.pod_info import PodInfo


class Nominations:
    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, PodInfo]] = {}
        self._node_of: dict[str, str] = {}
        self.generation = 0

    def set(self, pod: PodInfo, node: str) -> None:
        self.remove(pod.uid)
        self._by_node.setdefault(node, {})[pod.uid] = pod
        self._node_of[pod.uid] = node
        self.generation += 1

    def remove(self, uid: str) -> None:
        node = self._node_of.pop(uid, None)
        if node is None:
            return
        self.generation += 1
        pods = self._by_node[node]
        del pods[uid]
        if not pods:
            del self._by_node[node]

    def node_of(self, uid: str) -> str:
        """The node promised to this pod, or an empty string."""
        return self._node_of.get(uid, "")

    def on(self, node: str) -> list[PodInfo]:
        return list(self._by_node.get(node, {}).values())

    def rivals(self, pod: PodInfo, node: str) -> list[PodInfo]:
        """Others with at least this pod's priority that were promised the node."""
        promised = self._by_node.get(node)
        if not promised:
            return []
        return [
            other
            for other in promised.values()
            if other.priority >= pod.priority and other.uid != pod.uid
        ]
