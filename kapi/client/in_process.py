"""The transport inside one process: calls the ASGI app, no socket, no TLS, no copies of bodies.

The caller's identity travels as `scope["state"]["user"]`; only this transport sets it, so a
request from the network can never claim one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from kapi import env
from kapi.api.user import UserInfo
from kapi.client.interface import Response

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# A stream whose reader lags holds the app back once this much is waiting.
_STREAM_BUFFER_BYTES = 256 * 1024


class InProcessTransport:
    """Talks to `app` as `user`. Raises ConnectionError if the app dies without an answer."""

    def __init__(self, app: AsgiApp, user: UserInfo) -> None:
        self._app = app
        self._user = user

    def _scope(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> Scope:
        pairs = [(b"host", b"kapi.local")]
        for name, value in (headers or {}).items():
            pairs.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": quote(path, safe="/:@!$&'()*+,;=~").encode("ascii"),
            "query_string": urlencode(params).encode("ascii") if params else b"",
            "root_path": "",
            "headers": pairs,
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
            "extensions": {},
            "state": {"user": self._user},
        }

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Runs the app in the caller's own task: cancelling the caller cancels the app."""
        scope = self._scope(method, path, params, headers)
        if body:
            scope["headers"].append((b"content-length", str(len(body)).encode()))
        exchange = _WholeExchange(body)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            raise ConnectionError(f"{method} {path}: the server failed") from error
        finally:
            exchange.disconnect()
        if exchange.status == 0:
            raise ConnectionError(f"{method} {path}: the server sent no answer")
        chunks = exchange.chunks
        whole = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return Response(exchange.status, _decode_headers(exchange.headers), whole)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """The app runs in a task of its own, which is cancelled when the context is left."""
        scope = self._scope(method, path, params, headers)
        exchange = _StreamedExchange()
        task = env.spawn(self._serve(scope, exchange), f"in-process {method} {path}")
        try:
            status = await exchange.started()
            yield status, exchange.chunks()
        finally:
            exchange.disconnect()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve(self, scope: Scope, exchange: "_StreamedExchange") -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            exchange.fail(error)
        else:
            exchange.finish()

    async def close(self) -> None:
        """Nothing is held open between requests."""


def _decode_headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


class _Exchange:
    """What an app receives: the body once, then nothing until the client goes away."""

    def __init__(self, body: bytes) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._body: bytes | None = body
        self._gone: asyncio.Event | None = None
        self._disconnected = False

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        if not self._disconnected:
            self._gone = self._gone or asyncio.Event()
            await self._gone.wait()
        return {"type": "http.disconnect"}

    def disconnect(self) -> None:
        self._disconnected = True
        if self._gone is not None:
            self._gone.set()


class _WholeExchange(_Exchange):
    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.chunks: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body" and message.get("body"):
            self.chunks.append(message["body"])


class _StreamedExchange(_Exchange):
    def __init__(self) -> None:
        super().__init__(b"")
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._changed.set()
            return
        chunk = message.get("body", b"")
        if chunk:
            self._pending.append(chunk)
            self._pending_bytes += len(chunk)
            self._changed.set()
        while self._pending_bytes > _STREAM_BUFFER_BYTES:
            self._drained.clear()
            await self._drained.wait()
        if not message.get("more_body", False):
            self.finish()

    def finish(self) -> None:
        self._ended = True
        self._changed.set()

    def fail(self, error: Exception) -> None:
        self._error = error
        self.finish()

    async def started(self) -> int:
        while self.status == 0:
            if self._ended:
                raise ConnectionError("the server sent no answer") from self._error
            self._changed.clear()
            await self._changed.wait()
        return self.status

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            while self._pending:
                chunk = self._pending.popleft()
                self._pending_bytes -= len(chunk)
                self._drained.set()
                yield chunk
            if self._error is not None:
                raise ConnectionError("the server failed while answering") from self._error
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()
