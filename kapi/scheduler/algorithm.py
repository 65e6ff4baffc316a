"""Choosing a node for one pod: filter, score, pick. Synchronous, no I/O, no chance.

What plugins that look at a single node said is kept per equivalence class of pods, so the five
hundredth replica of a ReplicaSet asks them only about the nodes that changed since the last one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kapi.scheduler.cache import Cache
from kapi.scheduler.framework import (
    ClusterFilter,
    ClusterScore,
    FitError,
    NodeFilter,
    NodeScore,
    Placement,
    PreFilter,
    Rejection,
    WakeUp,
)
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.nominations import Nominations
from kapi.scheduler.pod_info import PodInfo

# Upstream looks at every node of a small cluster and at a shrinking share of a large one.
_ALWAYS_ALL = 100
_CLASSES = 128


@dataclass(frozen=True, slots=True)
class Plugins:
    """The profile: each list in the order in which plugins are asked."""

    pre_filters: tuple[PreFilter, ...]
    node_filters: tuple[NodeFilter, ...]
    cluster_filters: tuple[ClusterFilter, ...]
    node_scores: tuple[NodeScore, ...]
    cluster_scores: tuple[ClusterScore, ...]

    def by_name(self) -> dict[str, WakeUp]:
        """Every plugin that can refuse a node."""
        filters: list[WakeUp] = [*self.node_filters, *self.cluster_filters]
        return {plugin.name: plugin for plugin in filters}


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What node plugins said about a node: `raw` are scores that still need normalizing."""

    generation: int
    rejection: Rejection | None
    fixed: int = 0
    raw: tuple[int, ...] = ()


_Active = list[tuple[ClusterFilter, Any]]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The outcome of all PreFilters: plugins with an opinion, and the nodes worth asking."""

    active: _Active
    nodes: frozenset[str] | None = None
    narrowed_by: str = ""
    rejection: Rejection | None = None


class Algorithm:
    """`schedule` decides; the caller assumes the result in the cache."""

    def __init__(self, cache: Cache, plugins: Plugins, nominations: Nominations) -> None:
        self._cache = cache
        self._plugins = plugins
        self._nominations = nominations
        self._classes: dict[bytes, dict[str, _Judgement]] = {}
        self._start = 0
        self._fixed = [p for p in plugins.node_scores if not p.normalized]
        self._normalized = [p for p in plugins.node_scores if p.normalized]

    def schedule(self, pod: PodInfo) -> Placement | FitError:
        nodes = self._cache.nodes()
        prepared = self._prepare(pod)
        if prepared.rejection is not None:
            return FitError(len(nodes), {}, pre_filter=prepared.rejection)
        promised = self._cache.node(self._nominations.node_of(pod.uid))
        if promised is not None and self._refusal(pod, promised, prepared) is None:
            return Placement(promised.name, 1, 1)
        return self._search(pod, nodes, prepared)

    def refusal(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        """Whether the pod fits the node as the cache is now, trial changes included."""
        prepared = self._prepare(pod)
        if prepared.rejection is not None:
            return prepared.rejection
        if prepared.nodes is not None and node.name not in prepared.nodes:
            return _absent(prepared.narrowed_by)
        return self._refusal(pod, node, prepared)

    # -- filter --------------------------------------------------------------------------------

    def _prepare(self, pod: PodInfo) -> _Prepared:
        active: _Active = []
        names: frozenset[str] | None = None
        narrowed_by = ""
        for narrowing in self._plugins.pre_filters:
            result = narrowing.pre_filter(pod, self._cache)
            if result.rejection is not None:
                return _Prepared(active, rejection=result.rejection)
            if result.nodes is not None:
                names = result.nodes if names is None else names & result.nodes
                narrowed_by = narrowing.name
        for plugin in self._plugins.cluster_filters:
            result = plugin.pre_filter(pod, self._cache)
            if result.rejection is not None:
                return _Prepared(active, rejection=result.rejection)
            if result.state is not None:
                active.append((plugin, result.state))
        return _Prepared(active, names, narrowed_by)

    def _search(
        self, pod: PodInfo, nodes: Sequence[NodeInfo], prepared: _Prepared
    ) -> Placement | FitError:
        absent = None
        candidates = self._rotated(nodes)
        if prepared.nodes is not None:
            candidates = [node for node in nodes if node.name in prepared.nodes]
            absent = _absent(prepared.narrowed_by) if len(candidates) < len(nodes) else None
        wanted = nodes_to_find(len(candidates))
        judgements = self._judgements_of(pod)
        verdicts: dict[str, Rejection] = {}
        feasible: list[NodeInfo] = []
        found: list[_Judgement] = []
        examined = 0
        for node in candidates:
            examined += 1
            judgement = judgements.get(node.name)
            if judgement is None or judgement.generation != node.generation:
                judgement = judgements[node.name] = self._judge(pod, node)
            rejection = judgement.rejection or self._others_refusal(pod, node, prepared)
            if rejection is not None:
                verdicts[node.name] = rejection
                continue
            feasible.append(node)
            found.append(judgement)
            if len(feasible) >= wanted:
                break
        if prepared.nodes is None and nodes:
            self._start = (self._start + examined) % len(nodes)
        if not feasible:
            return FitError(len(nodes), verdicts, absent)
        best = self._best(pod, feasible, found)
        return Placement(feasible[best].name, examined, len(feasible))

    def _rotated(self, nodes: Sequence[NodeInfo]) -> Sequence[NodeInfo]:
        start = self._start % len(nodes) if nodes else 0
        return [*nodes[start:], *nodes[:start]] if start else nodes

    def _judgements_of(self, pod: PodInfo) -> dict[str, _Judgement]:
        key = pod.spec_key()
        found = self._classes.pop(key, None)
        if found is None:
            found = {}
            if len(self._classes) >= _CLASSES:
                del self._classes[next(iter(self._classes))]
        nodes = self._cache.nodes()
        if len(found) > 2 * len(nodes):
            # Nodes come and go; what was said about those that went is of no use to anybody.
            present = {node.name for node in nodes}
            found = {name: said for name, said in found.items() if name in present}
        self._classes[key] = found
        return found

    def _judge(self, pod: PodInfo, node: NodeInfo) -> _Judgement:
        rejection = self._node_refusal(pod, node)
        if rejection is not None:
            return _Judgement(node.generation, rejection)
        fixed = sum(plugin.weight * plugin.score(pod, node) for plugin in self._fixed)
        raw = tuple(plugin.score(pod, node) for plugin in self._normalized)
        return _Judgement(node.generation, None, fixed, raw)

    def _node_refusal(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        for plugin in self._plugins.node_filters:
            rejection = plugin.filter(pod, node)
            if rejection is not None:
                return rejection
        return None

    def _others_refusal(
        self, pod: PodInfo, node: NodeInfo, prepared: _Prepared
    ) -> Rejection | None:
        """Cluster plugins, and everything again with the pods that were promised the node."""
        for plugin, state in prepared.active:
            rejection = plugin.filter(state, pod, node)
            if rejection is not None:
                return rejection
        rivals = self._nominations.rivals(pod, node.name)
        return self._refusal_beside(pod, node, rivals) if rivals else None

    def _refusal(self, pod: PodInfo, node: NodeInfo, prepared: _Prepared) -> Rejection | None:
        return self._node_refusal(pod, node) or self._others_refusal(pod, node, prepared)

    def _refusal_beside(
        self, pod: PodInfo, node: NodeInfo, rivals: Sequence[PodInfo]
    ) -> Rejection | None:
        with self._cache.trial(node) as trial:
            for rival in rivals:
                if not self._cache.has_pod(rival.uid):
                    trial.add(rival)
            rejection = self._node_refusal(pod, node)
            if rejection is not None:
                return rejection
            prepared = self._prepare(pod)
            for plugin, state in prepared.active:
                rejection = plugin.filter(state, pod, node)
                if rejection is not None:
                    return rejection
            return prepared.rejection

    # -- score ---------------------------------------------------------------------------------

    def _best(
        self, pod: PodInfo, nodes: Sequence[NodeInfo], judgements: Sequence[_Judgement]
    ) -> int:
        """The position of the node with the highest total, the first among equals."""
        if len(nodes) == 1:
            return 0
        totals = [judgement.fixed for judgement in judgements]
        for position, plugin in enumerate(self._normalized):
            column = plugin.normalize([judgement.raw[position] for judgement in judgements])
            _add(totals, plugin.weight, column)
        for cluster_plugin in self._plugins.cluster_scores:
            scores = cluster_plugin.scores(pod, self._cache, nodes)
            if scores is not None:
                _add(totals, cluster_plugin.weight, scores)
        return totals.index(max(totals))


def nodes_to_find(total: int) -> int:
    """How many feasible nodes are enough in a cluster of this size."""
    if total < _ALWAYS_ALL:
        return total
    percentage = max(50 - total // 125, 5)
    return max(total * percentage // 100, _ALWAYS_ALL)


def _add(totals: list[int], weight: int, scores: Sequence[int]) -> None:
    for position, score in enumerate(scores):
        totals[position] += weight * score


def _absent(plugin: str) -> Rejection:
    reason = f"node(s) didn't satisfy plugin(s) [{plugin}]"
    return Rejection(plugin, (reason,), resolvable=False)
