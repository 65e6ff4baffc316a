"""The replica planner: counts, the deletion rank, status."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.controllers.owned_pods import same_status
from kapi.controllers.pods import is_active
from kapi.controllers.replicaset.plan import (
    BURST,
    Failure,
    next_availability,
    plan_replicas,
    plan_status,
    rank_for_deletion,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def stamp(seconds_ago):
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name, phase="Running", node="n1", ready=100, cost=None, restarts=0, age=1000, **meta):
    annotations = {} if cost is None else {"controller.kubernetes.io/pod-deletion-cost": str(cost)}
    status = {"phase": phase, "containerStatuses": [{"name": "c", "restartCount": restarts}]}
    if ready is not None:
        status["conditions"] = [
            {"type": "Ready", "status": "True", "lastTransitionTime": stamp(ready)}
        ]
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": stamp(age),
            "annotations": annotations,
            **meta,
        },
        "spec": {"nodeName": node},
        "status": status,
    }


def owner(replicas=1, kind="ReplicaSet", **spec):
    return {
        "kind": kind,
        "metadata": {"generation": 3},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"a": "b"}}}, **spec},
    }


def names(pods):
    return [p["metadata"]["name"] for p in pods]


def test_the_rank_of_each_criterion():
    assert names(rank_for_deletion([pod("a"), pod("z", node="")], [], NOW)) == ["z", "a"]
    ranked = [pod("r"), pod("u", "Unknown"), pod("p", "Pending")]
    assert names(rank_for_deletion(ranked, [], NOW)) == ["p", "u", "r"]
    assert names(rank_for_deletion([pod("a"), pod("z", ready=None)], [], NOW)) == ["z", "a"]
    assert names(rank_for_deletion([pod("a", cost=5), pod("z", cost=-1)], [], NOW)) == ["z", "a"]
    crowd = [pod("x", node="n2"), pod("y", node="n2"), pod("w", node="n1")]
    two = [pod("a", node="n1"), pod("z", node="n2")]
    assert names(rank_for_deletion(two, crowd, NOW)) == ["z", "a"]
    assert names(rank_for_deletion([pod("a", ready=900), pod("z", ready=3)], [], NOW)) == ["z", "a"]
    assert names(rank_for_deletion([pod("a"), pod("z", restarts=2)], [], NOW)) == ["z", "a"]
    assert names(rank_for_deletion([pod("a", age=900), pod("z", age=3)], [], NOW)) == ["z", "a"]
    # Nearly the same age does not decide; the uid does.
    assert names(rank_for_deletion([pod("z", ready=100), pod("a", ready=101)], [], NOW)) == [
        "a",
        "z",
    ]


def test_a_malformed_deletion_cost_counts_as_zero():
    ranked = rank_for_deletion([pod("a", cost=1), pod("z", cost="many")], [], NOW)
    assert names(ranked) == ["z", "a"]


def test_no_more_than_the_burst_at_once():
    assert plan_replicas(2000, [], [], NOW).create == BURST
    many = [pod(f"p{n}") for n in range(BURST + 10)]
    assert len(plan_replicas(0, many, many, NOW).delete) == BURST


pods = st.lists(
    st.builds(
        pod,
        st.uuids().map(str),
        st.sampled_from(["Running", "Pending", "Failed", "Succeeded", "Unknown"]),
        st.sampled_from(["", "n1", "n2"]),
        st.one_of(st.none(), st.integers(0, 1000)),
        st.one_of(st.none(), st.integers(-5, 5)),
    ).flatmap(
        lambda p: st.sampled_from(
            [p, {**p, "metadata": {**p["metadata"], "deletionTimestamp": stamp(1)}}]
        )
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10), pods)
def test_carrying_the_plan_out_reaches_the_goal(desired, observed):
    plan = plan_replicas(desired, observed, observed, NOW)
    assert not (plan.create and plan.delete)
    assert all(is_active(p) for p in plan.delete)
    gone = {p["metadata"]["uid"] for p in plan.delete}
    after = [p for p in observed if p["metadata"]["uid"] not in gone]
    after += [pod(f"new{n}", "Pending", "", None) for n in range(plan.create)]
    again = plan_replicas(desired, after, after, NOW)
    assert (again.missing, again.create, again.delete) == (0, 0, ())


@settings(max_examples=100, deadline=None)
@given(pods, st.randoms(use_true_random=False))
def test_the_rank_does_not_depend_on_the_order_of_pods(observed, rng):
    shuffled = list(observed)
    rng.shuffle(shuffled)
    assert names(rank_for_deletion(observed, observed, NOW)) == names(
        rank_for_deletion(shuffled, shuffled, NOW)
    )


def test_status_counts_and_terminating_is_for_replica_sets_only():
    seen = [
        pod("a", labels={"a": "b"}),
        pod("b", ready=None),
        pod("c", deletionTimestamp=stamp(1)),
        pod("d", "Failed"),
    ]
    status = plan_status(owner(minReadySeconds=200), seen, None, NOW)
    assert status == {
        "replicas": 2,
        "fullyLabeledReplicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 0,
        "terminatingReplicas": 1,
        "observedGeneration": 3,
    }
    assert "terminatingReplicas" not in plan_status(
        owner(kind="ReplicationController"), seen, None, NOW
    )
    assert next_availability(owner(minReadySeconds=200), seen, NOW) == 100


def test_a_failure_is_noted_once_and_removed_on_success():
    first = plan_status(owner(), [], Failure("FailedCreate", "quota"), NOW)
    [condition] = first["conditions"]
    assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
    later = {**owner(), "status": first}
    again = plan_status(later, [], Failure("FailedCreate", "other"), NOW + timedelta(hours=1))
    assert again["conditions"] == [condition]
    assert "conditions" not in plan_status(later, [], None, NOW)


def test_absent_counters_are_zero():
    assert same_status({"replicas": 0}, {"conditions": []})
    assert not same_status({"replicas": 1}, {})
