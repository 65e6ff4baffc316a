"""NodeAffinity: node selectors, required and preferred node affinity."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kapi.api.node_selector import (
    pod_accepts_node,
    preferred_node_affinity,
    required_node_affinity,
    term_matches,
)
from kapi.scheduler.cache import Cache
from kapi.scheduler.framework import (
    MAX_NODE_SCORE,
    NODE_EVENTS,
    SKIP,
    ClusterEvent,
    EventKind,
    PreFilterResult,
    Rejection,
)
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo


class NodeAffinity:
    name = "NodeAffinity"
    weight = 2
    normalized = True

    def pre_filter(self, pod: PodInfo, cache: Cache) -> PreFilterResult:
        """Narrow the search if every required term names nodes (as DaemonSet pods do)."""
        required = required_node_affinity(pod.spec)
        terms = (required or {}).get("nodeSelectorTerms") or ()
        if not terms:
            return SKIP
        names: set[str] = set()
        for term in terms:
            named = _names_of(term.get("matchFields") or ())
            if named is None:
                return SKIP
            names |= named
        if not names:
            conflict = Rejection(self.name, ("pod affinity terms conflict",), resolvable=False)
            return PreFilterResult(rejection=conflict)
        return PreFilterResult(nodes=frozenset(names))

    def filter(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if pod_accepts_node(pod.spec, node.labels, node.name):
            return None
        reason = "node(s) didn't match Pod's node affinity/selector"
        return Rejection(self.name, (reason,), resolvable=False)

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind in NODE_EVENTS and event.node is not None:
            return self.filter(pod, event.node) is None
        return event.kind is EventKind.POD_UPDATE

    def score(self, pod: PodInfo, node: NodeInfo) -> int:
        """The weights of the preferred terms that match; an empty term matches every node."""
        return sum(
            int(item["weight"])
            for item in preferred_node_affinity(pod.spec)
            if _preferred_matches(item["preference"], node)
        )

    def normalize(self, scores: Sequence[int]) -> list[int]:
        best = max(scores)
        if best == 0:
            return list(scores)
        return [MAX_NODE_SCORE * score // best for score in scores]


def _preferred_matches(term: Mapping[str, Any], node: NodeInfo) -> bool:
    if not term.get("matchExpressions") and not term.get("matchFields"):
        return True
    return term_matches(term, node.labels, node.name)


def _names_of(fields: Iterable[Mapping[str, Any]]) -> set[str] | None:
    """The node names that all field requirements of a term agree on; None if it names none."""
    names: set[str] | None = None
    for field in fields:
        if field["key"] == "metadata.name" and field["operator"] == "In":
            values = set(field.get("values") or ())
            names = values if names is None else names & values
    return names
