"""Serves the OpenAPI documents: built on first request in a process of its own, kept as bytes."""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Sequence

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.object import GroupVersionKind, Object
from kapi.registry.resource import Resource
from kapi.server.discovery import Discovery
from kapi.server.exchange import JSON, Exchange
from kapi.server.negotiation import not_acceptable, split_media_type
from kapi.server.router import unknown_path
from openapi.build import request
from openapi.plain_paths import documents_of_their_own
from openapi.v3 import root_document

_log = logging.getLogger(__name__)

_BUILD_SECONDS = 60.0
_V2_PROTOBUF = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)
_V2_PROTOBUF_REPLY = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class OpenApiDocuments:
    """Documents of one set of rows. Two requests for the same one share its making."""

    def __init__(self, resources: Sequence[Resource], discovery: Discovery) -> None:
        self._builtin = tuple(resources)
        self._resources = self._builtin
        self._schemas: dict[GroupVersionKind, Object] = {}
        self._discovery = discovery
        self._made: dict[str, asyncio.Task[bytes]] = {}

    def serve(self, custom: Iterable[Resource], changed: Iterable[tuple[str, str]]) -> None:
        """Describe these rows of custom kinds beside the built-in ones, and no others.

        `changed` are the groups and versions whose documents have to be made again.
        """
        rows = tuple(custom)
        self._resources = (*self._builtin, *rows)
        self._schemas = {row.gvk: row.openapi_schema for row in rows if row.openapi_schema}
        for group, version in changed:
            self._made.pop(f"v3/{group}/{version}", None)
        for name in ("v2", "v2-protobuf"):
            self._made.pop(name, None)

    async def _document(self, name: str) -> bytes:
        task = self._made.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._made[name] = env.spawn(self._build(name), f"openapi {name}")
        return await asyncio.shield(task)

    async def _build(self, name: str) -> bytes:
        try:
            built = await env.run_module(
                "openapi",
                stdin=request(name, self._resources, self._schemas),
                timeout=_BUILD_SECONDS,
            )
        except (OSError, TimeoutError) as error:
            raise errors.InternalError(f"the OpenAPI document cannot be built: {error}") from error
        if built.exit_code:
            _log.error("building %s failed: %s", name, built.stderr.decode("utf-8", "replace"))
            raise errors.InternalError("the OpenAPI document cannot be built; see the log")
        return built.stdout

    async def serve_v3_root(self, exchange: Exchange) -> None:
        index = root_document(self._resources, self._schemas)
        await respond_cached(exchange, orjson.dumps(index), JSON)

    async def serve_v3(self, exchange: Exchange, path: str) -> None:
        """`api/v1`, `apis/apps/v1`, or a plain one. Raises NotFound for what is not served."""
        name = path.strip("/")
        if name in documents_of_their_own(self._resources, self._schemas):
            await respond_cached(exchange, await self._document(f"v3-plain/{name}"), JSON)
            return
        parts = name.split("/")
        if parts[0] == "api" and len(parts) == 2:
            group, version = "", parts[1]
        elif parts[0] == "apis" and len(parts) == 3:
            group, version = parts[1], parts[2]
        else:
            raise unknown_path()
        if not self._discovery.has_group_version(group, version):
            raise unknown_path()
        body = await self._document(f"v3/{group}/{version}")
        await respond_cached(exchange, body, JSON)

    async def serve_v2(self, exchange: Exchange) -> None:
        """JSON, or the protobuf form that kubectl insists on."""
        accept = exchange.header(b"accept")
        medias = [split_media_type(clause)[0] for clause in accept.split(",")]
        if any(media in _V2_PROTOBUF for media in medias):
            body = await self._document("v2-protobuf")
            await respond_cached(exchange, body, _V2_PROTOBUF_REPLY)
            return
        if accept and not any(media in ("", JSON, "*/*", "application/*") for media in medias):
            raise not_acceptable()
        body = await self._document("v2")
        await respond_cached(exchange, body, JSON)


async def respond_cached(exchange: Exchange, body: bytes, content_type: str) -> None:
    """With an ETag, so that kubectl's disk cache may answer for us; 304 when it already has it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
    headers = [(b"etag", etag.encode()), (b"vary", b"Accept")]
    if exchange.header(b"if-none-match") == etag:
        await exchange.respond(304, b"", content_type, headers)
        return
    await exchange.respond(200, body, content_type, headers)
