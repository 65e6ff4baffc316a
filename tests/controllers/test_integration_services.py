"""Endpoints, EndpointSlices and the mirror against the real API server."""

from kapi.api.errors import NotFound
from kapi.client.client import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES


async def make_node(cluster, name="n1", **labels):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    await cluster.client.create(NODES, "", node)


async def make_pod(cluster, name, ip, ready=True, node="n1", **spec):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {
            "nodeName": node,
            "containers": [
                {"name": "c", "image": "x", "ports": [{"name": "http", "containerPort": 8080}]}
            ],
            **spec,
        },
    }
    await cluster.client.create(PODS, "default", pod)
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": None}]
    del conditions[0]["lastTransitionTime"]
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions}
    await cluster.client.patch(PODS, "default", name, {"status": status}, subresource="status")


async def make_service(cluster, **spec):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"name": "web", "port": 80, "targetPort": "http"}],
            **spec,
        },
    }
    if spec.get("selector", 1) is None:
        del service["spec"]["selector"]
    await cluster.client.create(SERVICES, "default", service)


async def slices_of(cluster, name="web"):
    selector = f"kubernetes.io/service-name={name}"
    return (await cluster.client.list(ENDPOINT_SLICES, "default", labelSelector=selector))["items"]


async def test_ready_and_unready_pods_are_listed(cluster):
    await make_node(cluster, **{"topology.kubernetes.io/zone": "z1"})
    await make_pod(cluster, "a", "10.244.0.2")
    await make_pod(cluster, "b", "10.244.0.3", ready=False)
    await make_service(cluster)

    async def filled():
        found = await slices_of(cluster)
        return found if found and len(found[0].get("endpoints") or ()) == 2 else None

    [slice_] = await cluster.until(filled, "two endpoints")
    by_ip = {e["addresses"][0]: e for e in slice_["endpoints"]}
    good = by_ip["10.244.0.2"]
    assert good["conditions"] == {"ready": True, "serving": True, "terminating": False}
    assert by_ip["10.244.0.3"]["conditions"]["ready"] is False
    assert (good["zone"], good["nodeName"], good["targetRef"]["name"]) == ("z1", "n1", "a")
    assert slice_["ports"] == [{"name": "web", "port": 8080, "protocol": "TCP"}]
    labels = slice_["metadata"]["labels"]
    assert labels["team"] == "a"
    assert labels["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert slice_["metadata"]["ownerReferences"][0]["kind"] == "Service"

    async def endpoints():
        try:
            found = await cluster.client.get(ENDPOINTS, "default", "web")
        except NotFound:
            return None
        return found if found.get("subsets") else None

    [subset] = (await cluster.until(endpoints))["subsets"]
    assert [a["ip"] for a in subset["addresses"]] == ["10.244.0.2"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.244.0.3"]
    assert subset["ports"] == [{"name": "web", "port": 8080, "protocol": "TCP"}]

    await cluster.client.delete(PODS, "default", "a")

    async def draining():
        [current] = await slices_of(cluster)
        ends = {e["addresses"][0]: e["conditions"] for e in current["endpoints"]}
        return ends.get("10.244.0.2") == {"ready": False, "serving": True, "terminating": True}

    await cluster.until(draining, "a terminating endpoint")
    await cluster.client.delete(SERVICES, "default", "web")

    async def gone():
        try:
            await cluster.client.get(ENDPOINTS, "default", "web")
        except NotFound:
            return not await slices_of(cluster)
        return False

    await cluster.until(gone, "endpoints of a deleted service to go")


async def test_a_service_without_pods_has_an_empty_slice_and_endpoints(cluster):
    await make_service(cluster)

    async def empty():
        found = await slices_of(cluster)
        return found and not found[0].get("endpoints") and not found[0].get("ports")

    await cluster.until(empty)
    assert len(await slices_of(cluster)) == 1
    assert not (await cluster.client.get(ENDPOINTS, "default", "web")).get("subsets")


async def test_pods_whose_node_is_unknown_wait_for_it(cluster):
    await make_pod(cluster, "a", "10.244.0.2", node="later")
    await make_service(cluster)

    async def made():
        return await slices_of(cluster)

    [slice_] = await cluster.until(made)
    assert not slice_.get("endpoints")
    await make_node(cluster, "later")

    async def filled():
        [current] = await slices_of(cluster)
        return current.get("endpoints")

    await cluster.until(filled)


async def test_more_than_a_hundred_pods_take_several_slices(cluster):
    await make_node(cluster)
    for number in range(105):
        await make_pod(cluster, f"p{number}", f"10.244.1.{number + 1}")
    await make_service(cluster, clusterIP="None")

    async def all_there():
        found = await slices_of(cluster)
        return found if sum(len(s.get("endpoints") or ()) for s in found) == 105 else None

    found = await cluster.until(all_there)
    assert sorted(len(s["endpoints"]) for s in found) == [5, 100]
    assert all("service.kubernetes.io/headless" in s["metadata"]["labels"] for s in found)


async def test_hand_written_endpoints_are_mirrored(cluster):
    await make_service(cluster, selector=None)
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "web"},
        "subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"name": "x", "port": 90}]}],
    }
    await cluster.client.create(ENDPOINTS, "default", endpoints)

    async def addresses():
        return [e["addresses"][0] for s in await slices_of(cluster) for e in s["endpoints"]]

    async def is_now(*wanted):
        return (await addresses()) == list(wanted)

    await cluster.until(lambda: is_now("10.1.2.3"))
    patch = {"subsets": [{"addresses": [{"ip": "10.1.2.4"}], "ports": [{"name": "x", "port": 90}]}]}
    await cluster.client.patch(ENDPOINTS, "default", "web", patch)
    await cluster.until(lambda: is_now("10.1.2.4"))
    await cluster.client.delete(ENDPOINTS, "default", "web")
    await cluster.until(lambda: is_now())
