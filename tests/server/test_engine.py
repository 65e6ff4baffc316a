"""The engine with real clients: curl over HTTP/1.1 and HTTP/2, client certificates, WebSocket."""

import asyncio
import base64
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.connection
import h2.events
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    Request,
)

from kapi.auth.pki import ADMIN, ClusterPki, serving_spec
from kapi.env import run_process, spawn
from kapi.server import engine
from kapi.server.engine import TlsFiles

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await _echo(receive, send)
        return
    path = scope["path"]
    if path == "/large":
        await _reply(send, b"x" * 3_000_000)
    elif path == "/refuse":
        await _reply(send, b"too large", 413)
    elif path == "/fail":
        raise RuntimeError("broken on purpose")
    elif path == "/break-off":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("broken off on purpose")
    elif path == "/upload":
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await _reply(send, b"%d" % size)
    elif path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(100):
            line = b"%d\n" % number
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        der = scope["state"].get("client_certificate")
        text = f"{scope['http_version']} {len(der) if der else 0} {'user' in scope['state']}"
        await _reply(send, text.encode())


async def _reply(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "v5.channel.k8s.io"})
    while (message := await receive())["type"] == "websocket.receive":
        if message["bytes"] == b"end":
            await send({"type": "websocket.close", "code": 1000})
            return
        await send({"type": "websocket.send", "bytes": message["bytes"]})


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> ClusterPki:
    pki = ClusterPki(tmp_path_factory.mktemp("pki"))
    pki.ensure(serving_spec("test-host", ("127.0.0.1", "10.96.0.1")))
    pki.ensure(ADMIN)
    return pki


@asynccontextmanager
async def _served(pki: ClusterPki, port: int) -> AsyncIterator[int]:
    shutdown, listening = asyncio.Event(), asyncio.Event()
    pair = pki.pair("apiserver")
    tls = TlsFiles(pair.cert_file, pair.key_file, pki.ca.cert_file)
    bind = [("127.0.0.1", port)]
    served = engine.serve(_app, bind=bind, tls=tls, shutdown=shutdown, listening=listening)
    task = spawn(served, "engine")
    await asyncio.wait_for(listening.wait(), 5)
    try:
        yield port
    finally:
        shutdown.set()
        await asyncio.wait_for(task, 5)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _curl(pki: ClusterPki, port: int, path: str, *options: str) -> str:
    argv = ["curl", "-sS", "--max-time", "20", "--cacert", str(pki.ca.cert_file), *options]
    result = await run_process([*argv, f"https://127.0.0.1:{port}{path}"])
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode()


@needs_curl
async def test_curl_speaks_both_versions_with_and_without_certificate(pki: ClusterPki) -> None:
    admin = pki.pair("admin")
    shown = ["--cert", str(admin.cert_file), "--key", str(admin.key_file)]
    async with _served(pki, _free_port()) as port:
        assert await _curl(pki, port, "/", "--http1.1") == "1.1 0 False"
        assert await _curl(pki, port, "/", "--http2") == "2 0 False"
        size = len(ssl.PEM_cert_to_DER_cert(admin.cert_pem))
        assert await _curl(pki, port, "/", "--http1.1", *shown) == f"1.1 {size} False"
        assert await _curl(pki, port, "/", "--http2", *shown) == f"2 {size} False"


@needs_curl
async def test_a_foreign_certificate_is_refused(pki: ClusterPki, tmp_path: Path) -> None:
    other = ClusterPki(tmp_path).ensure(ADMIN)
    async with _served(pki, _free_port()) as port:
        url = f"https://127.0.0.1:{port}/"
        argv = ["curl", "-sS", "-k", "--cert", str(other.cert_file), "--key", str(other.key_file)]
        result = await run_process([*argv, url])
        assert result.exit_code != 0
        assert not result.stdout


@needs_curl
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
async def test_large_bodies_and_streams(pki: ClusterPki, tmp_path: Path, version: str) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(os.urandom(5_000_000))
    data = ["--data-binary", f"@{upload}"]
    async with _served(pki, _free_port()) as port:
        assert await _curl(pki, port, "/large", version) == "x" * 3_000_000
        assert await _curl(pki, port, "/upload", version, *data) == "5000000"
        lines = (await _curl(pki, port, "/stream", version)).split()
        assert lines == [str(number) for number in range(100)]
        code = ["-o", os.devnull, "-w", "%{http_code}"]
        assert await _curl(pki, port, "/fail", version, *code) == "500"
        many = [f"https://127.0.0.1:{port}/" for _ in range(50)]
        text = await _curl(pki, port, "/", version, *many)
        assert text.count("False") == 51


class _Http2Client:
    """The little of a client that shows how a server treats one connection."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self._reader, self._writer = reader, writer
        self.http = h2.connection.H2Connection()
        self.http.initiate_connection()
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()

    def request(self, stream: int, method: str, path: str, *, end: bool) -> None:
        fields = {":method": method, ":path": path, ":authority": "localhost", ":scheme": "https"}
        self.http.send_headers(stream, list(fields.items()), end_stream=end)

    async def exchange(self) -> None:
        self._writer.write(self.http.data_to_send())
        data = await asyncio.wait_for(self._reader.read(65536), 5)
        assert data, "the server closed the connection"
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)


async def test_an_unread_body_does_not_hang_the_connection(pki: ClusterPki) -> None:
    context = ssl.create_default_context(cafile=str(pki.ca.cert_file))
    context.set_alpn_protocols(["h2"])
    async with _served(pki, _free_port()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        client = _Http2Client(reader, writer)
        for stream in (1, 3, 5, 7):
            client.request(stream, "POST", "/refuse", end=False)
            while stream not in client.ended:
                await client.exchange()
            assert client.bodies[stream] == b"too large"
            # The server has answered; what the client sends nevertheless must do no harm.
            for _ in range(3):
                client.http.send_data(stream, b"x" * 16384)
        client.request(9, "GET", "/", end=True)
        while 9 not in client.ended:
            await client.exchange()
        assert client.bodies[9] == b"2 0 False"
        writer.close()


async def test_a_body_after_its_answer_does_not_cost_the_connection(pki: ClusterPki) -> None:
    """An early answer (not found, forbidden) says nothing of closing, so the next request works."""
    async with _served(pki, _free_port()) as port:
        trust = ssl.create_default_context(cafile=str(pki.ca.cert_file))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        head = b"POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n"
        async with asyncio.timeout(10):
            for _ in range(3):
                writer.write(head + b"half")
                assert b"413 Request Entity Too Large" in await reader.readuntil(b"too large")
                writer.write(b"x" * (200_000 - len(b"half")))
            writer.write(b"GET /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(1) == b"0"
            writer.write(head.replace(b"200000", b"9999999") + b"x" * 600_000)
            await reader.readuntil(b"too large")
            # More than is worth reading: this connection ends.
            assert await reader.read() == b""
        writer.close()


@needs_curl
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
async def test_an_answer_that_breaks_off_is_seen_as_broken(pki: ClusterPki, version: str) -> None:
    async with _served(pki, _free_port()) as port:
        argv = ["curl", "-sS", "--max-time", "5", "--cacert", str(pki.ca.cert_file), version]
        result = await run_process([*argv, f"https://127.0.0.1:{port}/break-off"])
        # curl drops what it has read of an HTTP/2 stream that is reset.
        assert result.stdout in (b"half", b"")
        # 18: partial transfer; 92: HTTP/2 stream not closed cleanly. 28 would be the time limit.
        assert result.exit_code in (18, 92), result.stderr


async def _websocket(port: int, pki: ClusterPki) -> tuple[Any, Any, WSConnection]:
    context = ssl.create_default_context(cafile=str(pki.ca.cert_file))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    connection = WSConnection(ConnectionType.CLIENT)
    request = Request(host="localhost", target="/exec", subprotocols=["v5.channel.k8s.io"])
    writer.write(connection.send(request))
    return reader, writer, connection


async def test_websocket_messages_pings_and_the_closing_code(pki: ClusterPki) -> None:
    async with _served(pki, _free_port()) as port:
        reader, writer, connection = await _websocket(port, pki)
        seen: list[Any] = []

        async def until(kind: type) -> Any:
            while True:
                for event in list(seen):
                    seen.remove(event)
                    if isinstance(event, kind):
                        return event
                data = await asyncio.wait_for(reader.read(65536), 5)
                connection.receive_data(data or None)
                seen.extend(connection.events())

        accepted = await until(AcceptConnection)
        assert accepted.subprotocol == "v5.channel.k8s.io"
        writer.write(connection.send(Ping(b"hello")))
        assert (await until(Pong)).payload == b"hello"
        blob = base64.b64encode(os.urandom(300_000))
        writer.write(connection.send(BytesMessage(blob)))
        got = b""
        while len(got) < len(blob):
            got += bytes((await until(BytesMessage)).data)
        assert got == blob
        writer.write(connection.send(BytesMessage(b"end")))
        assert (await until(CloseConnection)).code == 1000
        writer.close()


async def test_shutdown_ends_idle_and_busy_connections(pki: ClusterPki) -> None:
    context = ssl.create_default_context(cafile=str(pki.ca.cert_file))
    async with _served(pki, _free_port()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    rest = await asyncio.wait_for(reader.read(), 5)
    assert rest.endswith(b"False")
    writer.close()


async def test_a_taken_address_is_an_error_at_once(pki: ClusterPki) -> None:
    async with _served(pki, _free_port()) as port:
        bind = [("127.0.0.1", port)]
        with pytest.raises(OSError, match="in use"):
            async with engine.serving(_app, bind=bind, tls=None, name="second"):
                pytest.fail("two servers on one address")


async def test_an_address_may_come_into_being_later() -> None:
    """The pod bridge is made after the API server has started."""
    async with engine.serving(_app, bind=[("192.0.2.77", _free_port())], tls=None, name="early"):
        pass
