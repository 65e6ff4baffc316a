"""What an eviction asks of a budget."""

import pytest

from kapi.api.errors import Forbidden, TooManyRequests
from kapi.api.object import condition_of
from kapi.registry.policy.eviction import (
    DISRUPTED_PODS_MAX,
    is_unhealthy_and_free,
    mark_as_disrupted,
    matching_budgets,
    may_become_ready,
    needs_no_budget,
    spend,
)

THEN, NOW = "2026-01-02T03:00:00Z", "2026-01-02T03:04:05Z"


def budget(allowed=1, generation=1, policy=None, **status):
    spec = {"selector": {"matchLabels": {"app": "x"}}}
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    status = {"observedGeneration": 1, "disruptionsAllowed": allowed, **status}
    return {"metadata": {"name": "b", "generation": generation}, "spec": spec, "status": status}


def pod(phase="Running", ready=None, **meta):
    conditions = [] if ready is None else [{"type": "Ready", "status": str(ready)}]
    status = {"phase": phase, "conditions": conditions}
    return {"metadata": {"labels": {"app": "x"}, **meta}, "status": status}


def closed(reason, message):
    condition = {"type": "DisruptionAllowed", "status": "False", "lastTransitionTime": THEN}
    return [{**condition, "reason": reason, "message": message}]


@pytest.mark.parametrize(
    ("candidate", "free", "guarded"),
    [
        (pod("Running"), False, True),
        (pod("Unknown"), False, True),
        (pod("Pending"), True, True),
        (pod("Failed"), True, False),
        (pod("Succeeded"), True, False),
        (pod("Running", deletionTimestamp=THEN), True, False),
    ],
)
def test_which_pods_need_no_budget(candidate, free, guarded):
    assert needs_no_budget(candidate) == free
    assert may_become_ready(candidate) == guarded


def test_which_budgets_match():
    every, other, none = budget(), budget(), budget()
    every["spec"]["selector"] = {}
    other["spec"]["selector"] = {"matchLabels": {"app": "y"}}
    del none["spec"]["selector"]
    broken = budget()
    broken["spec"]["selector"] = {"matchExpressions": [{"key": "a", "operator": "Is"}]}
    own = budget()
    assert matching_budgets([every, other, none, broken, own], pod()) == [every, own]


@pytest.mark.parametrize("policy", [None, "IfHealthyBudget"])
def test_an_unready_pod_may_go_while_the_budget_is_met(policy):
    for ready in (None, False):
        unready = pod(ready=ready)
        assert is_unhealthy_and_free(
            budget(0, policy=policy, currentHealthy=2, desiredHealthy=2), unready
        )
        assert not is_unhealthy_and_free(
            budget(0, policy=policy, currentHealthy=1, desiredHealthy=2), unready
        )
        assert not is_unhealthy_and_free(
            budget(0, policy=policy, currentHealthy=1, desiredHealthy=0), unready
        )
    met = budget(0, policy=policy, currentHealthy=2, desiredHealthy=2)
    assert not is_unhealthy_and_free(met, pod(ready=True))


def test_an_unready_pod_may_always_go_if_the_budget_says_so():
    starved = budget(0, policy="AlwaysAllow", currentHealthy=0, desiredHealthy=2)
    assert is_unhealthy_and_free(starved, pod(ready=False))
    assert not is_unhealthy_and_free(starved, pod(ready=True))


def test_spending():
    before = budget(2, disruptedPods={"a": THEN})
    spend(before, "b", NOW)
    assert before["status"]["disruptionsAllowed"] == 1
    assert before["status"]["disruptedPods"] == {"a": THEN, "b": NOW}
    assert "conditions" not in before["status"]
    spend(before, "c", NOW)
    condition = condition_of(before["status"]["conditions"], "DisruptionAllowed")
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")
    with pytest.raises(TooManyRequests):
        spend(before, "d", NOW)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ({"currentHealthy": 1, "desiredHealthy": 2}, "needs 2 healthy pods and has 1 currently"),
        ({"currentHealthy": 2, "desiredHealthy": 2}, "needs 2 healthy pods and has 2 currently"),
        (
            {"conditions": closed("SyncFailed", "no scale")},
            "does not allow evicting pods currently because it failed sync: no scale",
        ),
        (
            {"currentHealthy": 3, "conditions": closed("Held", "by hand")},
            "does not allow evicting pods currently (Held): by hand",
        ),
        ({"currentHealthy": 3}, "does not allow evicting pods currently"),
        (
            {"currentHealthy": 3, "conditions": closed("InsufficientPods", "")},
            "does not allow evicting pods currently",
        ),
    ],
)
def test_why_nothing_is_allowed(status, cause):
    with pytest.raises(TooManyRequests) as refused:
        spend(budget(0, **status), "p", NOW)
    assert refused.value.retry_after is None
    assert refused.value.details["causes"] == [
        {"reason": "DisruptionBudget", "message": f"The disruption budget b {cause}"}
    ]


def test_a_budget_the_controller_has_not_read_is_not_spent():
    with pytest.raises(TooManyRequests) as refused:
        spend(budget(1, generation=2), "p", NOW)
    assert refused.value.retry_after == 10
    assert "still being processed" in refused.value.details["causes"][0]["message"]


def test_impossible_statuses_are_refused():
    with pytest.raises(Forbidden, match='"b" is forbidden: pdb disruptions allowed is negative'):
        spend(budget(-1), "p", NOW)
    many = {f"p{number}": THEN for number in range(DISRUPTED_PODS_MAX + 1)}
    with pytest.raises(Forbidden, match="DisruptedPods map too big"):
        spend(budget(1, disruptedPods=many), "p", NOW)
    many.popitem()
    spend(budget(1, disruptedPods=many), "p", NOW)


def test_the_mark_keeps_its_time_while_it_stands():
    marked = pod(ready=True)
    mark_as_disrupted(marked, THEN)
    mark_as_disrupted(marked, NOW)
    ready, mark = marked["status"]["conditions"]
    assert ready["type"] == "Ready"
    assert (mark["reason"], mark["lastTransitionTime"]) == ("EvictionByEvictionAPI", THEN)
    mark["status"] = "False"
    mark_as_disrupted(marked, NOW)
    mark = condition_of(marked["status"]["conditions"], "DisruptionTarget")
    assert (mark["status"], mark["lastTransitionTime"]) == ("True", NOW)
