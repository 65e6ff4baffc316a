"""TaintToleration: no pod on nodes whose taints it does not tolerate."""

from collections.abc import Sequence

from kapi.api.node_selector import (
    NO_EXECUTE,
    NO_SCHEDULE,
    PREFER_NO_SCHEDULE,
    untolerated,
)
from kapi.scheduler.framework import (
    MAX_NODE_SCORE,
    NODE_EVENTS,
    ClusterEvent,
    EventKind,
    Rejection,
)
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo

_KEEPS_AWAY = (NO_SCHEDULE, NO_EXECUTE)


class TaintToleration:
    name = "TaintToleration"
    weight = 3
    normalized = True

    def filter(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if not node.taints or not any(untolerated(node.taints, pod.tolerations, _KEEPS_AWAY)):
            return None
        return Rejection(self.name, ("node(s) had untolerated taint(s)",), resolvable=False)

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind in NODE_EVENTS and event.node is not None:
            return self.filter(pod, event.node) is None
        return event.kind is EventKind.POD_UPDATE

    def score(self, pod: PodInfo, node: NodeInfo) -> int:
        """The number of soft taints the pod does not tolerate."""
        if not node.taints:
            return 0
        # Upstream lets only tolerations for this effect, or for every effect, count here.
        soft = [t for t in pod.tolerations if t.get("effect") in (None, "", PREFER_NO_SCHEDULE)]
        return sum(1 for _ in untolerated(node.taints, soft, (PREFER_NO_SCHEDULE,)))

    def normalize(self, scores: Sequence[int]) -> list[int]:
        """Fewest taints best; all equal to 100 if no node has any."""
        worst = max(scores)
        if worst == 0:
            return [MAX_NODE_SCORE] * len(scores)
        return [MAX_NODE_SCORE - MAX_NODE_SCORE * score // worst for score in scores]
