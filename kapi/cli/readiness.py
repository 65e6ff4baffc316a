"""Waits until a cluster can be used: the API answers, nodes are Ready, pods can be created."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from kapi import env
from kapi.api.errors import ApiError, NotFound
from kapi.api.object import Object, condition_of, name_of
from kapi.cli.errors import CliError
from kapi.client.client import LEASES, NODES, SERVICE_ACCOUNTS, Client, ResourceRef
from kapi.client.https import HttpsTransport

_POLL_SECONDS = 0.03


def admin_client(kubeconfig: Path) -> Client:
    """A client with the administrator's credentials."""
    return Client(HttpsTransport.from_kubeconfig(kubeconfig), "kapi")


class Readiness:
    """One wait for one cluster that was started at `started`.

    `check_alive` raises when waiting on is pointless.
    """

    def __init__(
        self, client: Client, check_alive: Callable[[], None], timeout: float, started: datetime
    ) -> None:
        self._client = client
        self._check_alive = check_alive
        self._deadline = env.monotonic() + timeout
        self._timeout = timeout
        self._missing = self._trouble = ""
        self._started = started

    async def api_server(self) -> None:
        """Until `/readyz` says ok."""
        self._missing = "the API server does not answer"
        while not await self._is_ready():
            await self._pause()

    async def nodes(self, names: set[str]) -> None:
        """Until every node of `names` is Ready and its kubelet has been heard of since the start.

        A resumed cluster still shows its nodes as they were when it was stopped.
        """
        while missing := names - (await self._ready_nodes() & await self._heard_nodes()):
            self._missing = f"not Ready: {', '.join(sorted(missing)[:5])}"
            await self._pause()

    async def default_service_account(self) -> None:
        """Until pods can be created in the default namespace."""
        self._missing = "the default ServiceAccount does not exist"
        while True:
            try:
                await self._client.get(SERVICE_ACCOUNTS, "default", "default")
                return
            except NotFound:
                pass
            except (ApiError, ConnectionError) as error:
                self._missing = str(error)
            await self._pause()

    async def _is_ready(self) -> bool:
        try:
            await self._client.request("GET", "/readyz", accept="*/*")
        except (ApiError, ConnectionError):
            return False
        return True

    async def _ready_nodes(self) -> set[str]:
        nodes = await self._list(NODES)
        return {name_of(node) for node in nodes if is_ready(node)}

    async def _list(self, resource: ResourceRef, namespace: str = "") -> list[Object]:
        """Empty while the server cannot answer: it may be going down or coming up."""
        try:
            return list((await self._client.list(resource, namespace)).get("items") or ())
        except (ApiError, ConnectionError) as error:
            self._trouble = str(error)
            return []

    async def _heard_nodes(self) -> set[str]:
        leases = await self._list(LEASES, "kube-node-lease")
        return {
            name_of(lease)
            for lease in leases
            if (renewed := (lease.get("spec") or {}).get("renewTime"))
            and env.parse_time(renewed) >= self._started
        }

    async def _pause(self) -> None:
        self._check_alive()
        if env.monotonic() > self._deadline:
            trouble = f" ({self._trouble})" if self._trouble else ""
            raise CliError(f"not ready after {self._timeout:.0f} s: {self._missing}{trouble}")
        await env.sleep(_POLL_SECONDS)


def is_ready(node: Object) -> bool:
    """Does the node's Ready condition say True?"""
    ready = condition_of(node.get("status", {}).get("conditions"), "Ready")
    return ready is not None and ready.get("status") == "True"
