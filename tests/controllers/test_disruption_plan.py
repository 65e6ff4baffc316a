"""The budget planner: healthy, wanted and allowed, and what time does to approved evictions."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.api.object import condition_of
from kapi.controllers.disruption.plan import (
    ControllerScale,
    Observed,
    SyncFailed,
    expected_and_desired,
    failed_status,
    needs_scale,
    plan,
    seconds_until_stale,
    selector_in_words,
    selects,
    without_disruption,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def stamp(seconds_ago):
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def budget(status=None, generation=3, **spec):
    return {
        "metadata": {"name": "b", "namespace": "default", "generation": generation},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, **spec},
        "status": status or {},
    }


def pod(name="p", ready=True, owner="rs", deleting=False, mark=None, phase="Running"):
    meta = {"name": name, "namespace": "default", "labels": {"app": "x"}}
    if owner:
        reference = {"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
        meta["ownerReferences"] = [{"apiVersion": "apps/v1", **reference}]
    if deleting:
        meta["deletionTimestamp"] = stamp(1)
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    if mark:
        conditions.append({"type": "DisruptionTarget", "status": "True", **mark})
    return {"metadata": meta, "status": {"phase": phase, "conditions": conditions}}


SCALES = {"rs": ControllerScale("d", 10), "rs2": ControllerScale("d", 10)}


def observed(budget_, pods, scales=SCALES, now=NOW):
    return Observed(budget_, pods, scales, now)


def settled(budget_, pods, scales=SCALES):
    """The budget with the status the plan wants."""
    status = plan(observed(budget_, pods, scales)).status
    return {**budget_, "status": status if status is not None else budget_["status"]}


@pytest.mark.parametrize(
    ("spec", "expected", "desired"),
    [
        ({"minAvailable": 2}, 3, 2),
        ({"minAvailable": 0}, 3, 0),
        ({"minAvailable": "45%"}, 10, 5),
        ({"minAvailable": "100%"}, 10, 10),
        ({"maxUnavailable": 3}, 10, 7),
        ({"maxUnavailable": 30}, 10, 0),
        ({"maxUnavailable": "25%"}, 10, 7),
        ({"maxUnavailable": "0%"}, 10, 10),
        ({}, 0, 0),
    ],
)
def test_expected_and_desired(spec, expected, desired):
    pods = [pod("a"), pod("b"), pod("c", owner="rs2")]
    assert expected_and_desired(budget(**spec), pods, SCALES) == (expected, desired)
    assert needs_scale(budget(**spec)) == (expected == 10)


def test_a_controller_is_counted_once_and_bare_pods_not_at_all():
    scales = {"rs": ControllerScale("d", 4), "other": ControllerScale("o", 2)}
    pods = [pod("a"), pod("b"), pod("c", owner="other"), pod("bare", owner=None)]
    assert expected_and_desired(budget(maxUnavailable=1), pods, scales) == (6, 5)


def test_what_cannot_be_counted_allows_nothing():
    with pytest.raises(SyncFailed, match='found no controllers for pod "a"'):
        plan(observed(budget(maxUnavailable=1), [pod("a")], {}))
    with pytest.raises(SyncFailed, match="not a percentage"):
        plan(observed(budget(minAvailable="half"), [pod("a")]))
    before = settled(budget(minAvailable=0), [pod("a")])
    assert before["status"]["disruptionsAllowed"] == 1
    status = failed_status(before, "why", NOW)
    assert status["disruptionsAllowed"] == 0
    assert status["currentHealthy"] == 1
    condition = condition_of(status["conditions"], "DisruptionAllowed")
    assert (condition["status"], condition["reason"]) == ("False", "SyncFailed")
    assert condition["message"] == "why"
    assert failed_status({**before, "status": status}, "why", NOW) is None


def test_a_budget_that_selects_nothing_allows_nothing():
    status = settled(budget(minAvailable=0), [])["status"]
    assert (status["expectedPods"], status["disruptionsAllowed"]) == (0, 0)
    assert status["observedGeneration"] == 3


def test_the_condition_keeps_its_time_while_its_status_lasts():
    first = settled(budget(minAvailable=1), [pod("a"), pod("b")])
    later = NOW + timedelta(seconds=60)
    same = plan(observed(first, [pod("a"), pod("b"), pod("c")], now=later)).status
    condition = condition_of(same["conditions"], "DisruptionAllowed")
    assert (condition["reason"], condition["lastTransitionTime"]) == ("SufficientPods", stamp(0))
    fewer = plan(observed(first, [pod("a")], now=later)).status
    condition = condition_of(fewer["conditions"], "DisruptionAllowed")
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")
    assert condition["lastTransitionTime"] == stamp(-60)
    assert condition["observedGeneration"] == 3


def test_approved_evictions_count_as_gone_for_two_minutes():
    approved = {"a": stamp(30), "b": stamp(119), "gone": stamp(1), "leaving": stamp(1)}
    start = budget({"disruptedPods": approved}, minAvailable=1)
    pods = [pod("a"), pod("b"), pod("c"), pod("leaving", deleting=True)]
    decided = plan(observed(start, pods))
    assert decided.status["disruptedPods"] == {"a": stamp(30), "b": stamp(119)}
    assert decided.status["currentHealthy"] == 1
    assert decided.recheck_in == 1.0
    assert decided.not_deleted == ()
    later = plan(observed(start, pods, now=NOW + timedelta(seconds=1)))
    assert [p["metadata"]["name"] for p in later.not_deleted] == ["b"]
    assert later.status["currentHealthy"] == 2
    assert later.recheck_in == 89.0


def test_an_empty_selector_selects_all_and_none_selects_none():
    assert selects({"spec": {"selector": {}}}, pod())
    assert not selects({"spec": {}}, pod())
    assert not selects({"spec": {"selector": {"matchLabels": {"app": "y"}}}}, pod())


@pytest.mark.parametrize(
    ("candidate", "wait"),
    [
        (pod(), None),
        (pod(mark={"lastTransitionTime": stamp(30)}), 90.0),
        (pod(mark={"lastTransitionTime": stamp(500)}), 0.0),
        (pod(mark={"lastTransitionTime": None}), 0.0),
        (pod(mark={"lastTransitionTime": stamp(500)}, deleting=True), None),
        (pod(mark={"lastTransitionTime": stamp(500)}, phase="Failed"), None),
        (pod(mark={"reason": "TerminationByKubelet", "lastTransitionTime": stamp(9)}), None),
        (pod(mark={"status": "False", "lastTransitionTime": stamp(500)}), None),
    ],
)
def test_when_a_disruption_mark_is_stale(candidate, wait):
    assert seconds_until_stale(candidate, NOW) == wait


def test_a_stale_mark_is_reset_in_a_copy():
    before = pod(mark={"reason": "EvictionByEvictionAPI", "lastTransitionTime": stamp(500)})
    after = without_disruption(before, NOW)
    condition = condition_of(after["status"]["conditions"], "DisruptionTarget")
    assert condition == {
        "type": "DisruptionTarget",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": stamp(0),
    }
    assert seconds_until_stale(after, NOW) is None
    assert seconds_until_stale(before, NOW) == 0.0


def test_selectors_in_words():
    selector = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}],
    }
    assert selector_in_words(selector) == (
        "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},"
        "MatchExpressions:[]LabelSelectorRequirement{"
        "LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}"
    )


AMOUNTS = st.one_of(st.integers(0, 12), st.integers(0, 100).map("{}%".format))
SPECS = st.one_of(
    st.fixed_dictionaries({"minAvailable": AMOUNTS}),
    st.fixed_dictionaries({"maxUnavailable": AMOUNTS}),
)
PODS = st.lists(
    st.tuples(
        st.booleans(), st.booleans(), st.sampled_from(["rs", "rs2", "solo", None]), st.booleans()
    ),
    max_size=8,
)
AGES = st.integers(-10, 200)


@settings(max_examples=200, deadline=None)
@given(SPECS, PODS, st.dictionaries(st.sampled_from([f"p{n}" for n in range(10)]), AGES))
def test_whatever_is_observed_the_budget_holds(spec, rows, approved):
    pods = [
        pod(f"p{n}", ready=ready, deleting=deleting, owner=owner)
        for n, (ready, deleting, owner, _) in enumerate(rows)
    ]
    scales = {**SCALES, "solo": ControllerScale("solo", 3)}
    start = budget({"disruptedPods": {name: stamp(age) for name, age in approved.items()}}, **spec)
    decided = plan(observed(start, pods, scales))
    status = decided.status or start["status"]
    sure = [
        p
        for p, (ready, deleting, _, _) in zip(pods, rows, strict=True)
        if ready and not deleting and approved.get(p["metadata"]["name"], 120) >= 120
    ]
    assert status["currentHealthy"] == len(sure)
    allowed = status["disruptionsAllowed"]
    assert allowed == 0 or len(sure) - allowed >= status["desiredHealthy"]
    assert 0 <= allowed <= len(sure)
    condition = condition_of(status["conditions"], "DisruptionAllowed")
    assert (condition["status"] == "True") == (allowed > 0)
    assert set(status.get("disruptedPods", {})) <= set(approved)
    # The order of the pods does not matter, and what is settled stays.
    backwards = plan(observed(start, pods[::-1], scales))
    assert (backwards.status or start["status"]) == status
    again = plan(observed({**start, "status": status}, pods, scales))
    assert again.status is None
    assert again.recheck_in == decided.recheck_in
    assert again.not_deleted == ()
    # Losing what is allowed, as evictions do it, leaves enough.
    left = [p for p in pods if p not in sure[:allowed]]
    after = plan(observed(start, left, scales)).status
    if allowed and after is not None:
        assert after["currentHealthy"] >= status["desiredHealthy"]
