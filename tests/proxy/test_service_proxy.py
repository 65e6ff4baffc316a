"""The whole proxy on an API server in process, with nft in memory."""

import asyncio

import pytest
from fake_nft import FakeNft
from packet_tracer import Packet, Tracer
from proxy_objects import LOCAL_ADDRESSES, endpoint, endpoint_slice, port

from kapi import env
from kapi.api.user import GROUP_AUTHENTICATED, GROUP_MASTERS, UserInfo
from kapi.auth.authenticators import UnionAuthenticator
from kapi.auth.authorizers import cluster_authorizer
from kapi.client.client import ENDPOINT_SLICES, SERVICES, Client
from kapi.client.in_process import InProcessTransport
from kapi.proxy.host import HostFacts
from kapi.proxy.service_proxy import ProxyConfig, ServiceProxy
from kapi.server.api_server import ApiServer
from kapi.server.config import ApiServerConfig
from kapi.storage.memory import MemoryStore


class NoTokens:
    def issue(self, *args, **kwargs):
        raise NotImplementedError

    def jwks(self):
        return {"keys": []}


class FakeHost:
    async def prepare(self):
        return HostFacts(bridge_filtered=True, route_localnet=True)

    async def cleanup(self):
        """Nothing was changed."""


class Lab:
    def __init__(self, admin, proxy, nft):
        self.admin, self.proxy, self.nft = admin, proxy, nft

    def reached(self, destination, number, source="10.244.0.99"):
        table = self.proxy._writer.table.desired()
        found = Tracer(table, LOCAL_ADDRESSES).send(Packet(source, destination, number))
        return {item.verdict for item in found}, {t[0] for item in found for t in item.targets}

    async def until(self, destination, number, expected):
        deadline = asyncio.get_running_loop().time() + 5
        while (found := self.reached(destination, number)) != expected:
            assert asyncio.get_running_loop().time() < deadline, f"last seen: {found}"
            await asyncio.sleep(0.01)


@pytest.fixture
async def lab(monkeypatch):
    nft = FakeNft()
    monkeypatch.setattr(env, "run_process", nft.run_process)
    config = ApiServerConfig(
        make_authenticator=lambda lookup: UnionAuthenticator([]),
        make_authorizer=cluster_authorizer,
        token_issuer=NoTokens(),
    )
    store = MemoryStore()
    api = ApiServer(store, config)
    await api.start()

    def client(name, *groups):
        user = UserInfo(name, groups=(*groups, GROUP_AUTHENTICATED))
        return Client(InProcessTransport(api.app, user), name)

    proxy = ServiceProxy(
        client("system:kube-proxy"), ProxyConfig(("node-a",), bridge=""), host=FakeHost()
    )
    task = env.spawn(proxy.run(), "proxy")
    await proxy.wait_synced()
    yield Lab(client("admin", GROUP_MASTERS), proxy, nft)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await api.stop()
    await store.close()


def _service(name, **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [port(80, name="http")], **spec}}


async def test_follows_services_and_slices(lab):
    made = await lab.admin.create(SERVICES, "default", _service("web"))
    address = made["spec"]["clusterIP"]
    await lab.until(address, 80, ({"reject"}, set()))
    members = endpoint_slice("web", [("http", "TCP", 8080)], endpoint("10.244.0.5"))
    await lab.admin.create(ENDPOINT_SLICES, "default", members)
    await lab.until(address, 80, ({"accept"}, {"10.244.0.5"}))
    await lab.admin.delete(ENDPOINT_SLICES, "default", "web-abcde")
    await lab.until(address, 80, ({"reject"}, set()))
    await lab.admin.delete(SERVICES, "default", "web")
    deadline = asyncio.get_running_loop().time() + 5
    while any("default/web" in name for name in lab.nft.table["chains"]):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


async def test_a_label_takes_a_service_away(lab):
    made = await lab.admin.create(SERVICES, "default", _service("web"))
    address = made["spec"]["clusterIP"]
    members = endpoint_slice("web", [("http", "TCP", 8080)], endpoint("10.244.0.5"))
    await lab.admin.create(ENDPOINT_SLICES, "default", members)
    await lab.until(address, 80, ({"accept"}, {"10.244.0.5"}))
    label = {"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": "other"}}}
    await lab.admin.patch(SERVICES, "default", "web", label)
    await lab.until(address, 80, ({"reject"}, set()))


async def test_a_burst_is_few_transactions(lab):
    before = len(lab.nft.transactions)
    for number in range(60):
        await lab.admin.create(SERVICES, "default", _service(f"s{number}"))
    made = await lab.admin.get(SERVICES, "default", "s59")
    await lab.until(made["spec"]["clusterIP"], 80, ({"reject"}, set()))
    deadline = asyncio.get_running_loop().time() + 5
    while len([k for k in lab.nft.contents()[2] if k[0] == "cluster-ips"]) < 61:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)

    assert len(lab.nft.transactions) - before <= 10


async def test_a_refused_change_is_written_again(lab):
    lab.nft.fail_next = 1
    made = await lab.admin.create(SERVICES, "default", _service("web"))
    address = made["spec"]["clusterIP"]
    deadline = asyncio.get_running_loop().time() + 5
    while ("cluster-ips", address) not in lab.nft.contents()[2]:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
