"""InterPodAffinity: pods near or away from other pods, by the domains of a topology.

Source of the rules: kube-scheduler `plugins/interpodaffinity`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
from kapi.scheduler.pod_index import PodQuestion
from kapi.scheduler.pod_info import AffinityTerm, PodInfo, Selector

# What one existing pod's required affinity term adds for a pod it wants near it.
HARD_POD_AFFINITY_WEIGHT = 1

Domain = tuple[str, str]
"""(topology key, value)"""


@dataclass(slots=True)
class _State:
    forbidden: set[Domain] = field(default_factory=set)
    """Domains where a pod is that wants to be away from this one."""
    near: dict[Domain, int] = field(default_factory=dict)
    """Pods that meet all of this pod's affinity terms."""
    away: set[Domain] = field(default_factory=set)
    """Domains with a pod that this one wants to be away from."""
    first_of_group: bool = False
    """Nobody to be near to anywhere, but the pod itself is what it asks for."""


class InterPodAffinity:
    name = "InterPodAffinity"
    weight = 2

    def pre_filter(self, pod: PodInfo, cache: Cache) -> PreFilterResult:
        affinity, existing_anti = pod.affinity, cache.index.required_anti_terms
        if not affinity.required and not affinity.required_anti and not existing_anti:
            return SKIP
        state = _State()
        for term, nodes in existing_anti.items():
            if _selects(term, pod, cache):
                state.forbidden.update(_domains_of(term.topology_key, nodes, cache))
        if affinity.required:
            question = PodQuestion(tuple(_clause(t, cache) for t in affinity.required))
            for node, count in cache.counts(question).items():
                for term in affinity.required:
                    for domain in _domains_of(term.topology_key, {node: count}, cache):
                        state.near[domain] = state.near.get(domain, 0) + count
            state.first_of_group = not state.near and all(
                _selects(term, pod, cache) for term in affinity.required
            )
        for term in affinity.required_anti:
            counts = cache.counts(PodQuestion((_clause(term, cache),)))
            state.away.update(_domains_of(term.topology_key, counts, cache))
        nothing = not (affinity.required or state.forbidden or state.away)
        return SKIP if nothing else PreFilterResult(state=state)

    def filter(self, state: _State, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        labels = node.labels
        for term in pod.affinity.required:
            value = labels.get(term.topology_key)
            met = value is not None and (
                state.first_of_group or state.near.get((term.topology_key, value), 0) > 0
            )
            if not met:
                reason = "node(s) didn't match pod affinity rules"
                return Rejection(self.name, (reason,), resolvable=False)
        for term in pod.affinity.required_anti:
            if (term.topology_key, labels.get(term.topology_key, "")) in state.away:
                return Rejection(self.name, ("node(s) didn't match pod anti-affinity rules",))
        for key, value in state.forbidden:
            if labels.get(key) == value:
                reason = "node(s) didn't satisfy existing pods anti-affinity rules"
                return Rejection(self.name, (reason,))
        return None

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind in NODE_EVENTS and event.node is not None:
            labels = event.node.labels
            return all(term.topology_key in labels for term in pod.affinity.required)
        if event.kind in (EventKind.NAMESPACE_CHANGE, EventKind.POD_UPDATE):
            return True
        if event.pod is None:
            return False
        if event.kind is EventKind.ASSIGNED_POD_ADD:
            return any(_may_select(term, event.pod) for term in pod.affinity.required)
        return event.kind in (EventKind.ASSIGNED_POD_UPDATE, EventKind.ASSIGNED_POD_DELETE)

    def scores(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> list[int] | None:
        by_domain: dict[Domain, int] = {}
        for weighted in pod.affinity.preferred:
            _count_own(by_domain, weighted.term, weighted.weight, cache)
        for weighted in pod.affinity.preferred_anti:
            _count_own(by_domain, weighted.term, -weighted.weight, cache)
        index = cache.index
        _count_existing(by_domain, index.required_terms, HARD_POD_AFFINITY_WEIGHT, pod, cache)
        _count_existing(by_domain, index.preferred_terms, 1, pod, cache)
        if not by_domain:
            return None
        keys = dict.fromkeys(key for key, _ in by_domain)
        totals = [
            sum(by_domain.get((k, node.labels[k]), 0) for k in keys if k in node.labels)
            for node in nodes
        ]
        lowest, highest = min(totals), max(totals)
        if lowest == highest:
            return [0] * len(totals)
        return [int(MAX_NODE_SCORE * (t - lowest) / (highest - lowest)) for t in totals]


def _count_own(by_domain: dict[Domain, int], term: AffinityTerm, weight: int, cache: Cache) -> None:
    for node, count in cache.counts(PodQuestion((_clause(term, cache),))).items():
        for domain in _domains_of(term.topology_key, {node: count}, cache):
            by_domain[domain] = by_domain.get(domain, 0) + weight * count


def _count_existing(
    by_domain: dict[Domain, int],
    terms: Mapping[AffinityTerm, Mapping[str, int]],
    weight: int,
    pod: PodInfo,
    cache: Cache,
) -> None:
    for term, nodes in terms.items():
        if not _selects(term, pod, cache):
            continue
        for node, total in nodes.items():
            for domain in _domains_of(term.topology_key, {node: total}, cache):
                by_domain[domain] = by_domain.get(domain, 0) + weight * total


def _domains_of(key: str, nodes: Mapping[str, int], cache: Cache) -> list[Domain]:
    """The domains that these nodes are in."""
    found: list[Domain] = []
    for name in nodes:
        node = cache.node(name)
        if node is not None and key in node.labels:
            found.append((key, node.labels[key]))
    return found


def _clause(term: AffinityTerm, cache: Cache) -> tuple[frozenset[str], Selector]:
    """The term with its namespace selector resolved to names."""
    chosen = term.namespace_selector
    if chosen is None:
        return term.namespaces, term.selector
    names = [name for name, labels in cache.namespaces().items() if chosen.matches(labels)]
    return term.namespaces.union(names), term.selector


def _selects(term: AffinityTerm, pod: PodInfo, cache: Cache) -> bool:
    return term.selects(pod.namespace, pod.labels, cache.namespace_labels(pod.namespace))


def _may_select(term: AffinityTerm, pod: PodInfo) -> bool:
    """As `selects`, but a namespace selector is taken to match: a wasted try does no harm."""
    if not term.selector.matches(pod.labels):
        return False
    return term.namespace_selector is not None or pod.namespace in term.namespaces
