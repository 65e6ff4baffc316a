"""PodTopologySpread: pods of a kind in even numbers over the domains of a topology.

Source of the arithmetic: kube-scheduler `plugins/podtopologyspread`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log

from kapi.api.node_selector import NO_EXECUTE, NO_SCHEDULE, pod_accepts_node, untolerated
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
from kapi.scheduler.pod_index import NodeCounts, PodQuestion
from kapi.scheduler.pod_info import (
    HOSTNAME_LABEL,
    ZONE_LABEL,
    PodInfo,
    Selector,
    SpreadConstraint,
    spread_constraints,
)

_MISMATCH = "node(s) didn't match pod topology spread constraints"
_MISSING_LABEL = f"{_MISMATCH} (missing required label)"
_EMPTY_SELECTORS = ("{}", '{"matchLabels":{}}', '{"matchExpressions":[],"matchLabels":{}}')


@dataclass(frozen=True, slots=True)
class _Domains:
    """One hard constraint with the pods counted in each domain."""

    constraint: SpreadConstraint
    counts: Mapping[str, int]
    minimum: int
    self_match: int


class PodTopologySpread:
    """`default_selector` names the pods that belong with one that has no constraints itself."""

    name = "PodTopologySpread"
    weight = 2

    def __init__(self, default_selector: Callable[[PodInfo], Selector | None]) -> None:
        self._default_selector = default_selector

    def pre_filter(self, pod: PodInfo, cache: Cache) -> PreFilterResult:
        constraints = spread_constraints(pod.spec, "DoNotSchedule")
        if not constraints:
            return SKIP
        keys = [constraint.topology_key for constraint in constraints]
        nodes = [n for n in cache.nodes() if all(key in n.labels for key in keys)]
        return PreFilterResult(state=[_domains(c, pod, cache, nodes) for c in constraints])

    def filter(self, state: Sequence[_Domains], pod: PodInfo, node: NodeInfo) -> Rejection | None:
        for domains in state:
            value = node.labels.get(domains.constraint.topology_key)
            if value is None:
                return Rejection(self.name, (_MISSING_LABEL,), resolvable=False)
            skew = domains.counts.get(value, 0) + domains.self_match - domains.minimum
            if skew > domains.constraint.max_skew:
                return Rejection(self.name, (_MISMATCH,))
        return None

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind is EventKind.POD_UPDATE:
            return True
        constraints = spread_constraints(pod.spec, "DoNotSchedule")
        if event.kind in NODE_EVENTS and event.node is not None:
            labels = event.node.labels
            return all(constraint.topology_key in labels for constraint in constraints)
        changed = [p for p in (event.pod, event.old_pod) if p is not None]
        return any(
            other.namespace == pod.namespace and constraint.selector.matches(other.labels)
            for other in changed
            for constraint in constraints
        )

    def scores(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> list[int] | None:
        constraints = spread_constraints(pod.spec, "ScheduleAnyway")
        needs_all_labels = True
        if not pod.spec.get("topologySpreadConstraints"):
            constraints = self._defaults(pod)
            needs_all_labels = False
        if not constraints:
            return None
        judged = [
            not needs_all_labels or all(c.topology_key in node.labels for c in constraints)
            for node in nodes
        ]
        totals = [0.0] * len(nodes)
        for constraint in constraints:
            _add_scores(totals, constraint, pod, cache, nodes, judged)
        return _normalized([round(total) for total in totals], judged)

    def _defaults(self, pod: PodInfo) -> tuple[SpreadConstraint, ...]:
        selector = self._default_selector(pod)
        if selector is None:
            return ()
        return (
            SpreadConstraint(3, HOSTNAME_LABEL, selector),
            SpreadConstraint(5, ZONE_LABEL, selector),
        )


def _domains(
    constraint: SpreadConstraint, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]
) -> _Domains:
    matching = _matching_pods(constraint, pod, cache)
    counts: dict[str, int] = {}
    for node in nodes:
        if _is_eligible(constraint, pod, node):
            value = node.labels[constraint.topology_key]
            counts[value] = counts.get(value, 0) + matching.get(node.name, 0)
    minimum = min(counts.values(), default=0)
    if len(counts) < constraint.min_domains:
        minimum = 0
    return _Domains(constraint, counts, minimum, int(constraint.selector.matches(pod.labels)))


def _matching_pods(constraint: SpreadConstraint, pod: PodInfo, cache: Cache) -> NodeCounts:
    if constraint.selector.text in _EMPTY_SELECTORS:
        return {}
    clause = (frozenset({pod.namespace}), constraint.selector)
    return cache.counts(PodQuestion((clause,), count_terminating=False))


def _is_eligible(constraint: SpreadConstraint, pod: PodInfo, node: NodeInfo) -> bool:
    """Whether the constraint's policies let this node count as (part of) a domain."""
    if constraint.honor_affinity and not pod_accepts_node(pod.spec, node.labels, node.name):
        return False
    if not constraint.honor_taints:
        return True
    return not any(untolerated(node.taints, pod.tolerations, (NO_SCHEDULE, NO_EXECUTE)))


def _add_scores(
    totals: list[float],
    constraint: SpreadConstraint,
    pod: PodInfo,
    cache: Cache,
    nodes: Sequence[NodeInfo],
    judged: Sequence[bool],
) -> None:
    """Add what one soft constraint says: more matching pods in a node's domain, higher cost."""
    key = constraint.topology_key
    matching = _matching_pods(constraint, pod, cache)
    if key == HOSTNAME_LABEL:
        weight = log(sum(judged) + 2)
        for position, node in enumerate(nodes):
            if judged[position] and key in node.labels:
                totals[position] += matching.get(node.name, 0) * weight + constraint.max_skew - 1
        return
    domains = {n.labels.get(key, ""): 0 for n, counts in zip(nodes, judged, strict=True) if counts}
    for name, count in matching.items():
        home = cache.node(name)
        value = home.labels.get(key, "") if home is not None else None
        if home is not None and value in domains and _is_eligible(constraint, pod, home):
            domains[value] += count
    weight = log(len(domains) + 2)
    for position, node in enumerate(nodes):
        if judged[position] and key in node.labels:
            totals[position] += domains[node.labels[key]] * weight + constraint.max_skew - 1


def _normalized(costs: Sequence[int], judged: Sequence[bool]) -> list[int]:
    """Turn costs into 0..100, lowest cost best; nodes that were not judged get 0."""
    relevant = [cost for cost, counts in zip(costs, judged, strict=True) if counts]
    highest, lowest = max(relevant, default=0), min(relevant, default=0)
    if highest == 0:
        return [MAX_NODE_SCORE if counts else 0 for counts in judged]
    return [
        MAX_NODE_SCORE * (highest + lowest - cost) // highest if counts else 0
        for cost, counts in zip(costs, judged, strict=True)
    ]
