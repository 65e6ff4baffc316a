"""An API server over memory, and callers with their own identities."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from kapi import env
from kapi.api.user import GROUP_AUTHENTICATED, GROUP_MASTERS, UserInfo
from kapi.auth.authenticators import StaticTokenAuthenticator, UnionAuthenticator
from kapi.auth.authorizers import cluster_authorizer
from kapi.auth.pki import ClusterPki
from kapi.auth.service_account_tokens import (
    ServiceAccountTokenAuthenticator,
    ServiceAccountTokenIssuer,
)
from kapi.client.client import NAMESPACES, Client
from kapi.client.in_process import InProcessTransport
from kapi.client.interface import Response
from kapi.server.api_server import ApiServer
from kapi.server.config import ApiServerConfig
from kapi.storage.memory import MemoryStore

ADMIN = UserInfo("admin", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))
ALICE = UserInfo("alice", groups=("dev", GROUP_AUTHENTICATED))
JSON = {"content-type": "application/json"}


@dataclass
class Answer:
    """A response, decoded if it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def message(self) -> str:
        return str(self.body["message"])


class Caller:
    """Raw requests as one user: what the typed client hides (codes, headers) is visible."""

    def __init__(self, app: Any, user: UserInfo | None) -> None:
        self.transport = InProcessTransport(app, user)  # type: ignore[arg-type]

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **params: str,
    ) -> Answer:
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        sent = {**(JSON if raw else {}), "user-agent": "tester/1", **(headers or {})}
        answer: Response = await self.transport.request(
            method, path, params=params, body=raw, headers=sent
        )
        kind = answer.headers.get("content-type", "")
        json = "json" in kind and answer.body
        value = orjson.loads(answer.body) if json else answer.body.decode()
        return Answer(answer.status, answer.headers, value)


@dataclass
class Api:
    server: ApiServer
    admin: Caller
    alice: Caller
    nobody: Caller
    client: Client


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    pki = ClusterPki(tmp_path / "pki")
    issuer = ServiceAccountTokenIssuer(pki.ensure_service_account_key())

    def authenticator(lookup: Any) -> UnionAuthenticator:
        return UnionAuthenticator(
            [
                StaticTokenAuthenticator.from_csv("T1,admin,admin-uid,system:masters\n"),
                ServiceAccountTokenAuthenticator(issuer, lookup),
            ]
        )

    config = ApiServerConfig(
        authenticator, cluster_authorizer, issuer, advertise_address="192.0.2.1"
    )
    server = ApiServer(MemoryStore(), config)
    await server.start()
    client = Client(InProcessTransport(server.app, ADMIN), "tester")
    yield Api(
        server,
        Caller(server.app, ADMIN),
        Caller(server.app, ALICE),
        Caller(server.app, None),
        client,
    )
    await server.stop()


@pytest.fixture
async def namespace(api: Api) -> str:
    """A fresh namespace."""
    name = f"t-{env.name_suffix()}"
    await api.client.create(NAMESPACES, "", {"metadata": {"name": name}})
    return name
