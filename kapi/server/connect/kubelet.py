"""Connections from the API server to a kubelet: plain HTTP answers and WebSockets, over TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

import h11
import orjson
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from kapi.api import errors
from kapi.api.object import Object
from kapi.server.call import Call

_CHUNK = 64 * 1024
_CONNECT_SECONDS = 10.0
_NORMAL_CLOSE = 1000
_ABNORMAL_CLOSE = 1006


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to connect. Without `tls` the connection is in the clear (a pod's own port)."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(maxsize=4)
def _kubelet_tls(ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.load_cert_chain(cert_file, key_file)
    return context


def kubelet_of(call: Call, node_name: str) -> Destination:
    """The kubelet of a node, from the addresses and port it reported. Raises NotFound and 503."""
    node = call.api.lookup.get("nodes", "", node_name)
    if node is None:
        raise errors.resource_not_found("nodes", "", node_name)
    status = node.get("status") or {}
    port = int(
        ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 0
    )
    host = _preferred_address(status.get("addresses") or [])
    if not host or not port:
        raise errors.ServiceUnavailable(
            f'node "{node_name}" has not reported where its kubelet listens'
        )
    config = call.api.config
    if not config.kubelet_client_cert_file:
        raise errors.ServiceUnavailable(
            "this API server has no client certificate for kubelets (--kubelet-client-certificate)"
        )
    tls = _kubelet_tls(
        config.kubelet_ca_file, config.kubelet_client_cert_file, config.kubelet_client_key_file
    )
    return Destination(host, port, tls)


def _preferred_address(addresses: list[Object]) -> str:
    by_type = {item.get("type"): str(item.get("address")) for item in addresses}
    for kind in ("InternalIP", "ExternalIP", "Hostname"):
        if by_type.get(kind):
            return by_type[kind]
    return ""


async def connect(
    destination: Destination,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open the connection. Raises ApiError 500 that names the address, as upstream's dial error."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await asyncio.open_connection(
                destination.host, destination.port, ssl=destination.tls
            )
    except (OSError, TimeoutError) as error:
        raise errors.InternalError(
            f"error dialing backend: {destination.authority}: {error or 'timed out'}"
        ) from error


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Head of an answer, and its body piece by piece."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: AsyncIterator[bytes]


@asynccontextmanager
async def http_request(
    destination: Destination,
    method: str,
    target: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes = b"",
) -> AsyncIterator[HttpAnswer]:
    """One HTTP/1.1 exchange on a connection of its own."""
    reader, writer = await connect(destination)
    try:
        protocol = h11.Connection(h11.CLIENT)
        kept = [(key, value) for key, value in headers if key.lower() not in _HOP_BY_HOP]
        kept += [(b"host", destination.authority.encode()), (b"connection", b"close")]
        if body:
            kept.append((b"content-length", str(len(body)).encode()))
        writer.write(_request_head(protocol, method, target, kept))
        if body:
            writer.write(protocol.send(h11.Data(data=body)) or b"")
        writer.write(protocol.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        head = await _next_event(protocol, reader)
        while isinstance(head, h11.InformationalResponse):
            head = await _next_event(protocol, reader)
        if not isinstance(head, h11.Response):
            raise errors.InternalError(
                f"error dialing backend: {destination.authority} closed the connection"
            )
        answer_headers = [
            (key, value) for key, value in head.headers if key.lower() not in _HOP_BY_HOP
        ]
        yield HttpAnswer(head.status_code, answer_headers, _body(protocol, reader))
    finally:
        writer.close()


def _request_head(
    protocol: h11.Connection, method: str, target: str, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """The first bytes of a request. Raises BadRequest for what HTTP/1.1 has no form for."""
    try:
        return protocol.send(h11.Request(method=method, target=target, headers=headers)) or b""
    except (h11.LocalProtocolError, UnicodeError) as error:
        raise errors.BadRequest(f"the request cannot be passed on: {error}") from error


_HOP_BY_HOP = (
    b"host",
    b"connection",
    b"keep-alive",
    b"transfer-encoding",
    b"upgrade",
    b"te",
    b"trailer",
    b"content-length",
    b"authorization",
)


async def _next_event(protocol: h11.Connection, reader: asyncio.StreamReader) -> object:
    while True:
        try:
            event = protocol.next_event()
        except h11.RemoteProtocolError:
            return h11.ConnectionClosed()
        if event is not h11.NEED_DATA:
            return event
        try:
            protocol.receive_data(await reader.read(_CHUNK))
        except (OSError, h11.RemoteProtocolError):
            return h11.ConnectionClosed()


async def _body(protocol: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        event = await _next_event(protocol, reader)
        if not isinstance(event, h11.Data):
            return
        yield bytes(event.data)


class WebSocketClient:
    """The client end of one WebSocket, messages whole."""

    def __init__(
        self,
        protocol: WSConnection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        subprotocol: str | None,
    ) -> None:
        self._protocol, self._reader, self._writer = protocol, reader, writer
        self.subprotocol = subprotocol
        self._partial: list[bytes] = []
        self.close_code = _ABNORMAL_CLOSE

    async def send(self, data: bytes) -> None:
        """Send one binary message. Raises ConnectionError once the other side has closed."""
        try:
            self._writer.write(self._protocol.send(BytesMessage(data=data)))
        except LocalProtocolError as error:
            raise ConnectionError("the WebSocket is closed") from error
        await self._writer.drain()

    async def receive(self) -> bytes | None:
        """The next message; None at the end, with `close_code` saying how it ended."""
        while True:
            for event in self._protocol.events():
                if isinstance(event, (BytesMessage, TextMessage)):
                    data = event.data
                    self._partial.append(data.encode() if isinstance(data, str) else bytes(data))
                    if event.message_finished:
                        message, self._partial = b"".join(self._partial), []
                        return message
                elif isinstance(event, Ping):
                    self._writer.write(self._protocol.send(event.response()))
                elif isinstance(event, CloseConnection):
                    self.close_code = event.code
                    return None
            try:
                received = await self._reader.read(_CHUNK)
                if not received:
                    return None
                self._protocol.receive_data(received)
            except (OSError, RemoteProtocolError):
                return None

    def close(self) -> None:
        try:
            self._writer.write(self._protocol.send(CloseConnection(code=_NORMAL_CLOSE)))
        except LocalProtocolError:
            pass  # it is closed already
        self._writer.close()


async def open_websocket(
    destination: Destination, target: str, subprotocols: list[str]
) -> WebSocketClient:
    """Shake hands with a kubelet. A refusal is raised as the Status it carries."""
    reader, writer = await connect(destination)
    try:
        return await _shake_hands(reader, writer, destination, target, subprotocols)
    except RemoteProtocolError as error:
        writer.close()
        raise errors.InternalError(
            f"error dialing backend: {destination.authority}: {error}"
        ) from error
    except BaseException:
        writer.close()
        raise


async def _shake_hands(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    destination: Destination,
    target: str,
    subprotocols: list[str],
) -> WebSocketClient:
    protocol = WSConnection(ConnectionType.CLIENT)
    request = Request(host=destination.authority, target=target, subprotocols=subprotocols)
    writer.write(protocol.send(request))
    refused, body = 0, b""
    while True:
        data = await reader.read(_CHUNK)
        if not data:
            raise _refusal(refused or 500, body)
        protocol.receive_data(data)
        for event in protocol.events():
            if isinstance(event, AcceptConnection):
                return WebSocketClient(protocol, reader, writer, event.subprotocol)
            if isinstance(event, RejectConnection):
                refused = event.status_code
                if not event.has_body:
                    raise _refusal(refused, b"")
            elif isinstance(event, RejectData):
                body += bytes(event.data)
                if event.body_finished:
                    raise _refusal(refused, body)


async def refusal_of(destination: Destination, target: str) -> errors.ApiError:
    """Why the kubelet does not open this stream without a WebSocket: it always refuses."""
    async with http_request(destination, "GET", target, []) as answer:
        body = b"".join([piece async for piece in answer.body])
        return _refusal(answer.status, body)


def _refusal(status: int, body: bytes) -> errors.ApiError:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = {}
    if isinstance(value, dict) and value.get("kind") == "Status":
        return errors.from_status(value, status)
    text = body.decode("utf-8", "replace").strip() or "the kubelet refused the connection"
    return errors.from_status({"message": text}, status)
