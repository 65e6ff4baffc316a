"""Deployments, ReplicaSets and their pods against the real API server."""

import asyncio

from kapi.api.errors import NotFound
from kapi.api.object import condition_of
from kapi.client.client import (
    DEPLOYMENTS,
    EVENTS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
)


def template(image="web:v1", **labels):
    return {
        "metadata": {"labels": labels or {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }


def deployment(replicas=3, image="web:v1", **spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "annotations": {"note": "kept"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
            **spec,
        },
    }


async def pod_count(cluster, count):
    async def check():
        pods = await cluster.pods(app="web")
        return len([p for p in pods if not p["metadata"].get("deletionTimestamp")]) == count

    await cluster.until(check, f"{count} pods")


async def rolled_out(cluster, image, replicas):
    """Run pods until every replica has the image; returns the lowest ready count seen."""
    lowest = replicas

    async def check():
        nonlocal lowest
        await cluster.run_pods()
        found = await cluster.client.get(DEPLOYMENTS, "default", "web")
        status = found["status"]
        pods = await cluster.pods(app="web")
        ready = [p for p in pods if condition_of(p["status"].get("conditions"), "Ready")]
        lowest = min(lowest, len(ready))
        done = (
            status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("updatedReplicas") == replicas
            and status.get("replicas") == replicas
            and status.get("availableReplicas") == replicas
            and all(p["spec"]["containers"][0]["image"] == image for p in pods)
        )
        return found if done else None

    return await cluster.until(check, f"rollout of {image}"), lowest


async def test_a_deployment_makes_pods_scales_and_reports(cluster):
    await cluster.client.create(DEPLOYMENTS, "default", deployment())
    await pod_count(cluster, 3)
    found, _ = await rolled_out(cluster, "web:v1", 3)

    async def available():
        live = await cluster.client.get(DEPLOYMENTS, "default", "web")
        return (
            condition_of(live["status"]["conditions"], "Progressing")["reason"]
            == ("NewReplicaSetAvailable")
            and live
        )

    found = await cluster.until(available)
    assert condition_of(found["status"]["conditions"], "Available")["status"] == "True"
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    [rs] = (await cluster.client.list(REPLICA_SETS, "default"))["items"]
    suffix = rs["metadata"]["labels"]["pod-template-hash"]
    assert rs["metadata"]["name"] == f"web-{suffix}"
    assert set(suffix) <= set("456789bcdf")
    assert rs["metadata"]["annotations"]["note"] == "kept"
    assert rs["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] == "4"
    assert rs["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] is True
    [pod, *_] = await cluster.pods(app="web")
    assert pod["metadata"]["name"].startswith(f"web-{suffix}-")
    assert pod["metadata"]["ownerReferences"][0]["name"] == rs["metadata"]["name"]

    scale = {"spec": {"replicas": 5}}
    await cluster.client.patch(DEPLOYMENTS, "default", "web", scale)
    await pod_count(cluster, 5)
    await cluster.client.patch(DEPLOYMENTS, "default", "web", {"spec": {"replicas": 0}})
    await pod_count(cluster, 0)

    async def events():
        listed = (await cluster.client.list(EVENTS, "default"))["items"]
        seen = {(e["reason"], e["message"], e["source"]["component"]) for e in listed}
        name = rs["metadata"]["name"]
        source = "deployment-controller"
        wanted = {
            ("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to 3", source),
            ("ScalingReplicaSet", f"Scaled up replica set {name} from 3 to 5", source),
            ("ScalingReplicaSet", f"Scaled down replica set {name} from 5 to 0", source),
        }
        return wanted <= seen and any(r == "SuccessfulCreate" for r, _, _ in seen)

    await cluster.until(events, "events")


async def test_a_rolling_update_keeps_the_floor_and_rolls_back(cluster):
    await cluster.client.create(DEPLOYMENTS, "default", deployment(4))
    await rolled_out(cluster, "web:v1", 4)
    for image, revision in (("web:v2", "2"), ("web:v3", "3"), ("web:v1", "4")):
        patch = {"spec": {"template": template(image)}}
        await cluster.client.patch(DEPLOYMENTS, "default", "web", patch)
        found, lowest = await rolled_out(cluster, image, 4)
        assert lowest >= 3
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == revision
    replica_sets = (await cluster.client.list(REPLICA_SETS, "default"))["items"]
    assert len(replica_sets) == 3
    [current] = [rs for rs in replica_sets if rs["spec"]["replicas"] == 4]
    history = current["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"]
    assert history == "1"


async def test_recreate_never_mixes_versions(cluster):
    await cluster.client.create(
        DEPLOYMENTS, "default", deployment(2, strategy={"type": "Recreate"})
    )
    await rolled_out(cluster, "web:v1", 2)
    mixed = []

    async def watch():
        async for _ in cluster.client.watch(PODS, "default"):
            images = {p["spec"]["containers"][0]["image"] for p in await cluster.pods(app="web")}
            mixed.append(len(images) > 1)

    watcher = asyncio.ensure_future(watch())
    await cluster.client.patch(
        DEPLOYMENTS, "default", "web", {"spec": {"template": template("web:v2")}}
    )
    await rolled_out(cluster, "web:v2", 2)
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)
    assert mixed
    assert not any(mixed)


async def test_history_beyond_the_limit_goes(cluster):
    await cluster.client.create(DEPLOYMENTS, "default", deployment(1, revisionHistoryLimit=1))
    for number in (1, 2, 3, 4):
        image = f"web:v{number}"
        patch = {"spec": {"template": template(image)}}
        await cluster.client.patch(DEPLOYMENTS, "default", "web", patch)
        await rolled_out(cluster, image, 1)

    async def trimmed():
        return len((await cluster.client.list(REPLICA_SETS, "default"))["items"]) == 2

    await cluster.until(trimmed, "two ReplicaSets")


async def test_a_paused_deployment_does_not_roll_but_scales(cluster):
    await cluster.client.create(DEPLOYMENTS, "default", deployment(2))
    await rolled_out(cluster, "web:v1", 2)
    patch = {"spec": {"paused": True, "replicas": 3, "template": template("web:v2")}}
    await cluster.client.patch(DEPLOYMENTS, "default", "web", patch)
    await pod_count(cluster, 3)
    assert len((await cluster.client.list(REPLICA_SETS, "default"))["items"]) == 1

    async def said():
        live = await cluster.client.get(DEPLOYMENTS, "default", "web")
        return condition_of(live["status"]["conditions"], "Progressing")["reason"] == (
            "DeploymentPaused"
        )

    await cluster.until(said)
    await cluster.client.patch(DEPLOYMENTS, "default", "web", {"spec": {"paused": False}})
    await rolled_out(cluster, "web:v2", 3)


async def test_pods_are_adopted_released_and_replaced(cluster):
    pod = {"metadata": {"name": "early", "labels": {"app": "web"}}, **template()}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "early", "labels": {"app": "web"}},
        "spec": template()["spec"],
    }
    await cluster.client.create(PODS, "default", pod)
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
        },
    }
    await cluster.client.create(REPLICA_SETS, "default", replica_set)
    await pod_count(cluster, 2)

    async def adopted():
        live = await cluster.client.get(PODS, "default", "early")
        return live["metadata"].get("ownerReferences")

    [reference] = await cluster.until(adopted)
    assert reference["controller"] is True
    patch = {"metadata": {"labels": {"app": "debug"}}}
    await cluster.client.patch(PODS, "default", "early", patch)
    await pod_count(cluster, 2)

    async def released():
        return not await adopted()

    await cluster.until(released)
    victim = (await cluster.pods(app="web"))[0]["metadata"]["name"]
    await cluster.client.delete(PODS, "default", victim, options={"gracePeriodSeconds": 0})
    await pod_count(cluster, 2)


async def test_a_replication_controller_works_too(cluster):
    owner = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": "old"},
        "spec": {"replicas": 2, "selector": {"app": "web"}, "template": template()},
    }
    await cluster.client.create(REPLICATION_CONTROLLERS, "default", owner)
    await pod_count(cluster, 2)
    await cluster.run_pods()

    async def ready():
        live = await cluster.client.get(REPLICATION_CONTROLLERS, "default", "old")
        return live["status"].get("readyReplicas") == 2

    await cluster.until(ready)


async def test_namespaces_get_an_account_and_the_ca(cluster):
    from kapi.client.client import CONFIG_MAPS, SERVICE_ACCOUNTS

    async def account():
        try:
            return await cluster.client.get(SERVICE_ACCOUNTS, "default", "default")
        except NotFound:
            return None

    await cluster.until(account)

    async def ca():
        try:
            found = await cluster.client.get(CONFIG_MAPS, "default", "kube-root-ca.crt")
        except NotFound:
            return None
        return found["data"] == {"ca.crt": "CA PEM"}

    await cluster.until(ca)
    patch = {"data": {"ca.crt": "evil"}}
    await cluster.client.patch(CONFIG_MAPS, "default", "kube-root-ca.crt", patch)
    await cluster.until(ca)
