"""One connection of the engine: hypercorn's protocols between a socket and the application.

Differences from hypercorn's TCPServer, each measured or needed:

- What is written within one turn of the loop goes to TLS as one piece; hypercorn encrypts each
  HTTP/2 frame by itself, a third of its time under load.
- One timer per connection watches for idleness, where hypercorn starts and cancels two tasks per
  request.
- The queue towards the application never blocks the connection: an application that answers
  without reading the body (an oversize one, say) would otherwise hang all streams beside it. It
  is bounded in bytes instead, and a client that exceeds the bound loses its connection.
- The client certificate rides along in the connection's state.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from kapi.server.engine_protocols import Http1, Http2

_log = logging.getLogger(__name__)

_READ_BYTES = 2**16
_WRITE_BUFFER_MAX_BYTES = 2**18
_UNREAD_MAX_BYTES = 16 * 1024 * 1024

Message = Any


class _Inbox:
    """Messages on their way to one request's application."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._bytes = 0

    async def put(self, message: Message) -> None:
        self._bytes += len(message.get("body") or message.get("bytes") or b"")
        if self._bytes > _UNREAD_MAX_BYTES:
            raise ConnectionAbortedError("the client sends more than is read")
        self._queue.put_nowait(message)

    async def get(self) -> Message:
        message = await self._queue.get()
        self._bytes -= len(message.get("body") or message.get("bytes") or b"")
        return message


class _Requests(TaskGroup):
    """The tasks of one connection."""

    async def spawn_app(
        self, app: Any, config: Config, scope: Any, send: Callable[[Any], Awaitable[None]]
    ) -> Callable[[Message], Awaitable[None]]:
        inbox = _Inbox()
        self.spawn(_answer, app, scope, inbox, send)
        return inbox.put


async def _answer(
    app: Any, scope: Any, inbox: _Inbox, send: Callable[[Any], Awaitable[None]]
) -> None:
    try:
        await app(scope, inbox.get, send)
    except Exception:
        _log.exception("the application failed at %s %s", scope.get("method"), scope.get("path"))
    finally:
        # hypercorn's word for "nothing more will come".
        await send(None)


class Connection:
    """Runs one accepted socket to its end."""

    def __init__(
        self,
        app: Any,
        config: Config,
        context: WorkerContext,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._reader = reader
        self._writer = writer
        self._transport = writer.transport
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle = True
        self._protocol: Http1 | Http2

    async def run(self) -> None:
        """Read until the peer or the protocol ends it; no task of the connection outlives this."""
        try:
            requests = _Requests(self._loop)
            async with requests:
                self._protocol = self._make_protocol(requests)
                await self._protocol.initiate()
                self._became_idle()
                await self._read()
        except OSError as error:
            _log.debug("connection lost: %s", error)
        except BaseExceptionGroup as group:
            lost, other = group.split((OSError, asyncio.CancelledError))
            if other is not None:
                _log.error("connection failed", exc_info=other)
            elif lost is not None:
                _log.debug("connection lost", exc_info=lost)
        finally:
            self._close()

    def close_if_idle(self) -> None:
        if self._idle:
            self._close()

    def _make_protocol(self, requests: _Requests) -> Http1 | Http2:
        socket = self._writer.get_extra_info("socket")
        tls = self._writer.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        return (Http2 if http2 else Http1)(
            self._app,
            self._config,
            self._context,
            requests,
            ConnectionState({"client_certificate": certificate}),
            tls is not None,
            parse_socket_addr(socket.family, socket.getpeername()),
            parse_socket_addr(socket.family, socket.getsockname()),
            self._on_event,
        )

    async def _read(self) -> None:
        while data := await self._reader.read(_READ_BYTES):
            await self._protocol.handle(RawData(data))
        await self._protocol.handle(Closed())

    async def _on_event(self, event: Any) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            self._close()
        elif isinstance(event, Updated):
            if event.idle:
                self._became_idle()
            else:
                self._became_busy()

    async def _write(self, data: bytes) -> None:
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= _WRITE_BUFFER_MAX_BYTES:
            self._flush()
        if self._transport.get_write_buffer_size() >= _WRITE_BUFFER_MAX_BYTES:
            try:
                await self._writer.drain()
            except (ConnectionError, RuntimeError):
                await self._protocol.handle(Closed())

    def _flush(self) -> None:
        if not self._pending:
            return
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        if not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        self._became_busy()
        self._flush()
        self._transport.close()

    def _became_idle(self) -> None:
        self._became_busy()
        self._idle = True
        if self._context.terminated.is_set():
            self._loop.call_soon(self._close)
            return
        self._idle_timer = self._loop.call_later(self._config.keep_alive_timeout, self._close)

    def _became_busy(self) -> None:
        self._idle = False
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
