"""Garbage collection, namespaces, nodes and evictions against the real API server."""

import asyncio

from kapi import env
from kapi.api.errors import NotFound
from kapi.api.object import condition_of
from kapi.client.client import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from kapi.controllers.pod_gc import controller as pod_gc


def config_map(name, owner=None, block=True, **extra):
    metadata = {"name": name, **extra}
    if owner is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "blockOwnerDeletion": block,
            }
        ]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def gone(cluster, resource, name, namespace="default"):
    async def check():
        try:
            await cluster.client.get(resource, namespace, name)
        except NotFound:
            return True
        return False

    await cluster.until(check, f"{resource.plural}/{name} to go")


def web(replicas=2):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "x"}]},
            },
        },
    }


async def deployed(cluster, replicas=2):
    await cluster.client.create(DEPLOYMENTS, "default", web(replicas))

    async def there():
        return len(await cluster.pods(app="web")) == replicas

    await cluster.until(there)


async def test_deleting_a_deployment_takes_its_replica_set_and_pods(cluster):
    await deployed(cluster)
    await cluster.client.delete(DEPLOYMENTS, "default", "web")

    async def all_gone():
        sets = (await cluster.client.list(REPLICA_SETS, "default"))["items"]
        return not sets and not await cluster.pods(app="web")

    await cluster.until(all_gone)


async def test_orphaning_leaves_dependents_without_reference(cluster):
    await deployed(cluster)
    options = {"propagationPolicy": "Orphan"}
    await cluster.client.delete(DEPLOYMENTS, "default", "web", options=options)
    await gone(cluster, DEPLOYMENTS, "web")
    [rs] = (await cluster.client.list(REPLICA_SETS, "default"))["items"]
    assert "ownerReferences" not in rs["metadata"]
    await asyncio.sleep(0.2)
    assert len(await cluster.pods(app="web")) == 2


async def test_foreground_deletion_waits_for_blocking_dependents(cluster):
    await deployed(cluster, 1)
    [pod] = await cluster.pods(app="web")
    finalizers = {"metadata": {"finalizers": ["example.com/hold"]}}
    await cluster.client.patch(PODS, "default", pod["metadata"]["name"], finalizers)
    options = {"propagationPolicy": "Foreground"}
    await cluster.client.delete(DEPLOYMENTS, "default", "web", options=options)

    async def pod_leaving():
        found = await cluster.client.get(PODS, "default", pod["metadata"]["name"])
        return found["metadata"].get("deletionTimestamp")

    await cluster.until(pod_leaving)
    held = await cluster.client.get(DEPLOYMENTS, "default", "web")
    assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
    free = {"metadata": {"finalizers": None}}
    await cluster.client.patch(PODS, "default", pod["metadata"]["name"], free)
    await gone(cluster, DEPLOYMENTS, "web")


async def test_one_living_owner_is_enough_and_dangling_references_go(cluster):
    client = cluster.client
    first = await client.create(CONFIG_MAPS, "default", config_map("first"))
    second = await client.create(CONFIG_MAPS, "default", config_map("second"))
    dependent = config_map("dependent", first)
    dependent["metadata"]["ownerReferences"] += config_map("x", second)["metadata"][
        "ownerReferences"
    ]
    await client.create(CONFIG_MAPS, "default", dependent)
    await client.delete(CONFIG_MAPS, "default", "first")

    async def trimmed():
        found = await client.get(CONFIG_MAPS, "default", "dependent")
        return [r["name"] for r in found["metadata"]["ownerReferences"]] == ["second"]

    await cluster.until(trimmed)
    await client.delete(CONFIG_MAPS, "default", "second")
    await gone(cluster, CONFIG_MAPS, "dependent")


async def test_objects_of_owners_that_never_were_go(cluster):
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "no"}}
    await cluster.client.create(CONFIG_MAPS, "default", config_map("dependent", ghost))
    await gone(cluster, CONFIG_MAPS, "dependent")


async def test_an_owner_of_unknown_kind_keeps_its_dependent(cluster):
    owner = {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t", "uid": "u"}}
    await cluster.client.create(CONFIG_MAPS, "default", config_map("dependent", owner))
    await asyncio.sleep(0.3)
    await cluster.client.get(CONFIG_MAPS, "default", "dependent")


async def test_an_owner_in_another_namespace_does_not_count(cluster):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}}
    await cluster.client.create(NAMESPACES, "", namespace)
    owner = await cluster.client.create(CONFIG_MAPS, "other", config_map("owner"))
    await cluster.client.create(CONFIG_MAPS, "default", config_map("dependent", owner))
    await gone(cluster, CONFIG_MAPS, "dependent")


async def test_a_circle_of_owners_in_foreground_deletion_ends(cluster):
    client = cluster.client
    one = await client.create(CONFIG_MAPS, "default", config_map("one"))
    two = await client.create(CONFIG_MAPS, "default", config_map("two", one))
    reference = config_map("x", two)["metadata"]["ownerReferences"]
    patch = {"metadata": {"ownerReferences": reference}}
    await client.patch(CONFIG_MAPS, "default", "one", patch)
    await asyncio.sleep(0.1)
    options = {"propagationPolicy": "Foreground"}
    await client.delete(CONFIG_MAPS, "default", "one", options=options)
    await gone(cluster, CONFIG_MAPS, "one")
    await gone(cluster, CONFIG_MAPS, "two")


async def test_a_namespace_is_emptied_pods_first(cluster):
    client = cluster.client
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    await client.create(NAMESPACES, "", namespace)

    async def account():
        return (await client.list(SERVICE_ACCOUNTS, "team"))["items"]

    await cluster.until(account)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "finalizers": ["example.com/hold"]},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    }
    await client.create(PODS, "team", pod)
    await client.create(CONFIG_MAPS, "team", config_map("kept-till-later"))
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    await client.create(SERVICES, "team", {"apiVersion": "v1", "kind": "Service", **service})
    await client.delete(NAMESPACES, "", "team")

    async def reported():
        found = await client.get(NAMESPACES, "", "team")
        conditions = found["status"].get("conditions")
        return found["status"]["phase"] == "Terminating" and condition_of(
            conditions, "NamespaceFinalizersRemaining"
        )

    condition = await cluster.until(reported)
    assert condition["status"] == "True"
    assert "example.com/hold in 1 resource instances" in condition["message"]
    await client.get(CONFIG_MAPS, "team", "kept-till-later")
    await client.patch(PODS, "team", "p", {"metadata": {"finalizers": None}})
    await gone(cluster, NAMESPACES, "team", "")


async def node(cluster, name="n1", ready="True"):
    await cluster.client.create(
        NODES, "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    )
    await set_ready(cluster, name, ready)


async def set_ready(cluster, name, ready):
    now = env.timestamp()
    condition = {"type": "Ready", "status": ready, "lastHeartbeatTime": now}
    condition["lastTransitionTime"] = now
    patch = {"status": {"conditions": [condition]}}
    await cluster.client.patch(NODES, "", name, patch, subresource="status")


async def taints(cluster, name="n1"):
    found = await cluster.client.get(NODES, "", name)
    return {(t["key"].split("/")[1], t["effect"]) for t in found["spec"].get("taints") or ()}


async def test_nodes_get_blocks_of_addresses_and_keep_them(cluster):
    for name in ("n1", "n2"):
        await node(cluster, name)

    async def blocks():
        items = (await cluster.client.list(NODES))["items"]
        found = [item["spec"].get("podCIDR") for item in items]
        return found if all(found) else None

    assert sorted(await cluster.until(blocks)) == ["10.244.0.0/24", "10.244.1.0/24"]


async def test_an_unready_node_is_tainted_and_pods_leave_it(cluster):
    await node(cluster, "n1")
    await node(cluster, "n2")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {
            "nodeName": "n1",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "x"}],
            "tolerations": [
                {
                    "key": "node.kubernetes.io/not-ready",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 1,
                }
            ],
        },
    }
    await cluster.client.create(PODS, "default", pod)
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await cluster.client.patch(PODS, "default", "p", ready, subresource="status")
    await set_ready(cluster, "n1", "False")

    async def tainted():
        return {("not-ready", "NoSchedule"), ("not-ready", "NoExecute")} <= await taints(cluster)

    await cluster.until(tainted)

    async def marked():
        found = await cluster.client.get(PODS, "default", "p")
        return condition_of(found["status"]["conditions"], "Ready")["status"] == "False"

    await cluster.until(marked)
    await gone(cluster, PODS, "p")
    await set_ready(cluster, "n1", "True")

    async def clean():
        return not await taints(cluster)

    await cluster.until(clean)


async def test_nothing_is_evicted_when_every_node_is_down(cluster):
    await node(cluster, "n1")
    await set_ready(cluster, "n1", "False")

    async def tainted():
        return ("not-ready", "NoSchedule") in await taints(cluster)

    await cluster.until(tainted)
    await asyncio.sleep(0.2)
    assert ("not-ready", "NoExecute") not in await taints(cluster)


async def test_a_cordoned_node_is_tainted_and_cleaned(cluster):
    await node(cluster)
    await cluster.client.patch(NODES, "", "n1", {"spec": {"unschedulable": True}})

    async def cordoned():
        return ("unschedulable", "NoSchedule") in await taints(cluster)

    await cluster.until(cordoned)
    await cluster.client.patch(NODES, "", "n1", {"spec": {"unschedulable": None}})

    async def clean():
        return not await taints(cluster)

    await cluster.until(clean)


async def test_pods_of_vanished_nodes_are_removed(cluster, monkeypatch):
    monkeypatch.setattr(pod_gc, "NODE_QUARANTINE_SECONDS", 0.2)
    monkeypatch.setattr(pod_gc, "_PERIOD", 0.1)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lost"},
        "spec": {"nodeName": "never", "containers": [{"name": "c", "image": "x"}]},
    }
    await cluster.client.create(PODS, "default", pod)
    await gone(cluster, PODS, "lost")
