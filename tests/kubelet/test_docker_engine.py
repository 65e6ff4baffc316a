"""The connection to a Docker engine that breaks, and two nodes that make the network at once."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from kapi.kubelet.runtime.docker.engine import DockerEngine, EngineError
from kapi.kubelet.runtime.docker.images import DockerImages
from kapi.kubelet.runtime.docker.network import DockerNetwork
from kapi.kubelet.runtime.docker.runtime import DockerRuntime
from kapi.kubelet.runtime.docker.sandboxes import DockerSandboxes
from kapi.kubelet.runtime.interface import RuntimeUnavailable


@asynccontextmanager
async def engine_that_breaks_off() -> AsyncIterator[str]:
    """Begins an answer, then resets the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_engine_that_breaks_off_is_one_that_is_away() -> None:
    async with engine_that_breaks_off() as url:
        runtime = DockerRuntime("n1", url=url)
        events = []
        with pytest.raises(RuntimeUnavailable):
            async for event in runtime.events():
                events.append(event.what)
        assert events == ["connected"]
        runtime.close()


class Client:
    """Has no network when asked, and has one already when it is to be made."""

    def inspect_network(self, name: str) -> Any:
        raise EngineError(404, f"network {name} not found")

    def create_network(self, name: str, **_: Any) -> Any:
        raise EngineError(409, f"network with name {name} already exists")


class Engine:
    async def call(self, use: Callable[[Any], Any]) -> Any:
        return use(Client())


async def test_a_network_that_another_node_made_meanwhile_will_do() -> None:
    engine = cast(DockerEngine, Engine())
    sandboxes = DockerSandboxes(engine, DockerImages(engine), DockerNetwork(), {})
    await sandboxes.update_pod_cidr("10.244.1.0/24")


async def test_what_docker_takes_away_again_wakes_nobody() -> None:
    """Docker destroys what it failed to create: woken by that, a pod would try without end."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        runtime = DockerRuntime("n1", url=f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(RuntimeUnavailable):
            async for _event in runtime.events():
                pass
        runtime.close()
    target = unquote(next(head for head in asked if "/events" in head).split(" ")[1])
    wanted = json.loads(parse_qs(urlsplit(target).query)["filters"][0])["event"]
    assert "die" in wanted and "start" in wanted
    assert "destroy" not in wanted
