"""A control plane in one process: API server on memory, all controllers, no nodes."""

import asyncio
from dataclasses import dataclass

import pytest

from kapi import env
from kapi.api.user import GROUP_AUTHENTICATED, GROUP_MASTERS, UserInfo
from kapi.auth.authenticators import UnionAuthenticator
from kapi.auth.authorizers import cluster_authorizer
from kapi.client.client import PODS, Client
from kapi.client.in_process import InProcessTransport
from kapi.controllers.manager import MANAGER, ControllerManager, ControllerManagerOptions
from kapi.server.api_server import ApiServer
from kapi.server.config import ApiServerConfig
from kapi.storage.memory import MemoryStore


class NoTokens:
    def issue(self, *args, **kwargs):
        raise NotImplementedError

    def jwks(self):
        return {"keys": []}


def identity(name: str) -> UserInfo:
    if name == MANAGER:
        return UserInfo("system:kube-controller-manager", groups=(GROUP_AUTHENTICATED,))
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", GROUP_AUTHENTICATED)
    return UserInfo(f"system:serviceaccount:kube-system:{name}", groups=groups)


@dataclass
class Cluster:
    server: ApiServer
    client: Client
    manager: ControllerManager

    async def until(self, check, what="the condition", seconds=10.0):
        """Wait for an awaitable check to return something true, and return that."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            found = await check()
            if found:
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{what} did not come about; last seen: {found!r}")
            await asyncio.sleep(0.02)

    async def pods(self, namespace="default", **labels):
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        listed = await self.client.list(PODS, namespace, labelSelector=selector)
        return listed["items"]

    async def run_pods(self, namespace="default", ip_base=10):
        """Do what a scheduler and kubelet would: bind, run and end pods."""
        for number, pod in enumerate(await self.pods(namespace)):
            meta = pod["metadata"]
            if meta.get("deletionTimestamp"):
                options = {"gracePeriodSeconds": 0}
                await self.client.delete(PODS, namespace, meta["name"], options=options)
                continue
            if pod["status"].get("phase") == "Running":
                continue
            now = env.timestamp()
            status = {
                "phase": "Running",
                "podIP": f"10.244.0.{ip_base + number}",
                "podIPs": [{"ip": f"10.244.0.{ip_base + number}"}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
            }
            await self.client.patch(
                PODS, namespace, meta["name"], {"status": status}, subresource="status"
            )


@pytest.fixture
async def cluster():
    config = ApiServerConfig(
        make_authenticator=lambda lookup: UnionAuthenticator([]),
        make_authorizer=cluster_authorizer,
        token_issuer=NoTokens(),
    )
    store = MemoryStore()
    server = ApiServer(store, config)
    await server.start()

    def client_for(name: str) -> Client:
        return Client(InProcessTransport(server.app, identity(name)), name)

    admin = UserInfo("admin", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))
    options = ControllerManagerOptions(ca_pem="CA PEM")
    manager = ControllerManager(client_for, options)
    task = env.spawn(manager.run(), "manager")
    client = Client(InProcessTransport(server.app, admin), "test")
    await manager.informers.wait_synced()
    yield Cluster(server, client, manager)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await server.stop()
    await store.close()
