"""NodeResourcesBalancedAllocation: prefer nodes where cpu and memory end up evenly used."""

from collections.abc import Sequence
from math import sqrt

from kapi.scheduler.framework import MAX_NODE_SCORE
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo
from kapi.scheduler.resources import CPU, MEMORY

_RESOURCES = (CPU, MEMORY)


class NodeResourcesBalancedAllocation:
    name = "NodeResourcesBalancedAllocation"
    weight = 1
    normalized = False

    def score(self, pod: PodInfo, node: NodeInfo) -> int:
        """How much better balanced the node is with the pod than without; 0 for a pod that asks
        for neither cpu nor memory."""
        wanted = pod.requests
        if not any(wanted.get(resource) for resource in _RESOURCES):
            return 0
        before = _balance([node.requested.get(r, 0) for r in _RESOURCES], node)
        after = _balance([node.requested.get(r, 0) + wanted.get(r, 0) for r in _RESOURCES], node)
        middle = MAX_NODE_SCORE // 2
        return middle + (middle + after - before) // 2

    def normalize(self, scores: Sequence[int]) -> list[int]:
        return list(scores)


def _balance(used: list[int], node: NodeInfo) -> int:
    """100 if all resources are used to the same fraction, less by their standard deviation."""
    fractions = [
        min(amount / node.allocatable[resource], 1.0)
        for resource, amount in zip(_RESOURCES, used, strict=True)
        if node.allocatable.get(resource)
    ]
    if len(fractions) == 2:
        deviation = abs(fractions[0] - fractions[1]) / 2
    elif fractions:
        mean = sum(fractions) / len(fractions)
        deviation = sqrt(sum((f - mean) ** 2 for f in fractions) / len(fractions))
    else:
        deviation = 0.0
    return int((1 - deviation) * MAX_NODE_SCORE)
