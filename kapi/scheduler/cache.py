"""The scheduler's picture of the cluster: nodes, the pods on them, and pods it assumes are there.

A pod is assumed from the moment a node is chosen until the watch shows it bound, so the next
decision already counts it. Everything is synchronous: one decision sees one state.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from kapi.api.object import Object, labels_of, name_of
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_index import NodeCounts, PodIndex, PodQuestion
from kapi.scheduler.pod_info import PodInfo

_NO_LABELS: Mapping[str, str] = {}


class Cache:
    """Feed it from watches; plugins read it. `generation` changes with every change."""

    def __init__(self) -> None:
        self.generation = 0
        self.image_generation = 0
        self.image_nodes: dict[str, int] = {}
        self.index = PodIndex()
        self._nodes: dict[str, NodeInfo] = {}
        self._node_of: dict[str, str] = {}
        self._assumed: set[str] = set()
        self._order: list[NodeInfo] | None = None
        self._namespaces: dict[str, Mapping[str, str]] = {}

    # -- nodes ---------------------------------------------------------------------------------

    def set_node(self, node: Object) -> None:
        """A node was added or changed."""
        info = self._node(name_of(node))
        zone, was_known = info.zone, info.node is not None
        images = info.images
        info.set_node(node)
        self._count_images(images, info.images)
        if not was_known or zone != info.zone:
            self._order = None
        self._touch(info)

    def remove_node(self, name: str) -> None:
        """The node is gone; its pods are kept until they are reported gone too."""
        info = self._nodes.get(name)
        if info is None or info.node is None:
            return
        self._count_images(info.images, {})
        info.set_node(None)
        self._order = None
        self._touch(info)
        self._drop_if_empty(info)

    def node(self, name: str) -> NodeInfo | None:
        """The node if its Node object is known."""
        info = self._nodes.get(name)
        return info if info is not None and info.node is not None else None

    def nodes(self) -> list[NodeInfo]:
        """All known nodes, one zone after the other in turn, so that a prefix spans the zones."""
        if self._order is None:
            self._order = _interleaved(n for n in self._nodes.values() if n.node is not None)
        return self._order

    # -- pods ----------------------------------------------------------------------------------

    def add_pod(self, pod: PodInfo) -> None:
        """A pod bound to a node was reported; replaces an older or assumed picture of it."""
        self.remove_pod(pod.uid)
        self._place(pod, pod.node_name)

    def assume(self, pod: PodInfo, node: str) -> None:
        """Count the pod on the node although nobody has confirmed it yet."""
        self._place(pod, node)
        self._assumed.add(pod.uid)

    def forget(self, uid: str) -> None:
        """Take an assumption back; a pod confirmed meanwhile stays."""
        if uid in self._assumed:
            self.remove_pod(uid)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def has_pod(self, uid: str) -> bool:
        return uid in self._node_of

    def remove_pod(self, uid: str) -> PodInfo | None:
        node = self._node_of.pop(uid, None)
        self._assumed.discard(uid)
        if node is None:
            return None
        info = self._nodes[node]
        pod = info.remove_pod(uid)
        if pod is not None:
            self.index.remove(pod, node)
        self._touch(info)
        self._drop_if_empty(info)
        return pod

    def find_pod(self, uid: str) -> PodInfo | None:
        node = self._node_of.get(uid)
        return None if node is None else self._nodes[node].pods.get(uid)

    @contextmanager
    def trial(self, node: NodeInfo) -> Iterator["Trial"]:
        """Try out changes of the pods of one node; all is as before afterwards.

        Generations stand still meanwhile, so a verdict must not be kept from inside a trial.
        """
        trial = Trial(self, node)
        try:
            yield trial
        finally:
            trial.undo()

    # -- what plugins ask ----------------------------------------------------------------------

    def counts(self, question: PodQuestion) -> NodeCounts:
        """How many pods match, per node; nodes with none are left out."""
        present = ((node.name, node.pods.values()) for node in self._nodes.values())
        return self.index.counts(question, present)

    def set_namespace(self, namespace: Object) -> None:
        self._namespaces[name_of(namespace)] = labels_of(namespace)
        self.generation += 1

    def remove_namespace(self, name: str) -> None:
        self._namespaces.pop(name, None)
        self.generation += 1

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        return self._namespaces.get(name, _NO_LABELS)

    def namespaces(self) -> Mapping[str, Mapping[str, str]]:
        return self._namespaces

    # -- inside --------------------------------------------------------------------------------

    def _node(self, name: str) -> NodeInfo:
        info = self._nodes.get(name)
        if info is None:
            info = self._nodes[name] = NodeInfo(name)
        return info

    def _place(self, pod: PodInfo, node: str) -> None:
        info = self._node(node)
        info.add_pod(pod)
        self._node_of[pod.uid] = node
        self.index.add(pod, node)
        self._touch(info)

    def _touch(self, info: NodeInfo) -> None:
        self.generation += 1
        info.generation = self.generation

    def _drop_if_empty(self, info: NodeInfo) -> None:
        if info.node is None and not info.pods:
            self._nodes.pop(info.name, None)

    def _count_images(self, old: Mapping[str, int], new: Mapping[str, int]) -> None:
        if old == new:
            return
        self.image_generation += 1
        for name in old:
            self.image_nodes[name] -= 1
            if not self.image_nodes[name]:
                del self.image_nodes[name]
        for name in new:
            self.image_nodes[name] = self.image_nodes.get(name, 0) + 1


class Trial:
    """Changes of one node's pods that will be undone. Made by `Cache.trial`."""

    def __init__(self, cache: Cache, node: NodeInfo) -> None:
        self._cache = cache
        self._node = node
        self._removed: dict[str, PodInfo] = {}
        self._added: dict[str, PodInfo] = {}

    def remove(self, pod: PodInfo) -> None:
        self._removed[pod.uid] = pod
        self._node.remove_pod(pod.uid)
        self._cache.index.remove(pod, self._node.name)

    def restore(self, pod: PodInfo) -> None:
        """Put back a pod that was removed."""
        del self._removed[pod.uid]
        self._put(pod)

    def add(self, pod: PodInfo) -> None:
        self._added[pod.uid] = pod
        self._put(pod)

    def undo(self) -> None:
        for pod in self._added.values():
            self._node.remove_pod(pod.uid)
            self._cache.index.remove(pod, self._node.name)
        for pod in self._removed.values():
            self._put(pod)
        self._added, self._removed = {}, {}

    def _put(self, pod: PodInfo) -> None:
        self._node.add_pod(pod)
        self._cache.index.add(pod, self._node.name)


def _interleaved(nodes: Iterable[NodeInfo]) -> list[NodeInfo]:
    zones: dict[str, list[NodeInfo]] = {}
    for node in nodes:
        zones.setdefault(node.zone, []).append(node)
    longest = max((len(zone) for zone in zones.values()), default=0)
    return [zone[i] for i in range(longest) for zone in zones.values() if i < len(zone)]
