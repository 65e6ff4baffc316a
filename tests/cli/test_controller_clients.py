"""Controllers of a separate manager: each under tokens of its own account, on kept connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from kapi.api.errors import NotFound
from kapi.api.object import Object
from kapi.cli import controller_clients
from kapi.cli.controller_clients import ServiceAccountTransport
from kapi.client.client import Client
from kapi.client.kubeconfig import Kubeconfig


class Manager:
    """Has no account until one is made; every token is a new one."""

    def __init__(self) -> None:
        self.accounts: list[str] = []
        self.tokens = 0

    async def request(self, method: str, path: str, *, body: Object) -> Object:
        if not self.accounts:
            raise NotFound("no such account")
        self.tokens += 1
        return {"status": {"token": f"token-{self.tokens}"}}

    async def create(self, _: Any, namespace: str, obj: Object) -> Object:
        self.accounts.append(f"{namespace}/{obj['metadata']['name']}")
        return obj


class Server:
    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.credentials: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = [line for line in head.split("\r\n") if "uthorization" in line]
                self.credentials += [line.partition(": ")[2] for line in lines]
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def running_server() -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield server
    await asyncio.sleep(0.02)


async def test_a_token_is_renewed_without_a_new_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "token"
    own.write_text("of-the-manager")
    manager = Manager()
    async with running_server() as server:
        config = Kubeconfig(server.url, token_file=str(own))
        transport = ServiceAccountTransport("job-controller", cast(Client, manager), config)
        await transport.request("GET", "/api")
        await transport.request("GET", "/api")
        monkeypatch.setattr(controller_clients, "_RENEW_AFTER_SECONDS", -1.0)
        transport._renew_at = 0.0
        await transport.request("GET", "/api")
        await transport.close()
    assert manager.accounts == ["kube-system/job-controller"]
    assert server.credentials == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    assert server.connections == 1
