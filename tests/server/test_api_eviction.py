"""Evictions are counted against the budget, and no budget is spent twice."""

import asyncio

from kapi import env

BUDGETS = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"
READY = [{"type": "Ready", "status": "True"}]


def _pod(name):
    container = {"name": "main", "image": "example.com/app"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [container]},
    }


async def _cluster(api, namespace, *, allowed, ready=READY, policy=None):
    """Two running pods and a budget that allows so many disruptions."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    for name in ("one", "two"):
        created = await api.admin("POST", pods, _pod(name))
        assert created.status == 201, created.body
        status = {"status": {"phase": "Running", "conditions": ready}}
        merge = {"content-type": "application/merge-patch+json"}
        patched = await api.admin("PATCH", f"{pods}/{name}/status", status, merge)
        assert patched.status == 200, patched.body
    budgets = BUDGETS.format(namespace)
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    body = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": spec,
    }
    made = (await api.admin("POST", budgets, body)).body
    made["status"] = {
        "observedGeneration": made["metadata"]["generation"],
        "disruptionsAllowed": allowed,
        "currentHealthy": 2,
        "desiredHealthy": 3,
        "expectedPods": 2,
    }
    answer = await api.admin("PUT", f"{budgets}/web/status", made)
    assert answer.status == 200, answer.body


async def _evict(api, namespace, name):
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    return await api.admin("POST", path, body)


async def _budget(api, namespace):
    return (await api.admin("GET", f"{BUDGETS.format(namespace)}/web")).body


async def test_an_eviction_is_counted_at_its_own_time(api, namespace):
    await _cluster(api, namespace, allowed=1)
    began = env.now().replace(microsecond=0)
    assert (await _evict(api, namespace, "one")).status == 201
    status = (await _budget(api, namespace))["status"]
    assert status.get("disruptionsAllowed", 0) == 0
    assert env.parse_time(status["disruptedPods"]["one"]) >= began


async def test_two_evictions_at_once_do_not_share_one_disruption(api, namespace):
    await _cluster(api, namespace, allowed=1)
    answers = await asyncio.gather(*(_evict(api, namespace, name) for name in ("one", "two")))
    assert sorted(answer.status for answer in answers) == [201, 429]
    refused = next(answer for answer in answers if answer.status == 429)
    (cause,) = refused.body["details"]["causes"]
    assert cause["message"] == (
        "The disruption budget web needs 3 healthy pods and has 2 currently"
    )


async def test_a_budget_its_controller_has_not_seen_refuses_for_a_while(api, namespace):
    await _cluster(api, namespace, allowed=1)
    merge = {"content-type": "application/merge-patch+json"}
    await api.admin(
        "PATCH", f"{BUDGETS.format(namespace)}/web", {"spec": {"minAvailable": 2}}, merge
    )
    answer = await _evict(api, namespace, "one")
    assert (answer.status, answer.headers["retry-after"]) == (429, "10")


async def test_a_pod_that_is_not_ready_may_go_where_the_policy_says_so(api, namespace):
    await _cluster(api, namespace, allowed=0, ready=[], policy="AlwaysAllow")
    assert (await _evict(api, namespace, "one")).status == 201
    assert "disruptedPods" not in (await _budget(api, namespace))["status"]
