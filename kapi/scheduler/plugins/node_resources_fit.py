"""NodeResourcesFit: what the pod requests must be left on the node; emptier nodes score higher."""

from collections.abc import Sequence

from kapi.scheduler.framework import (
    MAX_NODE_SCORE,
    NODE_EVENTS,
    ClusterEvent,
    EventKind,
    Rejection,
)
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo
from kapi.scheduler.resources import CPU, EPHEMERAL_STORAGE, MEMORY

_FIRST = (CPU, MEMORY, EPHEMERAL_STORAGE)


class NodeResourcesFit:
    """Scores by LeastAllocated over cpu and memory, equally weighted."""

    name = "NodeResourcesFit"
    weight = 1
    normalized = False

    def filter(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        reasons: list[str] = []
        unresolvable = False
        if len(node.pods) + 1 > node.allowed_pods:
            reasons.append("Too many pods")
        requests = pod.requests
        for resource in _ordered(requests):
            wanted = requests[resource]
            allocatable = node.allocatable.get(resource, 0)
            if wanted > allocatable - node.requested.get(resource, 0):
                reasons.append(f"Insufficient {resource}")
                unresolvable |= wanted > allocatable
        if not reasons:
            return None
        return Rejection(self.name, tuple(reasons), resolvable=not unresolvable)

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind in NODE_EVENTS and event.node is not None:
            return self._could_ever_fit(pod, event.node)
        if event.kind is EventKind.ASSIGNED_POD_DELETE:
            return True
        if event.kind is EventKind.ASSIGNED_POD_UPDATE:
            return event.pod is None or event.old_pod is None or _shrank(event.old_pod, event.pod)
        return event.kind is EventKind.POD_UPDATE

    def score(self, pod: PodInfo, node: NodeInfo) -> int:
        total = resources = 0
        for resource, used, wanted in (
            (CPU, node.scoring_cpu, pod.scoring_cpu),
            (MEMORY, node.scoring_memory, pod.scoring_memory),
        ):
            allocatable = node.allocatable.get(resource, 0)
            if allocatable == 0:
                continue
            resources += 1
            free = allocatable - used - wanted
            total += max(free, 0) * MAX_NODE_SCORE // allocatable
        return total // resources if resources else 0

    def normalize(self, scores: Sequence[int]) -> list[int]:
        return list(scores)

    def _could_ever_fit(self, pod: PodInfo, node: NodeInfo) -> bool:
        return all(
            wanted <= node.allocatable.get(resource, 0)
            for resource, wanted in pod.requests.items()
            if wanted
        )


def _ordered(requests: dict[str, int]) -> list[str]:
    """Resources asked for: cpu, memory, ephemeral storage, then the rest by name."""
    wanted = [name for name in _FIRST if requests.get(name)]
    return wanted + sorted(name for name, value in requests.items() if value and name not in _FIRST)


def _shrank(old: PodInfo, new: PodInfo) -> bool:
    return any(new.requests.get(name, 0) < value for name, value in old.requests.items())
