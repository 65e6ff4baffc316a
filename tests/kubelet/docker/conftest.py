"""A Docker engine for the tests of this folder, cleaned up afterwards."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import pytest_asyncio
from docker_bench import IMAGE, NETWORK, SCOPE, Bench, import_busybox

from kapi.client.client import PODS
from kapi.server.api_server import ApiServer
from kapi.sim.identities import api_server_config
from kapi.storage.memory import MemoryStore


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """The engine, with the test image; leaves no container and no network behind."""
    try:
        client = docker.APIClient(timeout=60)
        client.ping()
    except docker.errors.DockerException:
        pytest.skip("no Docker engine answers")
    busybox = Path("/bin/busybox")
    if not busybox.exists():
        pytest.skip("no static busybox to make an image from")
    if not client.images(IMAGE):
        import_busybox(client, busybox)
    yield client
    label = f"kapi.scope={SCOPE}"
    for row in client.containers(all=True, filters={"label": label}):
        client.remove_container(row["Id"], force=True, v=True)
    if client.networks(names=[NETWORK.name]):
        client.remove_network(NETWORK.name)
    client.close()


@pytest_asyncio.fixture
async def bench(engine: Any, tmp_path: Path) -> AsyncIterator[Bench]:
    server = ApiServer(MemoryStore(), api_server_config())
    await server.start()
    made = Bench(server, tmp_path / "kubelet", engine)
    await made.start()
    await made.node_ready()
    yield made
    for pod in (await made.admin.list(PODS, "default"))["items"]:
        await made.delete(pod["metadata"]["name"], gracePeriodSeconds=1)
    for pod in (await made.admin.list(PODS, "default"))["items"]:
        await made.wait_gone(pod["metadata"]["name"])
    await made.until(made.is_empty, "the kubelet to have cleaned up")
    await made.stop()
    await server.stop()
