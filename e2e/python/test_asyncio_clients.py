"""`kubernetes_asyncio`: the asyncio half of the official client."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from harness import Cluster

pytest.importorskip("kubernetes_asyncio", reason="kubernetes_asyncio is not installed")
from kubernetes_asyncio import client, config, dynamic, watch
from kubernetes_asyncio.client.exceptions import ApiException


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[client.ApiClient]:
    made = await config.new_client_from_config(str(cluster.kubeconfig))
    yield made
    await made.close()


def _config_map(name: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data={"a": "1"})


async def test_objects(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    names = [f"c-{number}" for number in range(10)]
    await asyncio.gather(
        *(core.create_namespaced_config_map(namespace, _config_map(name)) for name in names)
    )
    patched = await core.patch_namespaced_config_map("c-1", namespace, {"data": {"b": "2"}})
    assert patched.data == {"a": "1", "b": "2"}
    listed = await core.list_namespaced_config_map(namespace)
    assert {item.metadata.name for item in listed.items} >= set(names)
    await core.delete_collection_namespaced_config_map(namespace)
    with pytest.raises(ApiException) as missing:
        await core.read_namespaced_config_map("c-1", namespace)
    assert missing.value.status == 404


async def test_watch(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    listed = await core.list_namespaced_config_map(namespace)
    await core.create_namespaced_config_map(namespace, _config_map("one"))
    await core.delete_namespaced_config_map("one", namespace)
    seen = []
    version = listed.metadata.resource_version
    options = {"resource_version": version, "timeout_seconds": 2}
    async with watch.Watch().stream(
        core.list_namespaced_config_map, namespace, **options
    ) as stream:
        async for event in stream:
            seen.append((event["type"], event["object"].metadata.name))
    ours = [event for event in seen if event[1] == "one"]
    assert ours == [("ADDED", "one"), ("DELETED", "one")]


async def test_dynamic(api: client.ApiClient, namespace: str) -> None:
    anything = await dynamic.DynamicClient(api)
    secrets = await anything.resources.get(api_version="v1", kind="Secret")
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    await secrets.create(body=body | {"stringData": {"a": "b"}}, namespace=namespace)
    read = await secrets.get(name="s", namespace=namespace)
    assert read.data.a == "Yg=="
