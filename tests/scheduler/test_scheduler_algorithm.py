"""Choosing nodes and planning preemption, on a cache without any cluster behind it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_objects import cache_of, info, node, pod

from kapi.api.object import Object
from kapi.scheduler.algorithm import Algorithm, nodes_to_find
from kapi.scheduler.framework import FitError, Placement
from kapi.scheduler.messages import fit_error_text
from kapi.scheduler.pod_info import PodInfo, pod_info
from kapi.scheduler.preemption import Planner, Preemption
from kapi.scheduler.state import State

ZONE = "topology.kubernetes.io/zone"


def state_of(*nodes: Object, bound: dict[str, list[PodInfo]] | None = None) -> State:
    return State(cache=cache_of(*nodes, bound=bound))


def algorithm_of(state: State) -> Algorithm:
    return Algorithm(state.cache, state.plugins, state.nominations)


def place(state: State, algorithm: Algorithm, subject: PodInfo) -> str:
    outcome = algorithm.schedule(subject)
    assert isinstance(outcome, Placement), outcome
    state.cache.assume(subject, outcome.node)
    return outcome.node


def test_replicas_spread_over_nodes() -> None:
    state = state_of(*[node(f"n{i}") for i in range(4)])
    algorithm = algorithm_of(state)
    placed = [place(state, algorithm, info(f"p{i}", requests={"cpu": "500m"})) for i in range(8)]
    assert sorted(placed) == sorted([f"n{i}" for i in range(4)] * 2)


def test_what_was_said_about_nodes_that_went_is_forgotten() -> None:
    state = state_of()
    algorithm, subject = algorithm_of(state), info("p")
    for number in range(50):
        state.cache.set_node(node(f"n{number}"))
        outcome = algorithm.schedule(subject)
        assert isinstance(outcome, Placement)
        assert outcome.node == f"n{number}"
        state.cache.remove_node(f"n{number}")
    assert len(algorithm._judgements_of(subject)) <= 3


def test_every_verdict_is_kept_with_the_first_refusing_plugin() -> None:
    tainted = node("c", taints=[{"key": "k", "effect": "NoSchedule"}])
    state = state_of(node("a", cpu="1"), node("b", unschedulable=True), tainted)
    error = algorithm_of(state).schedule(info("p", requests={"cpu": "2"}))
    assert isinstance(error, FitError)
    assert {name: verdict.plugin for name, verdict in error.verdicts.items()} == {
        "a": "NodeResourcesFit",
        "b": "NodeUnschedulable",
        "c": "TaintToleration",
    }
    assert fit_error_text(error) == (
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), "
        "1 node(s) were unschedulable."
    )


def test_pods_for_named_nodes_ask_only_those() -> None:
    state = state_of(*[node(f"n{i}") for i in range(3)])
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity = {"nodeAffinity": {key: {"nodeSelectorTerms": [term]}}}
    algorithm = algorithm_of(state)
    assert place(state, algorithm, info("p", affinity=affinity)) == "n1"
    refused = algorithm.schedule(info("q", affinity=affinity, requests={"cpu": "9"}))
    assert isinstance(refused, FitError)
    assert fit_error_text(refused) == (
        "0/3 nodes are available: 1 Insufficient cpu, "
        "2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_the_search_in_a_large_cluster_is_bounded() -> None:
    assert [nodes_to_find(n) for n in (5, 99, 100, 1000, 5000)] == [5, 99, 100, 420, 500]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["place", "remove", "cordon"]), st.integers(0, 9)), max_size=30
    )
)
def test_remembered_judgements_equal_fresh_ones(steps: list[tuple[str, int]]) -> None:
    """The equivalence-class cache never changes a decision."""
    state = state_of(*[node(f"n{i}", cpu="2", labels={ZONE: f"z{i % 2}"}) for i in range(4)])
    lasting = algorithm_of(state)
    placed: list[PodInfo] = []
    for number, (step, value) in enumerate(steps):
        if step == "cordon":
            state.cache.set_node(node(f"n{value % 4}", cpu="2", unschedulable=value > 4))
        elif step == "remove" and placed:
            state.cache.remove_pod(placed.pop(value % len(placed)).uid)
        elif step == "place":
            subject = info(f"p{number}", requests={"cpu": f"{value % 3}"})
            remembered, fresh = lasting.schedule(subject), algorithm_of(state).schedule(subject)
            assert isinstance(remembered, Placement) is isinstance(fresh, Placement)
            if isinstance(remembered, Placement) and isinstance(fresh, Placement):
                assert remembered.node == fresh.node
                state.cache.assume(subject, remembered.node)
                placed.append(subject)
            elif isinstance(remembered, FitError) and isinstance(fresh, FitError):
                assert remembered.verdicts == fresh.verdicts


# -- preemption --------------------------------------------------------------------------------


def preempt(state: State, subject: PodInfo, *budgets: Object, **fields: Any) -> Preemption:
    algorithm = algorithm_of(state)
    error = algorithm.schedule(subject)
    assert isinstance(error, FitError)
    arguments = {"nominated": "", "offset": 0, **fields}
    return Planner(state.cache, algorithm).plan(subject, error, budgets, **arguments)


def worker(name: str, priority: int, cpu: str = "2", **fields: Any) -> PodInfo:
    return info(name, priority=priority, requests={"cpu": cpu}, **fields)


def names(plan: Preemption) -> list[str]:
    assert plan.candidate is not None
    return [victim.name for victim in plan.candidate.victims]


def test_the_least_important_pods_go() -> None:
    bound = {"a": [worker("mid", 5), worker("low", 1)]}
    state = state_of(node("a"), bound=bound)
    assert names(preempt(state, worker("vip", 10))) == ["low"]
    assert names(preempt(state, worker("vip", 10, "4"))) == ["mid", "low"]


def test_the_plan_leaves_the_cache_as_it_was() -> None:
    state = state_of(node("a"), bound={"a": [worker("mid", 5), worker("low", 1)]})
    place_before = state.cache.nodes()[0]
    before = (dict(place_before.requested), set(place_before.pods), state.generation())
    preempt(state, worker("vip", 10))
    after = state.cache.nodes()[0]
    assert (dict(after.requested), set(after.pods), state.generation()) == before


def test_a_node_with_lesser_victims_is_preferred() -> None:
    bound = {"a": [worker("x", 5, "4")], "b": [worker("y", 3, "4")]}
    plan = preempt(state_of(node("a"), node("b"), bound=bound), worker("vip", 10))
    assert plan.candidate is not None and plan.candidate.node == "b"


def test_fewer_victims_win_among_equals() -> None:
    bound = {"a": [worker("x", 3), worker("y", 3)], "b": [worker("z", 3, "4")]}
    assert names(preempt(state_of(node("a"), node("b"), bound=bound), worker("vip", 10, "4"))) == [
        "z"
    ]


def test_equals_and_betters_are_safe_and_the_reason_is_told() -> None:
    state = state_of(
        node("a"),
        node("b", taints=[{"key": "k", "effect": "NoSchedule"}]),
        bound={"a": [worker("x", 10, "4")]},
    )
    plan = preempt(state, worker("vip", 10))
    assert plan.candidate is None
    assert plan.text == (
        "no new claims to deallocate, preemption: 0/2 nodes are available: "
        "1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    )


def test_a_pod_may_forgo_preemption() -> None:
    state = state_of(node("a"), bound={"a": [worker("low", 1, "4")]})
    plan = preempt(state, worker("vip", 10, preemptionPolicy="Never"))
    assert plan.candidate is None
    assert plan.text.endswith("preemption: not eligible due to preemptionPolicy=Never.")


def budget(allowed: int) -> Object:
    return {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}},
        "status": {"disruptionsAllowed": allowed},
    }


def test_disruption_budgets_are_spared_where_possible() -> None:
    guarded = {"app": "a"}
    bound = {"a": [worker("x", 1, "4", labels=guarded)], "b": [worker("y", 2, "4")]}
    state = state_of(node("a"), node("b"), bound=bound)
    assert names(preempt(state, worker("vip", 10), budget(0))) == ["y"]
    assert names(preempt(state, worker("vip", 10), budget(1))) == ["x"]


def test_no_second_preemption_while_victims_are_leaving() -> None:
    leaving = pod("low", priority=1, requests={"cpu": "4"})
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    leaving["status"]["conditions"] = [
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    ]
    state = state_of(node("a"), bound={"a": [pod_info(leaving)]})
    plan = preempt(state, worker("vip", 10), nominated="a")
    assert plan.candidate is None
    assert plan.text.endswith("not eligible due to a terminating pod on the nominated node.")


def test_a_promised_node_is_kept_from_lesser_pods() -> None:
    state = state_of(node("a"))
    state.nominations.set(worker("vip", 10, "4"), "a")
    assert isinstance(algorithm_of(state).schedule(worker("low", 1)), FitError)
    assert isinstance(algorithm_of(state).schedule(worker("vip", 10, "4")), Placement)
    assert isinstance(algorithm_of(state).schedule(worker("higher", 11)), Placement)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=6),
    st.integers(1, 4),
)
def test_victims_are_lesser_and_enough_and_needed(pods: list[tuple[int, int]], wanted: int) -> None:
    subject = worker("vip", 3, str(wanted))
    there = [worker(f"x{i}", priority, str(cpu)) for i, (priority, cpu) in enumerate(pods)]
    state = state_of(node("a"), bound={"a": there})
    if isinstance(algorithm_of(state).schedule(subject), Placement):
        return
    plan = preempt(state, subject)
    if plan.candidate is None:
        return
    victims = plan.candidate.victims
    assert victims and all(victim.priority < subject.priority for victim in victims)
    for victim in victims:
        state.cache.remove_pod(victim.uid)
    assert isinstance(algorithm_of(state).schedule(subject), Placement)
    for victim in victims:
        state.cache.assume(victim, "a")
        assert isinstance(algorithm_of(state).schedule(subject), FitError), "one victim too many"
        state.cache.remove_pod(victim.uid)
