"""Components as processes of their own have them: TLS, client certificates, a server that
restarts under running watches."""

import asyncio

import pytest

from kapi import env
from kapi.auth.authenticators import UnionAuthenticator, X509Authenticator
from kapi.auth.authorizers import cluster_authorizer
from kapi.auth.pki import ClusterPki, client_spec, serving_spec
from kapi.client.client import CONFIG_MAPS, Client
from kapi.client.https import HttpsTransport, Kubeconfig
from kapi.client.informer import Informer
from kapi.server.api_server import ApiServer
from kapi.server.config import ApiServerConfig
from kapi.server.engine import TlsFiles, listener, serve
from kapi.storage.memory import MemoryStore


class NoTokens:
    def issue(self, *args, **kwargs):
        raise NotImplementedError

    def jwks(self):
        return {"keys": []}


class Site:
    """An API server behind TLS that can be taken down and put up again."""

    def __init__(self, app, pki):
        self._app = app
        self.authority = pki.ensure_authority()
        server = pki.ensure(serving_spec("localhost", ("127.0.0.1",)))
        self._tls = TlsFiles(server.cert_file, server.key_file, self.authority.cert_file)
        with listener("127.0.0.1", 0) as free:
            self.port = free.getsockname()[1]

    async def up(self):
        self._shutdown, listening = asyncio.Event(), asyncio.Event()
        self._task = env.spawn(
            serve(
                self._app,
                bind=[("127.0.0.1", self.port)],
                tls=self._tls,
                shutdown=self._shutdown,
                listening=listening,
            ),
            "site",
        )
        await listening.wait()

    async def down(self):
        self._shutdown.set()
        await self._task


@pytest.fixture
async def site(tmp_path):
    store = MemoryStore()
    config = ApiServerConfig(
        make_authenticator=lambda lookup: UnionAuthenticator([X509Authenticator()]),
        make_authorizer=cluster_authorizer,
        token_issuer=NoTokens(),
    )
    server = ApiServer(store, config)
    await server.start()
    pki = ClusterPki(tmp_path)
    site = Site(server.app, pki)
    admin = pki.ensure(client_spec("admin", "admin", "system:masters"))
    site.transport = HttpsTransport(
        Kubeconfig(
            f"https://127.0.0.1:{site.port}",
            ca_pem=site.authority.cert_pem,
            client_cert_pem=admin.cert_pem,
            client_key_pem=admin.key_pem,
        )
    )
    await site.up()
    yield site
    await site.transport.close()
    await site.down()
    await server.stop()
    await store.close()


async def eventually(check):
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def config_map(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def test_an_informer_outlives_a_restart_of_the_server(site):
    client = Client(site.transport, "test")
    informer = Informer(client, CONFIG_MAPS, "default")
    seen = []
    informer.add_handler(
        lambda obj: seen.append(obj["metadata"]["name"]), lambda *_: None, lambda _: None
    )
    following = env.spawn(informer.run(), "informer")
    await client.create(CONFIG_MAPS, "default", config_map("before"))
    await eventually(lambda: seen == ["before"])

    await site.down()
    with pytest.raises(ConnectionError):
        await client.get(CONFIG_MAPS, "default", "before")
    await site.up()
    await client.create(CONFIG_MAPS, "default", config_map("after"))
    await eventually(lambda: seen == ["before", "after"])
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_many_requests_at_once_share_few_connections(site):
    client = Client(site.transport, "test")
    names = [f"c{number}" for number in range(60)]
    await asyncio.gather(
        *(client.create(CONFIG_MAPS, "default", config_map(name)) for name in names)
    )
    found = await client.list(CONFIG_MAPS, "default", limit="500")
    assert {item["metadata"]["name"] for item in found["items"]} == set(names)
    assert len(site.transport._idle) <= 16
