"""The transport between processes: HTTP/1.1 over TLS with kept-alive connections.

Speaks through h11 on asyncio streams: importing a whole HTTP client library costs a component
20 MB of idle memory and 150 ms of start-up, which a kubelet or a proxy cannot spare.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import h11

from kapi import env
from kapi.client.interface import Response
from kapi.client.kubeconfig import Kubeconfig, load_kubeconfig

__all__ = ["HttpsTransport", "Kubeconfig", "load_kubeconfig"]

_log = logging.getLogger(__name__)

_READ_SIZE = 64 * 1024
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 70.0
# Requests beyond these wait for a free connection: a TLS handshake costs more than the wait.
_MAX_CONNECTIONS = 16
# client-go reads a token file again about once a minute (transport.NewCachedFileTokenSource).
_TOKEN_SECONDS = 60.0


class HttpsTransport:
    """Requests to one server. Raises ConnectionError when it cannot be reached or goes away."""

    def __init__(self, config: Kubeconfig) -> None:
        parts = urlsplit(config.server)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError(f"not a server URL: {config.server!r}")
        self._config = config
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._authority = parts.netloc
        self._prefix = parts.path.rstrip("/")
        self._context = _ssl_context(config) if self._secure else None
        self._idle: list[_Connection] = []
        self._turns = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._token = config.token
        self._token_read_at = float("-inf")
        self._closed = False

    @classmethod
    def from_kubeconfig(cls, path: str | Path, context: str = "") -> "HttpsTransport":
        """Raises KubeconfigError or OSError; connects only when first used."""
        return cls(load_kubeconfig(path, context))

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One exchange on a kept connection; waits its turn when many are under way."""
        head = await self._head(method, path, params, headers, body)
        async with self._turns:
            connection, reused = await self._connection()
            try:
                return await self._exchange(connection, head, body)
            except _NoAnswer:
                # The server closed a kept connection as we wrote. A read may be asked again.
                if not reused or method != "GET":
                    raise
            return await self._exchange(await self._connect(), head, body)

    async def _exchange(
        self, connection: "_Connection", head: h11.Request, body: bytes
    ) -> Response:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await connection.send(head, body)
                answer = await connection.response()
                whole = b"".join([chunk async for chunk in connection.body()])
        except TimeoutError:
            connection.abort()
            raise ConnectionError(f"{self._authority}: no answer in time") from None
        except BaseException:
            connection.abort()
            raise
        self._release(connection)
        return Response(answer.status_code, _decode_headers(answer.headers), whole)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """On a connection of its own, closed with the context. Silence is not an error: TCP
        keep-alive finds a dead peer."""
        head = await self._head(method, path, params, headers, b"")
        connection = await self._connect()
        try:
            await connection.send(head, b"")
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    answer = await connection.response()
            except TimeoutError:
                raise ConnectionError(f"{self._authority}: no answer in time") from None
            yield answer.status_code, connection.body()
        finally:
            connection.abort()

    def use_token(self, token: str) -> None:
        """From the next request on; connections are kept."""
        self._token = token

    async def close(self) -> None:
        self._closed = True
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    async def _head(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes,
    ) -> h11.Request:
        target = self._prefix + quote(path, safe="/:@!$&'()*+,;=~")
        if params:
            target += "?" + urlencode(params)
        fields = [("host", self._authority), *(headers or {}).items()]
        if body or method in ("POST", "PUT", "PATCH"):
            fields.append(("content-length", str(len(body))))
        token = await self._bearer_token()
        if token:
            fields.append(("authorization", f"Bearer {token}"))
        return h11.Request(method=method, target=target, headers=fields)

    async def _bearer_token(self) -> str:
        path = self._config.token_file
        if path and env.monotonic() - self._token_read_at > _TOKEN_SECONDS:
            try:
                self._token = (await env.in_thread(env.read_text, path)).strip()
            except (OSError, UnicodeDecodeError) as error:
                # As client-go: while the file cannot be read the last token goes on being used.
                problem = f"the token file cannot be read: {error}"
                if not self._token:
                    raise ConnectionError(problem) from error
                _log.warning("%s", problem)
            self._token_read_at = env.monotonic()
        return self._token

    async def _connection(self) -> tuple["_Connection", bool]:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection, True
            connection.abort()
        return await self._connect(), False

    def _release(self, connection: "_Connection") -> None:
        if not self._closed and connection.recycle():
            self._idle.append(connection)
        else:
            connection.abort()

    async def _connect(self) -> "_Connection":
        if self._closed:
            raise ConnectionError("the transport is closed")
        server_name = (self._config.tls_server_name or self._host) if self._secure else None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    self._host, self._port, ssl=self._context, server_hostname=server_name
                )
        except TimeoutError:
            raise ConnectionError(f"{self._authority}: no connection in time") from None
        except OSError as error:
            raise ConnectionError(f"{self._authority}: {error}") from error
        _keep_alive(writer)
        return _Connection(reader, writer)


class _NoAnswer(ConnectionError):
    """The connection ended before the first byte of an answer."""


class _Connection:
    """One HTTP/1.1 connection, one exchange at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    @property
    def usable(self) -> bool:
        return not (self._reader.at_eof() or self._writer.is_closing())

    async def send(self, head: h11.Request, body: bytes) -> None:
        pieces = [self._http.send(head) or b""]
        if body:
            pieces.append(self._http.send(h11.Data(data=body)) or b"")
        pieces.append(self._http.send(h11.EndOfMessage()) or b"")
        try:
            self._writer.write(b"".join(pieces))
            await self._writer.drain()
        except OSError as error:
            raise _NoAnswer(str(error)) from error

    async def response(self) -> h11.Response:
        seen = False
        while True:
            event = self._next_event()
            if isinstance(event, h11.Response):
                return event
            if event is h11.NEED_DATA:
                seen = await self._feed(first=not seen)
            elif not isinstance(event, h11.InformationalResponse):
                raise ConnectionError(f"unexpected answer: {type(event).__name__}")

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            event = self._next_event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif event is h11.NEED_DATA:
                await self._feed(first=False)
            else:
                return

    def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise ConnectionError(f"the answer ended early: {error}") from error

    async def _feed(self, *, first: bool) -> bool:
        try:
            data = await self._reader.read(_READ_SIZE)
        except OSError as error:
            raise (_NoAnswer if first else ConnectionError)(str(error)) from error
        if first and not data:
            raise _NoAnswer("the server closed the connection")
        self._http.receive_data(data)
        return True

    def recycle(self) -> bool:
        """Ready for another exchange? False if either side asked to close."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return self.usable

    def abort(self) -> None:
        self._writer.transport.abort()


def _decode_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """A peer that vanished is noticed within about a minute, also on a silent watch."""
    connection = writer.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, seconds)


def _ssl_context(config: Kubeconfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif config.ca_pem:
        context.load_verify_locations(cadata=config.ca_pem)
    else:
        context.load_default_certs()
    if config.client_cert_pem and config.client_key_pem:
        # The ssl module reads key pairs from files only; a combined file needs just one.
        pair = f"{config.client_cert_pem}\n{config.client_key_pem}\n".encode("ascii")
        with env.private_file(pair) as path:
            context.load_cert_chain(path)
    return context
