"""The kubelet's streams with one side that misbehaves: exec, port-forward, SPDY headers."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from kapi import env
from kapi.kubelet import spdy
from kapi.kubelet.server_channels import serve_channels
from kapi.kubelet.server_port_forward import ChannelPortForward, SpdyPortForward


class Socket:
    """A WebSocket: what the client sends is put into `client`, what it gets is in `sent`."""

    def __init__(self) -> None:
        self.client: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.code = 0

    async def receive(self) -> dict[str, Any]:
        data = await self.client.get()
        if data is None:
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", "bytes": data}

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)

    async def close(self, code: int) -> None:
        self.code = code


class EndedProcess:
    """It said something and ended with 3; what is written now meets a closed connection."""

    def __init__(self) -> None:
        self.refused = asyncio.Event()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        await self.refused.wait()
        await asyncio.sleep(0.01)
        yield 1, b"last words"

    async def write(self, data: bytes) -> None:
        self.refused.set()
        raise ConnectionResetError("gone")

    async def close_stdin(self) -> None: ...

    async def resize(self, width: int, height: int) -> None:
        raise AssertionError("nobody gave a size that makes sense")

    async def exit_code(self) -> int:
        return 3

    async def close(self) -> None: ...


async def test_an_exec_that_takes_no_more_input_still_tells_its_exit_code() -> None:
    socket = Socket()
    for message in (b"\x04not json", b"\x04[]", b"\x00input", b"\x00more"):
        socket.client.put_nowait(message)
    async with asyncio.timeout(5):
        await serve_channels(socket, EndedProcess(), (1, 2))  # type: ignore[arg-type]
    assert socket.sent[0] == b"\x01last words"
    status = orjson.loads(socket.sent[1][1:])
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert socket.code == 1000


class Backend:
    """`stuck`: takes no byte and ends only when `over` is set."""

    def __init__(self, *, stuck: bool) -> None:
        self.stuck = stuck
        self.over = asyncio.Event()
        self.written = b""

    async def read(self, limit: int) -> bytes:
        await self.over.wait()
        return b""

    async def write(self, data: bytes) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.written += data


class Pods:
    def __init__(self, **backends: Backend) -> None:
        self.backends = {int(name.removeprefix("port_")): b for name, b in backends.items()}

    @asynccontextmanager
    async def connect(self, sandbox_id: str, port: int) -> AsyncIterator[Backend]:
        yield self.backends[port]


async def reached(backend: Backend, data: bytes) -> None:
    async with asyncio.timeout(5):
        while backend.written != data:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_connection_that_ends_full_does_not_hold_up_the_others() -> None:
    socket, stuck, fine = Socket(), Backend(stuck=True), Backend(stuck=False)
    pods: Any = Pods(port_1=stuck, port_2=fine)
    forward = ChannelPortForward(socket, pods, "s", [1, 2])  # type: ignore[arg-type]
    scope = env.TaskScope()
    scope.spawn(forward.run(), "forward")
    for _ in range(100):
        socket.client.put_nowait(b"\x00data")
    socket.client.put_nowait(b"\x02hello")
    await asyncio.sleep(0.02)
    assert fine.written == b""
    stuck.over.set()
    await reached(fine, b"hello")
    await scope.close()


class Client:
    """Makes the frames kubectl sends."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)

    def open(self, stream: int, **headers: str) -> bytes:
        plain = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.encode(), value.encode()):
                plain += struct.pack(">I", len(text)) + text
        return self.frame(stream, plain)

    def frame(self, stream: int, plain: bytes) -> bytes:
        block = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = struct.pack(">IIH", stream, 0, 0) + block
        return struct.pack(">HHI", 0x8003, 1, len(payload)) + payload

    def connect(self, port: int, first: int) -> bytes:
        request = {"requestid": str(port), "port": str(port)}
        error = self.open(first, streamtype="error", **request)
        return error + self.open(first + 2, streamtype="data", **request)

    def data(self, stream: int, data: bytes) -> bytes:
        return struct.pack(">II", stream, len(data)) + data


async def test_the_same_over_spdy() -> None:
    socket, stuck, fine = Socket(), Backend(stuck=True), Backend(stuck=False)
    pods: Any = Pods(port_1=stuck, port_2=fine)
    forward = SpdyPortForward(socket, pods, "s")  # type: ignore[arg-type]
    scope = env.TaskScope()
    scope.spawn(forward.run(), "forward")
    client = Client()
    socket.client.put_nowait(client.connect(1, 1) + client.connect(2, 5))
    for _ in range(100):
        socket.client.put_nowait(client.data(3, b"data"))
    socket.client.put_nowait(client.data(7, b"hello"))
    await asyncio.sleep(0.02)
    assert fine.written == b""
    stuck.over.set()
    await reached(fine, b"hello")
    await scope.close()


def test_headers_that_would_fill_the_memory_are_refused() -> None:
    with pytest.raises(spdy.SpdyError, match="more than"):
        list(spdy.FrameReader().feed(Client().frame(1, bytes(8 * 1024 * 1024))))
