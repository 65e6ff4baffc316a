"""Nodes, taints, blocks of addresses, pod clean-up, namespace conditions: the pure parts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi import env
from kapi.controllers.namespace.plan import Content, plan_conditions, pods_estimate
from kapi.controllers.node_ipam.plan import Blocks, BlocksExhausted
from kapi.controllers.node_lifecycle.plan import (
    plan_labels,
    plan_taints,
    silent_conditions,
    wants_eviction,
)
from kapi.controllers.node_lifecycle.zones import Zones
from kapi.controllers.pod_gc.plan import plan_removals, unknown_nodes
from kapi.controllers.taint_eviction.plan import FOREVER, seconds_to_stay

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def node(name="n1", ready="True", taints=(), labels=None, unschedulable=False, **conditions):
    listed = [{"type": "Ready", "status": ready, "reason": "r"}] if ready else []
    listed += [{"type": kind, "status": status} for kind, status in conditions.items()]
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "taints": [{"key": key, "effect": effect} for key, effect in taints],
            **({"unschedulable": True} if unschedulable else {}),
        },
        "status": {"conditions": listed},
    }


def pairs(taints):
    return [(t["key"].removeprefix("node.kubernetes.io/"), t["effect"]) for t in taints]


def test_taints_follow_conditions():
    troubled = node(ready="False", unschedulable=True, DiskPressure="True")
    assert pairs(plan_taints(troubled, NOW, may_evict=False)) == [
        ("not-ready", "NoSchedule"),
        ("disk-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ]
    assert ("not-ready", "NoExecute") in pairs(plan_taints(troubled, NOW, may_evict=True))


def test_not_ready_turns_into_unreachable_without_a_new_permit():
    key = "node.kubernetes.io/not-ready"
    silent = node(ready="Unknown", taints=[(key, "NoSchedule"), (key, "NoExecute")])
    assert pairs(plan_taints(silent, NOW, may_evict=False)) == [
        ("unreachable", "NoSchedule"),
        ("unreachable", "NoExecute"),
    ]


def test_a_ready_node_keeps_only_foreign_taints():
    key = "node.kubernetes.io/unreachable"
    mine = [(key, "NoSchedule"), (key, "NoExecute"), ("dedicated", "NoSchedule")]
    assert pairs(plan_taints(node(taints=mine), NOW, may_evict=True)) == [
        ("dedicated", "NoSchedule")
    ]


states = st.builds(
    node,
    ready=st.sampled_from(["True", "False", "Unknown", ""]),
    unschedulable=st.booleans(),
    taints=st.lists(
        st.tuples(
            st.sampled_from(
                [f"node.kubernetes.io/{n}" for n in ("not-ready", "unreachable", "disk-pressure")]
                + ["dedicated"]
            ),
            st.sampled_from(["NoSchedule", "NoExecute"]),
        ),
        max_size=4,
        unique=True,
    ),
    DiskPressure=st.sampled_from(["True", "False"]),
)


@settings(max_examples=200, deadline=None)
@given(states, st.booleans(), st.booleans())
def test_planning_taints_twice_changes_nothing_and_foreign_ones_stay(observed, evict, drop):
    planned = plan_taints(observed, NOW, may_evict=evict, drop_evictions=drop)
    after = (
        observed
        if planned is None
        else {**observed, "spec": {**observed["spec"], "taints": planned}}
    )
    assert plan_taints(after, NOW, may_evict=evict, drop_evictions=drop) is None
    foreign = [t for t in observed["spec"]["taints"] if t["key"] == "dedicated"]
    assert [t for t in after["spec"]["taints"] if t["key"] == "dedicated"] == foreign
    if evict and not drop:
        assert not wants_eviction(after)


def test_silence_makes_conditions_unknown_once():
    told = silent_conditions(node(MemoryPressure="False"), NOW)
    by_type = {c["type"]: (c["status"], c["reason"]) for c in told}
    assert by_type["Ready"] == ("Unknown", "NodeStatusUnknown")
    assert by_type["MemoryPressure"] == ("Unknown", "NodeStatusUnknown")
    assert by_type["PIDPressure"] == ("Unknown", "NodeStatusNeverUpdated")
    silent = node()
    silent["status"]["conditions"] = told
    assert silent_conditions(silent, NOW) is None


def test_old_labels_follow_the_new():
    labelled = node(labels={"kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "x"})
    assert plan_labels(labelled) == {"beta.kubernetes.io/os": "linux"}


def zone_label(name):
    return {"topology.kubernetes.io/zone": name}


def test_eviction_permits_are_rationed_per_zone():
    zones = Zones()
    for number in range(4):
        zones.put(node(f"a{number}", labels=zone_label("a")))
    zones.put(node("b0", labels=zone_label("b")))
    bad = node("a0", "False", labels=zone_label("a"))
    zones.put(bad)
    assert zones.permit(bad) == 0.0
    assert 9 < zones.permit(bad) <= 10
    other = node("b0", "False", labels=zone_label("b"))
    zones.put(other)
    assert zones.permit(other) == 0.0


def test_a_shaky_small_zone_evicts_nothing_and_all_down_neither():
    zones = Zones()
    for number in range(5):
        zones.put(node(f"a{number}", "False" if number < 3 else "True"))
    assert zones.permit(node("a0", "False")) is None
    assert not zones.all_down
    for number in range(5):
        zones.put(node(f"a{number}", "Unknown"))
    assert zones.all_down
    zones.put(node("a0"))
    assert not zones.all_down


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=40))
def test_zone_counts_agree_with_the_nodes(history):
    zones, alive = Zones(), {}
    for number, ready, removed in history:
        changed = node(f"n{number}", str(ready), labels=zone_label(f"z{number % 2}"))
        if removed:
            zones.remove(changed)
            alive.pop(number, None)
        else:
            zones.put(changed)
            alive[number] = ready
        assert zones.all_down == (bool(alive) and not any(alive.values()))


def taint(key, value=""):
    return {"key": key, "value": value, "effect": "NoExecute"}


def test_how_long_a_pod_may_stay():
    exists = {"key": "k", "operator": "Exists", "tolerationSeconds": 30}
    assert seconds_to_stay([], []) == FOREVER
    assert seconds_to_stay([taint("k")], []) == 0
    assert seconds_to_stay([taint("k")], [exists]) == 30
    assert seconds_to_stay([taint("k"), taint("l")], [exists]) == 0
    forever = {"operator": "Exists"}
    assert seconds_to_stay([taint("k"), taint("l")], [forever]) == FOREVER
    assert seconds_to_stay([taint("k")], [forever, exists]) == 30
    assert seconds_to_stay([taint("k", "v")], [{"key": "k", "value": "w"}]) == 0
    assert seconds_to_stay([taint("k", "v")], [{"key": "k", "value": "v"}]) == FOREVER
    assert seconds_to_stay([taint("k")], [{**exists, "tolerationSeconds": -5}]) == 0
    assert seconds_to_stay([taint("k")], [{**exists, "effect": "NoSchedule"}]) == 0


def test_blocks_go_round_and_come_back():
    blocks = Blocks("10.0.0.0/22", 24)
    assert [blocks.take() for _ in range(4)] == [f"10.0.{n}.0/24" for n in range(4)]
    with pytest.raises(BlocksExhausted):
        blocks.take()
    blocks.release("10.0.2.0/24")
    assert blocks.take() == "10.0.2.0/24"


def test_blocks_in_use_and_service_addresses_are_not_given():
    blocks = Blocks("10.0.0.0/22", 24)
    blocks.occupy("10.0.0.0/23")
    blocks.occupy("192.168.0.0/16")
    assert blocks.take() == "10.0.2.0/24"
    with pytest.raises(ValueError, match="does not fit"):
        Blocks("10.0.0.0/24", 16)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 7), max_size=30))
def test_no_block_is_given_twice(releases):
    blocks, given_out = Blocks("10.0.0.0/21", 24), []
    for index in releases:
        if len(given_out) == 8 or (given_out and index < 3):
            blocks.release(given_out.pop(index % len(given_out)))
        else:
            block = blocks.take()
            assert block not in given_out
            given_out.append(block)


def finished(name, phase="Failed", age=0, reason="", **metadata):
    created = env.format_time(NOW - timedelta(seconds=age))
    return {
        "metadata": {"name": name, "namespace": "ns", "creationTimestamp": created, **metadata},
        "spec": {"nodeName": "n1"},
        "status": {"phase": phase, "reason": reason},
    }


def test_the_surplus_of_finished_pods_goes_evicted_first_then_oldest():
    pods = [
        finished("young", age=1),
        finished("old", "Succeeded", age=9),
        finished("evicted", reason="Evicted"),
        finished("running", "Running"),
    ]
    removed = plan_removals(pods, [node()], (), NOW, threshold=1)
    assert [r.pod["metadata"]["name"] for r in removed] == ["evicted", "old"]
    assert not any(r.fail for r in removed)


def test_pods_of_gone_nodes_and_unscheduled_leavers_go():
    lost = finished("lost", "Running")
    lost["spec"]["nodeName"] = "gone"
    leaver = finished("leaver", "Pending", deletionTimestamp="x")
    leaver["spec"] = {}
    removed = plan_removals([lost, leaver], [node()], {"gone"}, NOW)
    assert [(r.pod["metadata"]["name"], r.fail) for r in removed] == [
        ("lost", True),
        ("leaver", True),
    ]
    assert removed[0].condition["reason"] == "DeletionByPodGC"
    assert removed[1].condition is None
    assert unknown_nodes([lost, leaver], [node()]) == ["gone"]


def test_namespace_conditions_are_five_and_move_only_with_their_status():
    content = Content()
    content.remaining["configmaps."] = 2
    content.finalizers["x.io/y"] = 1
    first = plan_conditions(None, content, NOW)
    assert [c["status"] for c in first] == ["False", "False", "False", "True", "True"]
    assert first[3]["message"] == (
        "Some resources are remaining: configmaps. has 2 resource instances"
    )
    later = plan_conditions(first, Content(), NOW + timedelta(hours=1))
    moved = [a["lastTransitionTime"] != b["lastTransitionTime"] for a, b in zip(first, later)]
    assert moved == [False, False, False, True, True]


def test_the_estimate_is_the_longest_grace_of_running_pods():
    def graceful(seconds, phase="Running"):
        return {"spec": {"terminationGracePeriodSeconds": seconds}, "status": {"phase": phase}}

    pods = [graceful(30), graceful(90, "Succeeded"), graceful(5)]
    assert pods_estimate(pods, NOW, NOW + timedelta(seconds=10)) == 30
    assert pods_estimate(pods, NOW, NOW + timedelta(seconds=31)) == 0
