"""The API server: a store and a configuration become an ASGI application.

Wiring only: rows from the table, one cache, a generic store per row, the chain, the router.
"""

import logging
from typing import Any

from kapi import env
from kapi.admission.chain import AdmissionChain, default_plugins
from kapi.auth.rbac import RbacAuthorizer
from kapi.registry.resource import Resource
from kapi.registry.store import Backing, GenericStore
from kapi.registry.table import builtin_resources
from kapi.server.bootstrap import bootstrap
from kapi.server.bootstrap_extensions import bootstrap_extensions
from kapi.server.call import Api
from kapi.server.chain import build_chain
from kapi.server.config import ApiServerConfig
from kapi.server.custom_resources import CustomResources, Served
from kapi.server.discovery import Discovery
from kapi.server.exchange import Exchange, Receive, Scope, Send, parse_query
from kapi.server.health import Health
from kapi.server.kubernetes_endpoints import KubernetesEndpoints
from kapi.server.lookup import CacheLookup, indexer
from kapi.server.non_resource import NonResourceHandler, page_not_found
from kapi.server.openapi_documents import OpenApiDocuments
from kapi.server.request_info import parse
from kapi.server.router import Router
from kapi.server.websocket import denial_sender
from kapi.storage.interface import Store
from kapi.storage.watch_cache import WatchCache

_log = logging.getLogger(__name__)

_START_SECONDS = 30.0


class ApiServer:
    """Serves one store. `app` is the ASGI application; `start` before the first request."""

    def __init__(self, store: Store, config: ApiServerConfig) -> None:
        self._store = store
        self._config = config
        resources = builtin_resources(config.service_cidr, config.node_port_range)
        self.cache = WatchCache(store)
        by_prefix: dict[str, list[Resource]] = {}
        for row in resources:
            by_prefix.setdefault(row.prefix, []).append(row)
        for prefix, rows in by_prefix.items():
            self.cache.register(prefix, indexer(rows))
        by_name: dict[str, Resource] = {}
        for row in resources:
            by_name.setdefault(row.qualified, row)
        lookup = CacheLookup(self.cache, by_name)
        authenticator = config.make_authenticator(lookup)
        authorizer = config.make_authorizer(lookup)
        rbac = RbacAuthorizer(lookup)
        admission = AdmissionChain(default_plugins(lookup, authorizer, rbac, store))
        backing = Backing(store, self.cache, admission)
        stores = {(row.qualified, row.version): GenericStore(row, backing) for row in resources}
        self.api = Api(config, backing, authenticator, authorizer, rbac, lookup, stores)
        self._endpoints = KubernetesEndpoints(self.api, shared=config.shared_store)
        address = f"{config.advertise_address}:{config.advertise_port}"
        discovery = Discovery(resources, address)
        self._router = Router(self.api, discovery)
        self._ready = False
        documents = OpenApiDocuments(resources, discovery)
        served = Served(by_name, self._router, discovery, documents)
        self._custom = CustomResources(self.api, self.cache, served)
        self._plain = NonResourceHandler(self.api, discovery, documents, self._health())
        self._handler = build_chain(self._serve, config, authenticator, authorizer)

    def _health(self) -> Health:
        async def ping() -> None:
            return None

        async def etcd() -> None:
            await self._store.current_revision()

        async def started() -> None:
            if not self._ready:
                raise RuntimeError("the server has not finished starting")

        return Health({"ping": ping, "etcd": etcd, "poststarthook/bootstrap": started})

    async def start(self) -> None:
        """Fill the cache and create what every cluster has. Raises StorageUnavailable."""
        began = env.monotonic()
        await self.cache.start()
        self._custom.start()
        await bootstrap(self.api)
        await bootstrap_extensions(self.api)
        await self._endpoints.start()
        # Roles are judged as the cache has them: before it does, everybody would be refused.
        await self.cache.wait_for(await self._store.current_revision(), _START_SECONDS)
        self._ready = True
        _log.info(
            "API server ready at revision %d after %.2f s",
            self.cache.revision,
            env.monotonic() - began,
        )

    async def stop(self) -> None:
        """End watches; the store is closed by who opened it."""
        self._ready = False
        await self._endpoints.stop()
        await self._custom.stop()
        await self.cache.stop()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] == "websocket":
            send = denial_sender(send)
        query = parse_query(scope["query_string"])
        path, method = scope["path"], scope.get("method", "GET")
        exchange = Exchange(
            scope,
            receive,
            send,
            path,
            method,
            query,
            dict(scope["headers"]),
            parse(method, path, query),
            self._config.max_request_bytes,
            request_id=env.uuid4(),
        )
        await self._handler(exchange)

    async def _serve(self, exchange: Exchange) -> None:
        """The end of the chain."""
        info = exchange.info
        if not info.is_resource:
            await self._plain.serve(exchange)
        elif not self._router.knows(info):
            await page_not_found(exchange)
        else:
            await self._router.serve(exchange)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: dict[str, Any] = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
