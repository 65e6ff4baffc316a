"""One HTTP request on its way through the chain: what is known of it, and how to answer it."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
import yaml

from kapi import env
from kapi.api import errors
from kapi.api.go_numbers import NumberError, parse_int
from kapi.api.object import Object
from kapi.api.user import UserInfo
from kapi.server.request_info import RequestInfo

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = "application/json"
_YAML_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# Upstream compresses from the same size on (k8s.io/apiserver `pkg/endpoints/handlers`).
_COMPRESSED_FROM = 128 * 1024
_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """The query string as lists of values; blank values are kept, as selectors may be empty."""
    if not raw:
        return {}
    if _BAD_ESCAPE.search(raw):
        # As Go's parser: a pair with a broken escape is dropped, the others stand.
        raw = b"&".join(pair for pair in raw.split(b"&") if not _BAD_ESCAPE.search(pair))
    query: dict[str, list[str]] = {}
    for key, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        query.setdefault(key, []).append(value)
    return query


@dataclass(slots=True)
class Exchange:
    """A request and the way to answer it. One is made per request and passed down the chain."""

    scope: Scope
    receive: Receive
    send: Send
    path: str
    method: str
    query: dict[str, list[str]]
    headers: dict[bytes, bytes]
    info: RequestInfo
    max_body: int
    user: UserInfo = field(default_factory=lambda: UserInfo(""))
    warnings: list[str] = field(default_factory=list)
    request_id: str = ""
    status: int = 0
    """The code of the answer, once it has begun."""
    known_path: bool = False
    """Has the router found what the path names? Metrics do not grow with what scanners ask for."""
    started: bool = False
    """Has the answer begun? After that an error can only end the stream."""

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """A boolean parameter as upstream converts it: anything but empty, `0`, `false` is true."""
        values = self.query.get(name)
        return bool(values) and values[0].lower() not in ("false", "0") if values else False

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")

    async def body(self) -> bytes:
        """The whole body. Raises RequestEntityTooLarge past the limit."""
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise errors.BadRequest("the client went away while its body was read")
            piece = message.get("body", b"")
            size += len(piece)
            if size > self.max_body:
                raise errors.RequestEntityTooLarge(
                    f"Request entity too large: limit is {self.max_body}"
                )
            pieces.append(piece)
            if not message.get("more_body"):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def start(
        self,
        status: int,
        content_type: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Send the head of the answer, with the warnings gathered so far."""
        self.started, self.status = True, status
        head = [(b"content-type", content_type.encode()), *headers]
        if self.request_id:
            head.append((b"audit-id", self.request_id.encode()))
        for text in dict.fromkeys(self.warnings):
            quoted = " ".join(text.split("\n")).replace("\\", "\\\\").replace('"', '\\"')
            head.append((b"warning", f'299 - "{quoted}"'.encode("utf-8", "replace")))
        await self.send({"type": "http.response.start", "status": status, "headers": head})

    async def respond(
        self,
        status: int,
        body: bytes,
        content_type: str = JSON,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Send a whole answer, compressed where that spares a network something."""
        if len(body) > _COMPRESSED_FROM and self._wants_gzip():
            body = await env.in_thread(gzip.compress, body, 1)
            headers = [*headers, (b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
        length = (b"content-length", str(len(body)).encode())
        no_store = (b"cache-control", b"no-cache, private")
        await self.start(status, content_type, [length, no_store, *headers])
        data = b"" if self.method == "HEAD" else body
        await self.send({"type": "http.response.body", "body": data})

    def _wants_gzip(self) -> bool:
        """Asked for, and worth it: on this very machine compression costs more than it saves."""
        client = (self.scope.get("client") or ("",))[0]
        if not client or client in ("127.0.0.1", "::1"):
            return False
        return "gzip" in self.header(b"accept-encoding")

    async def respond_object(self, status: int, obj: Object) -> None:
        await self.respond(status, orjson.dumps(obj))

    async def respond_error(self, error: errors.ApiError) -> None:
        """Send the Status of an error, with Retry-After where it carries one."""
        headers = []
        if error.retry_after is not None:
            headers.append((b"retry-after", str(error.retry_after).encode()))
        status = error.status()
        code = int(status["code"])
        if self.header(b"accept").startswith("application/yaml"):
            body = yaml.dump(status, Dumper=_YAML_DUMPER).encode()
            await self.respond(code, body, "application/yaml", headers)
            return
        await self.respond(code, orjson.dumps(status), JSON, headers)


Handler = Callable[[Exchange], Awaitable[None]]


@asynccontextmanager
async def ended_by_disconnect(exchange: Exchange) -> AsyncIterator[None]:
    """What runs inside is ended when the client leaves: whoever waits for others' data cannot see.

    The body must have been read, or not be wanted. Raises ConnectionError when the client left.
    """
    try:
        async with asyncio.timeout(None) as patience:
            watching = env.spawn(_until_left(exchange, patience), "client-leaves")
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
    except TimeoutError:
        if not patience.expired():
            raise
        raise ConnectionError("the client went away") from None


async def _until_left(exchange: Exchange, patience: asyncio.Timeout) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
    patience.reschedule(asyncio.get_running_loop().time())


def int_param(exchange: Exchange, name: str) -> int:
    """A query parameter that is a 64-bit number. Raises BadRequest in Go's words."""
    try:
        return parse_int(exchange.param(name))
    except NumberError as error:
        raise errors.BadRequest(str(error)) from error
