"""Controllers of nodes against an API server without the others: blocks, leases of no node."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from kapi import env
from kapi.api.errors import NotFound
from kapi.api.object import Object
from kapi.client.client import LEASES, NODES, Client
from kapi.client.events import EventRecorder
from kapi.client.in_process import InProcessTransport
from kapi.client.informers import Informers
from kapi.controllers.context import Controller, ControllerContext
from kapi.controllers.node_ipam.controller import NodeIpamController
from kapi.controllers.node_ipam.plan import Blocks
from kapi.controllers.node_lifecycle.controller import NodeLifecycleController
from kapi.server.api_server import ApiServer
from kapi.sim.identities import ADMIN, api_server_config
from kapi.storage.memory import MemoryStore


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    store = MemoryStore()
    server = ApiServer(store, api_server_config())
    await server.start()
    yield Client(InProcessTransport(server.app, ADMIN), "test")
    await server.stop()
    await store.close()


@asynccontextmanager
async def running(
    client: Client, make: Callable[[ControllerContext], Controller]
) -> AsyncIterator[Informers]:
    informers, recorder = Informers(client), EventRecorder(client, "test")
    controller = make(ControllerContext(client, informers, recorder))
    informers.start()
    scope = env.TaskScope()
    scope.spawn(controller.run(), "controller")
    try:
        await informers.wait_synced()
        yield informers
    finally:
        await scope.close()
        await informers.close()
        await recorder.close()


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def node(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


async def block_of(client: Client, name: str) -> str:
    return str((await client.get(NODES, "", name))["spec"].get("podCIDR") or "")


async def test_a_block_that_comes_free_goes_to_a_node_that_waits(client: Client) -> None:
    for name in ("a", "b"):
        await client.create(NODES, "", node(name))
    blocks = Blocks("10.0.0.0/23", 24)
    async with running(client, lambda context: NodeIpamController(context, blocks)):

        async def both_served() -> bool:
            return bool(await block_of(client, "a")) and bool(await block_of(client, "b"))

        await until(both_served)
        freed = await block_of(client, "a")
        await client.create(NODES, "", node("c"))
        await asyncio.sleep(0.1)
        assert await block_of(client, "c") == ""
        await client.delete(NODES, "", "a")

        async def served() -> bool:
            return await block_of(client, "c") == freed

        await until(served)


async def test_a_lease_without_a_node_leaves_no_trace(client: Client) -> None:
    lease = {"metadata": {"name": "ghost"}, "spec": {"renewTime": env.micro_timestamp()}}
    made: list[NodeLifecycleController] = []

    def make(context: ControllerContext) -> Controller:
        made.append(NodeLifecycleController(context))
        return made[0]

    async with running(client, make) as informers:
        await client.create(LEASES, "kube-node-lease", lease)
        await client.create(NODES, "", node("a"))
        leases = informers.get(LEASES, "kube-node-lease")

        async def seen() -> bool:
            return len(leases) == 1 and set(made[0]._health) == {"a"}

        await until(seen)
        await client.delete(NODES, "", "a")

        async def forgotten() -> bool:
            return not made[0]._health

        await until(forgotten)
        with pytest.raises(NotFound):
            await client.get(NODES, "", "a")
