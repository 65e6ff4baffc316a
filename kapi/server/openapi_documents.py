"""Serves the OpenAPI documents: each is built on first request, in a thread, and kept as bytes."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence

import orjson

from kapi import env
from kapi.api.object import Object
from kapi.registry.resource import Resource
from kapi.server.discovery import Discovery
from kapi.server.exchange import JSON, Exchange
from kapi.server.negotiation import not_acceptable, split_media_type
from kapi.server.router import unknown_path
from openapi import v2, v3

_V2_PROTOBUF = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)
_V2_PROTOBUF_REPLY = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class OpenApiDocuments:
    """Documents of one set of rows. Two requests for the same one share its making."""

    def __init__(self, resources: Sequence[Resource], discovery: Discovery) -> None:
        self._resources = resources
        self._discovery = discovery
        self._made: dict[str, asyncio.Task[bytes]] = {}

    async def _document(self, name: str, make: Callable[[], bytes]) -> bytes:
        task = self._made.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._made[name] = env.spawn(env.in_thread(make), f"openapi {name}")
        return await asyncio.shield(task)

    async def serve_v3_root(self, exchange: Exchange) -> None:
        body = await self._document("v3", lambda: orjson.dumps(v3.root_document(self._resources)))
        await respond_cached(exchange, body, JSON)

    async def serve_v3(self, exchange: Exchange, path: str) -> None:
        """`api/v1` or `apis/apps/v1`. Raises NotFound for what is not served."""
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) == 2:
            group, version = "", parts[1]
        elif parts[0] == "apis" and len(parts) == 3:
            group, version = parts[1], parts[2]
        else:
            raise unknown_path()
        if not self._discovery.has_group_version(group, version):
            raise unknown_path()

        def make() -> bytes:
            document: Object = v3.group_version_document(group, version, self._resources)
            return orjson.dumps(document)

        body = await self._document(f"v3 {group}/{version}", make)
        await respond_cached(exchange, body, JSON)

    async def serve_v2(self, exchange: Exchange) -> None:
        """JSON, or the protobuf form that kubectl insists on."""
        accept = exchange.header(b"accept")
        medias = [split_media_type(clause)[0] for clause in accept.split(",")]
        if any(media in _V2_PROTOBUF for media in medias):
            body = await self._document(
                "v2 protobuf", lambda: v2.to_protobuf(v2.document(self._resources))
            )
            await respond_cached(exchange, body, _V2_PROTOBUF_REPLY)
            return
        if accept and not any(media in ("", JSON, "*/*", "application/*") for media in medias):
            raise not_acceptable()
        body = await self._document("v2", lambda: orjson.dumps(v2.document(self._resources)))
        await respond_cached(exchange, body, JSON)


async def respond_cached(exchange: Exchange, body: bytes, content_type: str) -> None:
    """With an ETag, so that kubectl's disk cache may answer for us; 304 when it already has it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
    headers = [(b"etag", etag.encode()), (b"vary", b"Accept")]
    if exchange.header(b"if-none-match") == etag:
        await exchange.respond(304, b"", content_type, headers)
        return
    await exchange.respond(200, body, content_type, headers)
