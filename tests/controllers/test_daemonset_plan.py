"""The DaemonSet planner: one pod per node, tolerations, rollouts within their limits."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.controllers.daemonset.backoff import FailedPodBackoff
from kapi.controllers.daemonset.placement import fit, is_updated, new_pod, target_node, tolerations
from kapi.controllers.daemonset.plan import (
    Observed,
    next_moment,
    plan,
    plan_status,
    surge_of,
    unavailable_of,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def stamp(seconds_ago):
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def daemon_set(unavailable=1, surge=0, strategy="RollingUpdate", min_ready=0, **pod_spec):
    update = {"type": strategy}
    if strategy == "RollingUpdate":
        update["rollingUpdate"] = {"maxUnavailable": unavailable, "maxSurge": surge}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": "d",
            "namespace": "n",
            "uid": "ds",
            "generation": 4,
            "annotations": {"deprecated.daemonset.template.generation": "2"},
        },
        "spec": {
            "minReadySeconds": min_ready,
            "updateStrategy": update,
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "image": "i"}], **pod_spec},
            },
        },
    }


def node(name, *taints, **labels):
    spec = {"taints": [{"key": key, "effect": effect} for key, effect in taints]}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def pod(name, on, new=True, phase="Running", ready=True, age=100, since=100, leaving=False):
    made = new_pod(daemon_set(), on, "new" if new else "old")
    made["metadata"].update(name=name, uid=name, creationTimestamp=stamp(age))
    made["metadata"]["labels"]["pod-template-generation"] = "2" if new else "1"
    if leaving:
        made["metadata"]["deletionTimestamp"] = stamp(0)
    made["spec"]["nodeName"] = on
    status = "True" if ready and phase == "Running" else "False"
    condition = {"type": "Ready", "status": status, "lastTransitionTime": stamp(since)}
    made["status"] = {"phase": phase, "conditions": [condition]}
    return made


def observe(made, nodes, pods, resting=None):
    return Observed(made, tuple(nodes), tuple(pods), "new", NOW, resting or {})


def names(pods):
    return sorted(each["metadata"]["name"] for each in pods)


N1, N2, N3 = node("n1"), node("n2"), node("n3")


def test_which_nodes_fit():
    assert fit(daemon_set(), N1) == (True, True)
    assert fit(daemon_set(nodeName="n2"), N1) == (False, False)
    assert fit(daemon_set(nodeSelector={"a": "b"}), N1) == (False, False)
    assert fit(daemon_set(nodeSelector={"a": "b"}), node("n1", a="b")) == (True, True)
    assert fit(daemon_set(), node("n1", ("k", "NoSchedule"))) == (False, True)
    assert fit(daemon_set(), node("n1", ("k", "NoExecute"))) == (False, False)
    assert fit(daemon_set(), node("n1", ("k", "PreferNoSchedule"))) == (True, True)
    own = ("node.kubernetes.io/unschedulable", "NoSchedule")
    assert fit(daemon_set(), node("n1", own)) == (True, True)
    network = node("n1", ("node.kubernetes.io/network-unavailable", "NoSchedule"))
    assert fit(daemon_set(), network) == (False, True)
    assert fit(daemon_set(hostNetwork=True), network) == (True, True)


def test_tolerations_of_the_user_for_the_same_taint_are_replaced():
    mine = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "tolerationSeconds": 3}
    other = {"key": "x", "operator": "Exists"}
    found = tolerations({"tolerations": [mine, other]})
    assert found[0] == {
        "key": "node.kubernetes.io/not-ready",
        "operator": "Exists",
        "effect": "NoExecute",
    }
    assert found[1] == other
    assert len(found) == 7


def test_a_pod_is_bound_to_its_node_by_affinity():
    required = {"nodeSelectorTerms": [{"matchExpressions": []}]}
    preferred = [{"weight": 1, "preference": {}}]
    affinity = {
        "podAffinity": {"x": 1},
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": required,
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        },
    }
    made = daemon_set(affinity=affinity)
    built = new_pod(made, "n1", "abc")
    assert target_node(built) == "n1"
    assert built["spec"]["affinity"]["podAffinity"] == {"x": 1}
    found = built["spec"]["affinity"]["nodeAffinity"]
    assert found["preferredDuringSchedulingIgnoredDuringExecution"] == preferred
    assert built["metadata"]["labels"] == {
        "app": "d",
        "controller-revision-hash": "abc",
        "pod-template-generation": "2",
    }
    assert made["spec"]["template"]["spec"]["affinity"] == affinity
    assert is_updated(made, built, "other")
    assert not is_updated(made, pod("p", "n1", new=False), "new")


def test_missing_pods_are_made_and_misplaced_ones_go():
    held = node("n3", ("k", "NoSchedule"))
    shut = node("n4", ("k", "NoExecute"))
    pods = [pod("a", "n2"), pod("b", "n3"), pod("c", "n4"), pod("z", "n4", leaving=True)]
    decided = plan(observe(daemon_set(), [N1, N2, held, shut], pods))
    assert decided.create == ["n1"]
    assert names(decided.delete) == ["c"]


def test_of_two_pods_the_bound_and_older_stays():
    waiting = pod("a", "n1", age=900)
    waiting["spec"]["nodeName"] = ""
    pods = [waiting, pod("b", "n1", age=50), pod("c", "n1", age=60)]
    assert names(plan(observe(daemon_set(), [N1], pods)).delete) == ["a", "b"]


def test_a_pod_that_is_leaving_keeps_its_place_until_it_is_gone():
    decided = plan(observe(daemon_set(), [N1], [pod("a", "n1", leaving=True)]))
    assert not decided.create and not decided.delete
    ended = pod("a", "n1", phase="Failed", leaving=True)
    assert plan(observe(daemon_set(), [N1], [ended])).create == ["n1"]


def test_unbound_pods_of_nodes_that_are_gone_are_deleted():
    lost = pod("a", "n9")
    assert not plan(observe(daemon_set(), [], [lost])).delete
    lost["spec"]["nodeName"] = ""
    assert names(plan(observe(daemon_set(), [], [lost])).delete) == ["a"]


def test_ended_pods_are_deleted_but_a_failing_node_rests():
    pods = [pod("a", "n1", phase="Failed"), pod("b", "n2", phase="Succeeded")]
    decided = plan(observe(daemon_set(), [N1, N2], pods))
    assert [(where, each["metadata"]["name"]) for where, each in decided.finished] == [
        ("n1", "a"),
        ("n2", "b"),
    ]
    assert names(decided.delete) == ["a", "b"]
    rested = observe(daemon_set(), [N1, N2], pods, {"n1": 3.0, "n2": 3.0})
    assert names(plan(rested).delete) == ["b"]
    assert next_moment(rested) == 3.0


def test_limits_round_up_and_never_stop_a_rollout():
    assert unavailable_of(daemon_set("10%"), 3) == 1
    assert unavailable_of(daemon_set("50%"), 3) == 2
    assert unavailable_of(daemon_set(0), 3) == 1
    assert unavailable_of(daemon_set(0), 0) == 0
    assert unavailable_of(daemon_set(0, surge=1), 3) == 0
    assert surge_of(daemon_set(0, surge="10%"), 3) == 1
    assert surge_of(daemon_set(strategy="OnDelete"), 3) == 0


def test_a_rollout_replaces_what_is_down_and_then_up_to_the_limit():
    nodes = [N1, N2, N3]
    old = [pod(f"p{n}", f"n{n}", new=False) for n in (1, 2, 3)]
    assert names(plan(observe(daemon_set(), nodes, old)).delete) == ["p1"]
    assert names(plan(observe(daemon_set(2), nodes, old)).delete) == ["p1", "p2"]
    assert not plan(observe(daemon_set(strategy="OnDelete"), nodes, old)).delete
    down = [old[0], pod("p2", "n2", new=False, ready=False), old[2]]
    assert names(plan(observe(daemon_set(), nodes, down)).delete) == ["p2"]
    starting = [pod("p1", "n1", ready=False), *old[1:]]
    assert not plan(observe(daemon_set(), nodes, starting)).delete
    assert names(plan(observe(daemon_set(2), nodes, starting)).delete) == ["p2"]
    young = [pod("p1", "n1", since=3), *old[1:]]
    assert not plan(observe(daemon_set(min_ready=10), nodes, young)).delete


def test_a_surge_makes_the_new_pod_first():
    made = daemon_set(0, surge=1)
    nodes = [N1, N2, N3]
    old = [pod(f"p{n}", f"n{n}", new=False) for n in (1, 2, 3)]
    assert plan(observe(made, nodes, old)).create == ["n1"]
    waiting = [*old, pod("q1", "n1", ready=False)]
    decided = plan(observe(made, nodes, waiting))
    assert not decided.create and not decided.delete
    ready = [*old, pod("q1", "n1")]
    assert names(plan(observe(made, nodes, ready)).delete) == ["p1"]
    # A node whose old pod is down gets its new pod outside the limit.
    down = [*old[:2], pod("p3", "n3", new=False, ready=False), pod("q1", "n1", ready=False)]
    assert plan(observe(made, nodes, down)).create == ["n3"]
    # An old pod that is not ready does not wait for its successor.
    gone = [pod("p1", "n1", new=False, ready=False), pod("q1", "n1", ready=False), *old[1:]]
    assert names(plan(observe(made, nodes, gone)).delete) == ["p1"]


_NODES = [node(f"n{n}") for n in range(5)] + [node("shut", ("k", "NoExecute"))]
_POD = st.tuples(
    st.sampled_from([each["metadata"]["name"] for each in _NODES]),
    st.booleans(),
    st.sampled_from(["Running", "Running", "Running", "Pending", "Failed"]),
    st.booleans(),
    st.integers(0, 200),
    st.sampled_from([False, False, False, True]),
)
_LIMITS = st.tuples(st.sampled_from([0, 1, 2, "40%"]), st.sampled_from([0, 0, 1, 2, "40%"]))


def _pods(drawn):
    return [
        pod(f"p{n}", on, new, phase, ready, age=age, leaving=leaving)
        for n, (on, new, phase, ready, age, leaving) in enumerate(drawn)
    ]


def _available(each):
    return each["status"]["conditions"][0]["status"] == "True"


@settings(max_examples=300, deadline=None)
@given(st.lists(_POD, max_size=9), _LIMITS)
def test_a_step_keeps_to_one_pod_per_node_and_to_the_limits(drawn, limits):
    unavailable, surge = limits
    made = daemon_set(unavailable if not surge else 0, surge)
    pods = _pods(drawn)
    decided = plan(observe(made, _NODES, pods))
    by_node = {each["metadata"]["name"]: [] for each in _NODES}
    for each in pods:
        by_node[target_node(each)].append(each)
    assert len(set(decided.create)) == len(decided.create)
    assert len(set(names(decided.delete))) == len(decided.delete)
    assert "shut" not in decided.create
    assert not any("deletionTimestamp" in each["metadata"] for each in decided.delete)
    gone = names(decided.delete)
    for name, there in by_node.items():
        staying = [
            each
            for each in there
            if "deletionTimestamp" not in each["metadata"] and each["metadata"]["name"] not in gone
        ]
        running = [each for each in staying if each["status"]["phase"] != "Failed"]
        added = decided.create.count(name)
        assert len(running) + added <= (2 if surge else 1)
        if name == "shut":
            assert not staying
    if decided.create or surge:
        return
    # No node loses an available pod beyond the limit: of those that had just one, not misplaced.
    alone = {name: there for name, there in by_node.items() if len(there) == 1 and name != "shut"}
    lost = [name for name, there in alone.items() if _available(there[0])
            and there[0]["metadata"]["name"] in gone]  # fmt: skip
    down = [name for name, there in by_node.items() if name != "shut" and not any(
        _available(each) and "deletionTimestamp" not in each["metadata"] for each in there
    )]  # fmt: skip
    if lost:
        assert len(lost) + len(down) <= unavailable_of(made, 5)


@settings(max_examples=80, deadline=None)
@given(st.lists(_POD, max_size=9), _LIMITS)
def test_every_rollout_comes_to_rest_with_one_new_pod_per_node(drawn, limits):
    unavailable, surge = limits
    made = daemon_set(unavailable if not surge else 0, surge)
    pods = {each["metadata"]["name"]: each for each in _pods(drawn)}
    count = 100
    for _ in range(60):
        for name, each in list(pods.items()):
            if "deletionTimestamp" in each["metadata"]:
                del pods[name]
            elif each["status"]["phase"] != "Failed":
                each["status"]["phase"] = "Running"
                each["status"]["conditions"][0]["status"] = "True"
        observed = observe(made, _NODES, pods.values())
        decided = plan(observed)
        if not decided.create and not decided.delete:
            break
        for each in decided.delete:
            del pods[each["metadata"]["name"]]
        for name in decided.create:
            count += 1
            pods[f"p{count}"] = pod(f"p{count}", name, phase="Pending", age=0)
    else:
        raise AssertionError(f"no rest: {sorted(pods)}")
    assert sorted(map(target_node, pods.values())) == [f"n{n}" for n in range(5)]
    status = plan_status(observed, caught_up=True, collision_count=None)
    assert status["updatedNumberScheduled"] == status["numberAvailable"] == 5
    assert status["numberMisscheduled"] == status["numberUnavailable"] == 0


def test_the_status_judges_a_node_by_its_most_senior_pod():
    shut = node("n4", ("k", "NoExecute"))
    pods = [
        pod("a", "n1"),
        pod("b", "n2", new=False, age=300),
        pod("c", "n2", ready=False, age=10),
        pod("d", "n4"),
    ]
    observed = observe(daemon_set(0, surge=1), [N1, N2, N3, shut], pods)
    assert plan_status(observed, caught_up=True, collision_count=2) == {
        "desiredNumberScheduled": 3,
        "currentNumberScheduled": 2,
        "numberMisscheduled": 1,
        "numberReady": 2,
        "updatedNumberScheduled": 1,
        "numberAvailable": 2,
        "numberUnavailable": 1,
        "observedGeneration": 4,
        "collisionCount": 2,
    }
    late = plan_status(observed, caught_up=False, collision_count=None)
    assert "observedGeneration" not in late and "collisionCount" not in late


def test_a_failing_node_rests_longer_each_time(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr("kapi.env.monotonic", lambda: clock[0])
    backoff = FailedPodBackoff()
    assert backoff.resting("d") == {}
    for seconds in (1.0, 2.0, 4.0):
        backoff.failed("d", "n1")
        assert backoff.resting("d") == {"n1": seconds}
        clock[0] += seconds
        assert backoff.resting("d") == {}
    for _ in range(20):
        backoff.failed("d", "n1")
    assert backoff.resting("d") == {"n1": 900.0}
    clock[0] += 1801
    backoff.failed("d", "n1")
    assert backoff.resting("d") == {"n1": 1.0}
    backoff.forget("d")
    assert backoff.resting("d") == {}
