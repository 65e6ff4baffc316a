"""The HTTP engine: hypercorn (HTTP/1.1, HTTP/2, WebSocket, TLS) behind the ASGI seam.

Owns listening, TLS, connections and their end; knows nothing of Kubernetes. An application finds
the DER of a verified client certificate in `scope["state"]["client_certificate"]`.

hypercorn's own server loop is replaced by a small one, `engine_connection.py` by its connection:
see there for what differs and why.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

from kapi import env
from kapi.server.engine_connection import Connection

_log = logging.getLogger(__name__)

T = TypeVar("T")
Application = Callable[[Any, Any, Any], Awaitable[None]]

# How long running requests get to finish once a shutdown is asked for. Watches never finish by
# themselves, so this is what a restart costs when clients are connected.
_GRACE_SECONDS = 1.0
# From linux/in.h; the socket module has no name for it before Python 3.14.
_IP_FREEBIND = 15


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: what the server shows, and the authority clients' certificates are checked by."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path


class _EngineConfig(Config):
    """hypercorn's settings; the date header is formatted once a second, not once a response."""

    include_server_header = False
    keep_alive_max_requests = 2**62
    keep_alive_timeout = 180.0
    h11_max_incomplete_size = 2**17
    h2_max_header_list_size = 2**17
    h2_max_concurrent_streams = 250
    websocket_max_message_size = 32 * 1024 * 1024
    accesslog = None

    def __init__(self) -> None:
        self._headers_until: dict[str, tuple[float, list[tuple[bytes, bytes]]]] = {}

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        now = asyncio.get_running_loop().time()
        until, headers = self._headers_until.get(protocol, (0.0, []))
        if now >= until:
            headers = super().response_headers(protocol)
            self._headers_until[protocol] = now + 0.5, headers
        return headers


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 and later; a client may show a certificate, which then must verify."""
    config = _EngineConfig()
    config.certfile, config.keyfile = str(files.cert_file), str(files.key_file)
    config.ca_certs = str(files.client_ca_file)
    config.verify_mode = ssl.CERT_OPTIONAL
    context = config.create_ssl_context()
    assert context is not None
    return context


async def serve(
    app: Application,
    *,
    bind: list[tuple[str, int]],
    tls: TlsFiles | None,
    shutdown: asyncio.Event,
    listening: asyncio.Event | None = None,
) -> None:
    """Serve until `shutdown` is set; `listening` is set once every address accepts connections.

    Without `tls` the server speaks plain HTTP (tests on loopback). Raises OSError if an address
    cannot be listened on. Connections that are idle are closed at once at the end, the others
    get a moment to finish.
    """
    config, context = _EngineConfig(), WorkerContext(None)
    connections: dict[Connection, asyncio.Task[None]] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(app, config, context, reader, writer)
        connections[connection] = task
        try:
            await connection.run()
        except asyncio.CancelledError:
            # `_finish` cancels what is left; asyncio's streams would log that as an error.
            if not context.terminated.is_set():
                raise
        finally:
            del connections[connection]

    servers: list[asyncio.Server] = []
    try:
        for host, port in bind:
            servers.append(await _listen(connected, host, port, tls))
        if listening is not None:
            listening.set()
        await shutdown.wait()
    finally:
        await context.terminated.set()
        for server in servers:
            server.close()
        await _finish(connections)


@asynccontextmanager
async def serving(
    app: Application, *, bind: list[tuple[str, int]], tls: TlsFiles | None, name: str
) -> AsyncIterator[None]:
    """Serve in the background while the context is open; entered once connections are accepted.

    Raises OSError if an address cannot be listened on.
    """
    shutdown, listening = asyncio.Event(), asyncio.Event()
    served = env.spawn(serve(app, bind=bind, tls=tls, shutdown=shutdown, listening=listening), name)
    waiting = env.spawn(listening.wait(), f"{name} listens")
    await asyncio.wait({served, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if served.done():
        served.result()
    try:
        yield
    finally:
        shutdown.set()
        await asyncio.gather(served, return_exceptions=True)


async def _listen(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    host: str,
    port: int,
    tls: TlsFiles | None,
) -> asyncio.Server:
    secure: dict[str, Any] = {}
    if tls is not None:
        secure = {"ssl": tls_context(tls), "ssl_handshake_timeout": 10.0}
    bound = listener(host, port)
    try:
        return await asyncio.start_server(connected, sock=bound, backlog=1024, **secure)
    except BaseException:
        bound.close()
        raise


def listener(host: str, port: int) -> socket.socket:
    """A bound socket. The address need not exist yet: the pod bridge is made by the first pod.

    Raises OSError if the address is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET:
            bound.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        else:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


async def _finish(connections: dict[Connection, asyncio.Task[None]]) -> None:
    for connection in list(connections):
        connection.close_if_idle()
    tasks = list(connections.values())
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program's main coroutine on uvloop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(_on_loop_error)
        return runner.run(main)


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A client that hangs up or fails its TLS handshake is its own problem, not a server error.
    error = context.get("exception")
    if isinstance(error, ssl.SSLError | ConnectionError | TimeoutError):
        _log.debug("connection ended: %s", error)
        return
    loop.default_exception_handler(context)
