"""Budgets and evictions against the real API server and controllers."""

import asyncio

import pytest

from kapi import env
from kapi.api.errors import TooManyRequests
from kapi.api.object import condition_of
from kapi.client.client import (
    DEPLOYMENTS,
    EVENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    ResourceRef,
)

JOBS = ResourceRef("batch", "v1", "jobs", "Job")
DEFINITIONS = ResourceRef(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)
FLEETS = ResourceRef("example.com", "v1", "fleets", "Fleet")
TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "example.com/web:v1"}]},
}


async def deploy(cluster, replicas):
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": TEMPLATE,
    }
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    await cluster.client.create(DEPLOYMENTS, "default", {**body, "spec": spec})

    async def running():
        await cluster.run_pods()
        return len(await healthy(cluster)) == replicas

    await cluster.until(running, f"{replicas} running pods")


async def healthy(cluster):
    return [
        pod["metadata"]["name"]
        for pod in await cluster.pods(app="web")
        if not pod["metadata"].get("deletionTimestamp")
        and (condition_of(pod["status"].get("conditions"), "Ready") or {}).get("status") == "True"
    ]


async def protect(cluster, **spec):
    body = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }
    await cluster.client.create(POD_DISRUPTION_BUDGETS, "default", body)


async def status_with(cluster, **wanted):
    async def check():
        found = await cluster.client.get(POD_DISRUPTION_BUDGETS, "default", "web")
        status = found.get("status") or {}
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        return seen and wanted.items() <= status.items() and status

    return await cluster.until(check, f"a budget with {wanted}")


async def bare_pod(cluster, name, owner=None, **status):
    meta = {"name": name, "labels": {"app": "web"}}
    if owner is not None:
        meta["ownerReferences"] = [owner]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": TEMPLATE["spec"]}
    await cluster.client.create(PODS, "default", body)
    await cluster.client.patch(PODS, "default", name, {"status": status}, subresource="status")


def reference(api_version, obj):
    meta = obj["metadata"]
    return {
        "apiVersion": api_version,
        "kind": obj["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }


async def event_with(cluster, reason):
    async def check():
        listed = (await cluster.client.list(EVENTS, "default"))["items"]
        return next((event for event in listed if event["reason"] == reason), None)

    return await cluster.until(check, f"an event {reason}")


async def evict(cluster, name):
    """True if the pod went, False if its budget refused."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    try:
        await cluster.client.create(PODS, "default", body, name=name, subresource="eviction")
    except TooManyRequests:
        return False
    return True


async def test_a_drain_never_goes_below_the_floor(cluster):
    await deploy(cluster, 8)
    await protect(cluster, minAvailable=6)
    await status_with(cluster, disruptionsAllowed=2, expectedPods=8)
    first = set(await healthy(cluster))
    lowest, finished = len(first), asyncio.Event()

    async def drain(name):
        await cluster.until(lambda: evict(cluster, name), f"the eviction of {name}", 20.0)

    async def watch():
        nonlocal lowest
        while not finished.is_set():
            lowest = min(lowest, len(await healthy(cluster)))
            await asyncio.sleep(0.005)

    async def nodes():
        while not finished.is_set():
            await cluster.run_pods()
            await asyncio.sleep(0.05)

    helpers = [env.spawn(watch(), "watch"), env.spawn(nodes(), "nodes")]
    try:
        await asyncio.gather(*(drain(name) for name in first))
    finally:
        finished.set()
        await asyncio.gather(*helpers)
    # Something was gone at a time, but never more than the two that the budget allows.
    assert lowest in (6, 7)
    assert not first & set(await healthy(cluster))


async def test_parallel_evictions_take_no_more_than_the_budget_has(cluster):
    await deploy(cluster, 6)
    await protect(cluster, maxUnavailable="30%")
    await status_with(cluster, desiredHealthy=4, disruptionsAllowed=2, expectedPods=6)
    answers = await asyncio.gather(*(evict(cluster, name) for name in await healthy(cluster)))
    assert answers.count(True) == 2
    await status_with(cluster, disruptionsAllowed=0, currentHealthy=4)


async def test_a_budget_follows_the_scale(cluster):
    await deploy(cluster, 2)
    await protect(cluster, minAvailable="50%")
    status = await status_with(cluster, expectedPods=2, desiredHealthy=1, disruptionsAllowed=1)
    condition = condition_of(status["conditions"], "DisruptionAllowed")
    assert (condition["status"], condition["reason"]) == ("True", "SufficientPods")
    await cluster.client.patch(DEPLOYMENTS, "default", "web", {"spec": {"replicas": 4}})
    status = await status_with(cluster, expectedPods=4, desiredHealthy=2, disruptionsAllowed=0)
    condition = condition_of(status["conditions"], "DisruptionAllowed")
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")


async def test_pods_of_a_kind_without_scale_fail_the_budget(cluster):
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}}
    template = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
    spec = {"template": template, "suspend": True}
    job = await cluster.client.create(JOBS, "default", {**body, "spec": spec})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await bare_pod(cluster, "one", reference("batch/v1", job), **ready)
    await protect(cluster, maxUnavailable=1)

    async def failed():
        found = await cluster.client.get(POD_DISRUPTION_BUDGETS, "default", "web")
        return condition_of((found.get("status") or {}).get("conditions"), "DisruptionAllowed")

    condition = await cluster.until(failed, "a condition")
    assert condition["reason"] == "SyncFailed"
    assert condition["message"] == "jobs.batch does not implement the scale subresource"
    event = await event_with(cluster, "CalculateExpectedPodCountFailed")
    assert event["source"]["component"] == "controllermanager"
    assert not await evict(cluster, "one")


async def test_a_custom_kind_is_asked_for_its_scale(cluster):
    schema = {
        "type": "object",
        "properties": {
            part: {"type": "object", "properties": {"replicas": {"type": "integer"}}}
            for part in ("spec", "status")
        },
    }
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": paths},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "fleets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "fleets", "singular": "fleet", "kind": "Fleet"},
            "versions": [version],
        },
    }
    await cluster.client.create(DEFINITIONS, "", definition)

    async def established():
        found = await cluster.client.get(DEFINITIONS, "", "fleets.example.com")
        seen = condition_of((found.get("status") or {}).get("conditions"), "Established")
        return seen and seen["status"] == "True"

    await cluster.until(established, "an established kind")
    body = {"apiVersion": "example.com/v1", "kind": "Fleet", "metadata": {"name": "fleet"}}
    fleet = await cluster.client.create(FLEETS, "default", {**body, "spec": {"replicas": 5}})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await bare_pod(cluster, "one", reference("example.com/v1", fleet), **ready)
    await bare_pod(cluster, "bare", **ready)
    await protect(cluster, maxUnavailable="60%")
    await status_with(cluster, expectedPods=5, desiredHealthy=2, currentHealthy=2)
    event = await event_with(cluster, "UnmanagedPods")
    assert "MatchLabels:map[string]string{app: web,}" in event["message"]


@pytest.mark.parametrize("age", [119, 500])
async def test_a_stale_disruption_mark_is_taken_back(cluster, age):
    moment = env.format_time(env.from_timestamp(env.now().timestamp() - age))
    mark = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    conditions = [{**mark, "lastTransitionTime": moment}]
    await bare_pod(cluster, "marked", phase="Running", conditions=conditions)

    async def reset():
        pod = await cluster.client.get(PODS, "default", "marked")
        found = condition_of(pod["status"]["conditions"], "DisruptionTarget")
        return found["status"] == "False" and found

    found = await cluster.until(reset, "a reset condition")
    assert "reason" not in found


async def test_an_eviction_that_never_happens_lapses(cluster):
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await bare_pod(cluster, "one", **ready)
    await protect(cluster, minAvailable=0)
    await status_with(cluster, disruptionsAllowed=1)
    moment = env.format_time(env.from_timestamp(env.now().timestamp() - 119))
    approved = {"status": {"disruptedPods": {"one": moment}}}
    await cluster.client.patch(
        POD_DISRUPTION_BUDGETS, "default", "web", approved, subresource="status"
    )
    await status_with(cluster, currentHealthy=0, disruptionsAllowed=0)
    status = await status_with(cluster, currentHealthy=1, disruptionsAllowed=1)
    assert "disruptedPods" not in status
    event = await event_with(cluster, "NotDeleted")
    assert event["message"] == "Pod was expected by PDB default/web to be deleted but it wasn't"
