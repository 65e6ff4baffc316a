"""Plugins one by one: what they refuse, and the range and direction of their scores."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_objects import cache_of, info, node

from kapi.api.object import Object
from kapi.scheduler.framework import Rejection
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.plugins.image_locality import ImageLocality
from kapi.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from kapi.scheduler.plugins.node_affinity import NodeAffinity
from kapi.scheduler.plugins.node_name import NodeName
from kapi.scheduler.plugins.node_ports import NodePorts
from kapi.scheduler.plugins.node_resources_balanced_allocation import (
    NodeResourcesBalancedAllocation,
)
from kapi.scheduler.plugins.node_resources_fit import NodeResourcesFit
from kapi.scheduler.plugins.node_unschedulable import NodeUnschedulable
from kapi.scheduler.plugins.pod_topology_spread import PodTopologySpread
from kapi.scheduler.plugins.taint_toleration import TaintToleration
from kapi.scheduler.pod_info import PodInfo, selector_of

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"


def node_info(obj: Object, *pods: PodInfo) -> NodeInfo:
    return cache_of(obj, bound={obj["metadata"]["name"]: list(pods)}).nodes()[0]


def reasons(rejection: Rejection | None) -> tuple[str, ...]:
    return () if rejection is None else rejection.reasons


def taint(effect: str, key: str = "k", value: str = "v") -> Object:
    return {"key": key, "value": value, "effect": effect}


# -- filters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "expected", "resolvable"),
    [
        ({}, (), True),
        ({"cpu": "1"}, (), True),
        ({"cpu": "3"}, ("Insufficient cpu",), True),
        ({"cpu": "5"}, ("Insufficient cpu",), False),
        ({"cpu": "3", "memory": "7Gi"}, ("Insufficient cpu", "Insufficient memory"), True),
        ({"example.com/gpu": "1"}, ("Insufficient example.com/gpu",), False),
        ({"example.com/gpu": "0"}, (), True),
    ],
)
def test_fit(requests: dict[str, str], expected: tuple[str, ...], resolvable: bool) -> None:
    subject = node_info(node("n"), info("there", requests={"cpu": "2", "memory": "2Gi"}))
    rejection = NodeResourcesFit().filter(info("new", requests=requests), subject)
    assert reasons(rejection) == expected
    assert rejection is None or rejection.resolvable is resolvable


def test_fit_counts_pods() -> None:
    subject = node_info(node("n", pods="1"), info("there"))
    assert reasons(NodeResourcesFit().filter(info("new"), subject)) == ("Too many pods",)


@pytest.mark.parametrize(
    ("tolerations", "fits"),
    [
        ([], False),
        ([{"key": "k", "operator": "Exists"}], True),
        ([{"operator": "Exists"}], True),
        ([{"key": "k", "value": "v"}], True),
        ([{"key": "k", "value": "w"}], False),
        ([{"key": "k", "operator": "Exists", "effect": "NoExecute"}], False),
        ([{"key": "other", "operator": "Exists"}], False),
    ],
)
def test_taints(tolerations: list[Object], fits: bool) -> None:
    subject = node_info(node("n", taints=[taint("NoSchedule")]))
    rejection = TaintToleration().filter(info("p", tolerations=tolerations), subject)
    assert reasons(rejection) == (() if fits else ("node(s) had untolerated taint(s)",))


def test_soft_taints_do_not_refuse() -> None:
    subject = node_info(node("n", taints=[taint("PreferNoSchedule")]))
    assert TaintToleration().filter(info("p"), subject) is None
    assert TaintToleration().score(info("p"), subject) == 1


def test_cordoned_nodes() -> None:
    subject = node_info(node("n", unschedulable=True))
    plugin = NodeUnschedulable()
    assert reasons(plugin.filter(info("p"), subject)) == ("node(s) were unschedulable",)
    tolerant = [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]
    assert plugin.filter(info("p", tolerations=tolerant), subject) is None


def test_node_name() -> None:
    expected = ("node(s) didn't match the requested node name",)
    assert reasons(NodeName().filter(info("p", nodeName="m"), node_info(node("n")))) == expected


def expression(key: str, operator: str, *values: str) -> Object:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("item", "holds"),
    [
        (expression("disk", "In", "ssd", "hdd"), True),
        (expression("disk", "In", "hdd"), False),
        (expression("disk", "NotIn", "hdd"), True),
        (expression("none", "NotIn", "hdd"), True),
        (expression("disk", "Exists"), True),
        (expression("none", "Exists"), False),
        (expression("none", "DoesNotExist"), True),
        (expression("cores", "Gt", "7"), True),
        (expression("cores", "Gt", "8"), False),
        (expression("cores", "Lt", "9"), True),
        (expression("disk", "Gt", "1"), False),
    ],
)
def test_node_affinity_operators(item: Object, holds: bool) -> None:
    affinity = required_node_affinity([{"matchExpressions": [item]}])
    subject = node_info(node("n", labels={"disk": "ssd", "cores": "8"}))
    rejection = NodeAffinity().filter(info("p", affinity=affinity), subject)
    expected = ("node(s) didn't match Pod's node affinity/selector",)
    assert reasons(rejection) == (() if holds else expected)


def required_node_affinity(terms: list[Object]) -> Object:
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"nodeAffinity": {key: {"nodeSelectorTerms": terms}}}


def test_node_affinity_names_narrow_the_search() -> None:
    def named(*names: str) -> Object:
        return {"matchFields": [expression("metadata.name", "In", *names)]}

    plugin, cache = NodeAffinity(), cache_of(node("a"), node("b"))
    one = info("p", affinity=required_node_affinity([named("a"), named("b", "c")]))
    assert plugin.pre_filter(one, cache).nodes == {"a", "b", "c"}
    both = {"matchFields": [*named("a")["matchFields"], *named("b")["matchFields"]]}
    torn = info("p", affinity=required_node_affinity([both]))
    assert reasons(plugin.pre_filter(torn, cache).rejection) == ("pod affinity terms conflict",)


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, True),
        ({"hostPort": 80}, {"hostPort": 81}, False),
        ({"hostPort": 80, "protocol": "UDP"}, {"hostPort": 80}, False),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, False),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80}, True),
    ],
)
def test_host_ports(first: Object, second: Object, clash: bool) -> None:
    subject = node_info(node("n"), info("there", ports=[{"containerPort": 80, **first}]))
    rejection = NodePorts().filter(info("p", ports=[{"containerPort": 80, **second}]), subject)
    expected = ("node(s) didn't have free ports for the requested pod ports",)
    assert reasons(rejection) == (expected if clash else ())


# -- topology spread ---------------------------------------------------------------------------


def spread(**fields: Any) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "a"}},
        **fields,
    }


def nothing(pod: PodInfo) -> None:
    return None


def refused(plugin: Any, pod: PodInfo, cache: Any) -> dict[str, tuple[str, ...]]:
    """What a cluster plugin says about each node."""
    result = plugin.pre_filter(pod, cache)
    if result.state is None:
        return {item.name: () for item in cache.nodes()}
    return {n.name: reasons(plugin.filter(result.state, pod, n)) for n in cache.nodes()}


def three_zones(**bound: list[PodInfo]) -> Any:
    nodes = [node(n, labels={ZONE: n}) for n in ("a", "b")]
    return cache_of(*nodes, node("nowhere"), bound=bound)


def test_hard_spread_refuses_the_crowded_zone() -> None:
    labels = {"app": "a"}
    subject = info("p", labels=labels, topologySpreadConstraints=[spread()])
    mismatch = "node(s) didn't match pod topology spread constraints"
    assert refused(
        PodTopologySpread(nothing), subject, three_zones(a=[info("x", labels=labels)])
    ) == {
        "a": (mismatch,),
        "b": (),
        "nowhere": (f"{mismatch} (missing required label)",),
    }


def test_min_domains_makes_the_minimum_zero() -> None:
    labels = {"app": "a"}
    there = three_zones(a=[info("x", labels=labels)], b=[info("y", labels=labels)])
    subject = info("p", labels=labels, topologySpreadConstraints=[spread(minDomains=3)])
    verdicts = refused(PodTopologySpread(nothing), subject, there)
    assert verdicts["a"] and verdicts["b"]
    relaxed = info("p", labels=labels, topologySpreadConstraints=[spread(minDomains=2)])
    assert not refused(PodTopologySpread(nothing), relaxed, there)["a"]


def test_default_constraints_prefer_the_emptier_node() -> None:
    labels = {"app": "a"}
    plugin = PodTopologySpread(lambda pod: selector_of({"matchLabels": labels}))
    cache = cache_of(node("a"), node("b"), bound={"a": [info("x", labels=labels)]})
    scores = plugin.scores(info("p", labels=labels), cache, cache.nodes())
    assert scores is not None
    assert scores[0] < scores[1] <= 100


# -- inter-pod affinity ------------------------------------------------------------------------


def term(app: str, key: str = HOST, **fields: Any) -> Object:
    return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **fields}


def toward(*terms: Object) -> Object:
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def away(*terms: Object) -> Object:
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def test_affinity_follows_and_the_first_of_a_group_is_free() -> None:
    plugin = InterPodAffinity()
    cache = cache_of(node("a"), node("b"), bound={"a": [info("x", labels={"app": "db"})]})
    follower = info("p", affinity=toward(term("db")))
    lonely = "node(s) didn't match pod affinity rules"
    assert refused(plugin, follower, cache) == {"a": (), "b": (lonely,)}
    stranger = info("p", affinity=toward(term("web")))
    assert refused(plugin, stranger, cache) == {"a": (lonely,), "b": (lonely,)}
    first = info("p", labels={"app": "web"}, affinity=toward(term("web")))
    assert refused(plugin, first, cache) == {"a": (), "b": ()}


def test_anti_affinity_works_in_both_directions() -> None:
    plugin = InterPodAffinity()
    shy = info("x", labels={"app": "x"}, affinity=away(term("p")))
    cache = cache_of(node("a"), node("b"), bound={"a": [shy]})
    theirs = "node(s) didn't satisfy existing pods anti-affinity rules"
    assert refused(plugin, info("p", labels={"app": "p"}), cache) == {"a": (theirs,), "b": ()}
    own = "node(s) didn't match pod anti-affinity rules"
    assert refused(plugin, info("q", affinity=away(term("x"))), cache) == {"a": (own,), "b": ()}


def test_other_namespaces_only_count_when_named_or_selected() -> None:
    plugin = InterPodAffinity()
    other = info("x", namespace="other", labels={"app": "db"})
    cache = cache_of(node("a"), node("b"), bound={"a": [other]})
    cache.set_namespace({"metadata": {"name": "other", "labels": {"team": "blue"}}})
    for fields, found in (
        ({}, False),
        ({"namespaces": ["other"]}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "red"}}}, False),
        ({"namespaceSelector": {}}, True),
    ):
        verdicts = refused(plugin, info("p", affinity=away(term("db", **fields))), cache)
        assert bool(verdicts["a"]) is found, fields
        assert not verdicts["b"]


def test_counts_follow_pods_that_come_and_go() -> None:
    plugin = InterPodAffinity()
    cache = cache_of(node("a"))
    subject = info("p", affinity=away(term("db")))
    assert not refused(plugin, subject, cache)["a"]
    cache.assume(info("x", labels={"app": "db"}), "a")
    assert refused(plugin, subject, cache)["a"]
    cache.remove_pod("default-x")
    assert not refused(plugin, subject, cache)["a"]


# -- properties of filters and scores ----------------------------------------------------------

requests = st.fixed_dictionaries(
    {}, optional={"cpu": st.integers(0, 6), "memory": st.integers(0, 10**10)}
).map(lambda found: {name: str(value) for name, value in found.items()})
crowds = st.lists(requests, max_size=6)


def crowd(found: list[dict[str, str]], labels: dict[str, str] | None = None) -> list[PodInfo]:
    return [info(f"x{i}", requests=item, labels=labels) for i, item in enumerate(found)]


@given(crowds, requests, requests)
def test_fit_is_monotone(
    there: list[dict[str, str]], more: dict[str, str], wanted: dict[str, str]
) -> None:
    """One more pod on a node never makes room."""
    plugin, subject = NodeResourcesFit(), info("p", requests=wanted)
    before = node_info(node("n", pods="5"), *crowd(there))
    after = node_info(node("n", pods="5"), *crowd(there), info("more", requests=more))
    if plugin.filter(subject, before) is not None:
        assert plugin.filter(subject, after) is not None


@given(crowds, requests)
def test_node_scores_stay_in_range(there: list[dict[str, str]], wanted: dict[str, str]) -> None:
    subject, place = info("p", requests=wanted), node_info(node("n"), *crowd(there))
    for plugin in (NodeResourcesFit(), NodeResourcesBalancedAllocation()):
        assert 0 <= plugin.score(subject, place) <= 100


@given(crowds, requests, requests)
def test_least_allocated_prefers_the_emptier_node(
    there: list[dict[str, str]], more: dict[str, str], wanted: dict[str, str]
) -> None:
    plugin, subject = NodeResourcesFit(), info("p", requests=wanted)
    fuller = node_info(node("n"), *crowd(there), info("more", requests=more))
    assert plugin.score(subject, node_info(node("n"), *crowd(there))) >= plugin.score(
        subject, fuller
    )


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_normalized_scores_stay_in_range(scores: list[int]) -> None:
    for plugin in (TaintToleration(), NodeAffinity()):
        assert all(0 <= score <= 100 for score in plugin.normalize(scores))
    lowest = scores.index(min(scores))
    assert TaintToleration().normalize(scores)[lowest] == max(TaintToleration().normalize(scores))


@given(st.lists(st.integers(0, 8), min_size=1, max_size=5), st.integers(1, 4))
def test_spread_scores_stay_in_range_and_prefer_fewer(counts: list[int], skew: int) -> None:
    labels = {"app": "a"}
    nodes = [node(f"n{i}", labels={ZONE: f"z{i % 2}"}) for i in range(len(counts))]
    cache = cache_of(*nodes)
    for place, count in enumerate(counts):
        for number in range(count):
            cache.assume(info(f"p{place}-{number}", labels=labels), f"n{place}")
    constraint = spread(topologyKey=HOST, whenUnsatisfiable="ScheduleAnyway", maxSkew=skew)
    subject = info("p", labels=labels, topologySpreadConstraints=[constraint])
    scores = PodTopologySpread(nothing).scores(subject, cache, cache.nodes())
    assert scores is not None and all(0 <= score <= 100 for score in scores)
    by_node = dict(zip((n.name for n in cache.nodes()), scores, strict=True))
    ordered = sorted(range(len(counts)), key=lambda place: counts[place])
    assert [by_node[f"n{p}"] for p in ordered] == sorted(scores, reverse=True)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=5))
def test_affinity_scores_stay_in_range(weights: list[int]) -> None:
    cache = cache_of(*[node(f"n{i}") for i in range(len(weights))])
    for place, weight in enumerate(weights):
        kind = "podAffinity" if weight > 0 else "podAntiAffinity"
        preferred = {"weight": abs(weight) or 1, "podAffinityTerm": term("p")}
        affinity = {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}
        cache.assume(info(f"x{place}", affinity=affinity), f"n{place}")
    scores = InterPodAffinity().scores(info("p", labels={"app": "p"}), cache, cache.nodes())
    assert scores is not None and all(0 <= score <= 100 for score in scores)


def test_image_locality_prefers_nodes_with_the_image() -> None:
    with_image = node("a")
    with_image["status"]["images"] = [{"names": ["example.org/app:1"], "sizeBytes": 500 * 2**20}]
    cache = cache_of(with_image, node("b"))
    scores = ImageLocality().scores(info("p"), cache, cache.nodes())
    assert scores == [100 * (250 - 23) // (1000 - 23), 0]
    assert ImageLocality().scores(info("p"), cache_of(node("b")), cache.nodes()) is None
