"""Clients for a controller manager that runs as a process of its own.

Each controller acts as its own service account, as upstream's does with
`--use-service-account-credentials`: the manager creates the account and asks for its tokens. In
`kapi up` nothing of this is needed, as identities there travel in process.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from kapi import env
from kapi.api.errors import AlreadyExists, NotFound
from kapi.client.client import SERVICE_ACCOUNTS, Client
from kapi.client.https import HttpsTransport
from kapi.client.interface import Response
from kapi.client.kubeconfig import Kubeconfig

_NAMESPACE = "kube-system"
_LIFETIME_SECONDS = 3600
_RENEW_AFTER_SECONDS = 0.8 * _LIFETIME_SECONDS


class ServiceAccountTransport:
    """Requests under a token of a service account; the token is renewed before it ends.

    `manager` may create service accounts and their tokens. Raises what its requests raise.
    """

    def __init__(self, name: str, manager: Client, config: Kubeconfig) -> None:
        self._name = name
        self._manager = manager
        # None of the manager's own credentials: those of the account alone count.
        self._config = replace(
            config, client_cert_pem="", client_key_pem="", token="", token_file=""
        )
        self._transport: HttpsTransport | None = None
        self._renew_at = 0.0
        self._renewing = asyncio.Lock()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        transport = await self._current()
        return await transport.request(method, path, params=params, body=body, headers=headers)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        transport = await self._current()
        async with transport.stream(method, path, params=params, headers=headers) as opened:
            yield opened

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()

    async def _current(self) -> HttpsTransport:
        async with self._renewing:
            if self._transport is None or env.monotonic() >= self._renew_at:
                token = await self._new_token()
                if self._transport is None:
                    self._transport = HttpsTransport(self._config)
                self._transport.use_token(token)
                self._renew_at = env.monotonic() + _RENEW_AFTER_SECONDS
            return self._transport

    async def _new_token(self) -> str:
        try:
            return await self._request_token()
        except NotFound:
            account = {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": self._name, "namespace": _NAMESPACE},
            }
            try:
                await self._manager.create(SERVICE_ACCOUNTS, _NAMESPACE, account)
            except AlreadyExists:
                pass
            return await self._request_token()

    async def _request_token(self) -> str:
        answer = await self._manager.request(
            "POST",
            SERVICE_ACCOUNTS.path(_NAMESPACE, self._name, "token"),
            body={
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": _LIFETIME_SECONDS},
            },
        )
        return str(answer["status"]["token"])


def client_factory(config: Kubeconfig, manager_name: str) -> Callable[[str], Client]:
    """`client_for(name)`: the manager's own client for `manager_name`, a service account's else."""
    manager = Client(HttpsTransport(config), manager_name)

    def client_for(name: str) -> Client:
        if name == manager_name:
            return manager
        return Client(ServiceAccountTransport(name, manager, config), name)

    return client_for
