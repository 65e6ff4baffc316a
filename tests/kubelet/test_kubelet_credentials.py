"""Tokens of pods are renewed without haste; who may use the kubelet is judged by groups as well."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from kubelet_objects import pod
from starlette.requests import HTTPConnection

from kapi import env
from kapi.api.errors import Forbidden
from kapi.api.object import Object
from kapi.client.client import Client
from kapi.kubelet.server_access import KubeletAccess
from kapi.kubelet.service_account_tokens import ServiceAccountTokens, TokenFailure

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.moment = BEGIN

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - BEGIN).total_seconds()


class TokenServer:
    def __init__(self) -> None:
        self.lost = False
        self.asked = 0

    async def create(self, *_: Any, **__: Any) -> Object:
        self.asked += 1
        if self.lost:
            raise ConnectionError("no server")
        expires = env.format_time(env.now() + timedelta(hours=1))
        return {"status": {"token": f"token-{self.asked}", "expirationTimestamp": expires}}


async def test_a_token_that_cannot_be_renewed_is_asked_for_again_only_after_a_while() -> None:
    clock, server = Clock(), TokenServer()
    with env.simulated(clock, random.Random(1)):
        tokens = ServiceAccountTokens(cast(Client, server))
        assert await tokens.get(pod(), {}) == "token-1"
        server.lost = True
        clock.moment += timedelta(minutes=50)
        assert await tokens.get(pod(), {}) == "token-1"
        renewal = tokens.next_renewal()
        assert renewal is not None
        assert renewal > clock.moment
        assert await tokens.get(pod(), {}) == "token-1"
        assert server.asked == 2
        clock.moment += timedelta(minutes=11)
        with pytest.raises(TokenFailure, match="expired"):
            await tokens.get(pod(), {})
        renewal = tokens.next_renewal()
        assert renewal is not None
        assert renewal > clock.moment
        with pytest.raises(TokenFailure, match="expired"):
            await tokens.get(pod(), {})
        server.lost = False
        assert await tokens.get(pod(), {}) == "token-5"


class Reviews:
    """Every token is one of alice's; only that named `admin` has the group that may."""

    async def create(self, resource: Any, _: str, review: Object) -> Object:
        spec = review["spec"]
        if resource.plural == "tokenreviews":
            user = {"username": "alice", "groups": [spec["token"]]}
            return {"status": {"authenticated": True, "user": user}}
        return {"status": {"allowed": "admin" in spec["groups"]}}


def request_with(token: str) -> HTTPConnection:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    return HTTPConnection({"type": "http", "method": "GET", "headers": headers})


async def test_a_permission_is_not_shared_by_credentials_of_one_name() -> None:
    access = KubeletAccess(cast(Client, Reviews()), "n1")
    await access.check(request_with("admin"), "proxy")
    with pytest.raises(Forbidden):
        await access.check(request_with("guest"), "proxy")
