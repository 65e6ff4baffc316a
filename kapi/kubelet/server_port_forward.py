"""Port-forwarding: SPDY inside WebSocket messages (kubectl), or plain channels (other clients).

Sources: KEP-4006, k8s.io/kubelet `pkg/cri/streaming/portforward`.
"""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.websockets import WebSocket, WebSocketDisconnect

from kapi import env
from kapi.kubelet import spdy
from kapi.kubelet.runtime.interface import ByteStream, Runtime, RuntimeFailure

_log = logging.getLogger(__name__)

SPDY_SUBPROTOCOL = "SPDY/3.1+portforward.k8s.io"
CHANNEL_SUBPROTOCOLS = ("v4.channel.k8s.io", "portforward.k8s.io")
_CHUNK = 32 * 1024
_QUEUE_PIECES = 64
_REFUSED_STREAM = 3


@dataclass(slots=True)
class _Forward:
    """One local connection of kubectl: its data stream, its error stream, what it has sent."""

    port: int
    error_stream: int
    data_stream: int = 0
    received: asyncio.Queue[bytes] = field(
        default_factory=lambda: asyncio.Queue[bytes](_QUEUE_PIECES)
    )


class SpdyPortForward:
    """Serves one WebSocket that carries SPDY frames."""

    def __init__(self, websocket: WebSocket, runtime: Runtime, sandbox_id: str) -> None:
        self._websocket, self._runtime, self._sandbox_id = websocket, runtime, sandbox_id
        self._reader, self._writer = spdy.FrameReader(), spdy.FrameWriter()
        self._by_request: dict[str, _Forward] = {}
        self._by_stream: dict[int, _Forward] = {}
        self._tasks = env.TaskScope()

    async def run(self) -> None:
        try:
            while True:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                for frame in self._reader.feed(message.get("bytes") or b""):
                    if isinstance(frame, spdy.GoAway):
                        return
                    await self._handle(frame)
        except spdy.SpdyError as error:
            _log.warning("port-forward ended: %s", error)
        except WebSocketDisconnect:
            return
        finally:
            await self._tasks.close()

    async def _send(self, frame: bytes) -> None:
        await self._websocket.send_bytes(frame)

    async def _handle(self, frame: spdy.Frame) -> None:
        if isinstance(frame, spdy.SynStream):
            await self._open(frame)
        elif isinstance(frame, spdy.Data):
            forward = self._by_stream.get(frame.stream_id)
            if forward is not None and forward.data_stream == frame.stream_id:
                if frame.data:
                    await forward.received.put(frame.data)
                if frame.fin:
                    await forward.received.put(b"")
        elif isinstance(frame, spdy.Reset):
            forward = self._by_stream.pop(frame.stream_id, None)
            if forward is not None and forward.data_stream == frame.stream_id:
                await forward.received.put(b"")
        elif isinstance(frame, spdy.PingFrame) and frame.ping_id % 2:
            await self._send(self._writer.ping(frame.ping_id))

    async def _open(self, frame: spdy.SynStream) -> None:
        kind, request = frame.headers.get("streamtype"), frame.headers.get("requestid", "")
        port = frame.headers.get("port", "")
        if kind not in ("error", "data") or not port.isdigit() or not 0 < int(port) < 65536:
            await self._send(self._writer.reset(frame.stream_id, _REFUSED_STREAM))
            return
        await self._send(self._writer.syn_reply(frame.stream_id))
        if kind == "error":
            forward = _Forward(int(port), frame.stream_id)
            self._by_request[request] = self._by_stream[frame.stream_id] = forward
            return
        found = self._by_request.pop(request, None)
        if found is None:
            await self._send(self._writer.reset(frame.stream_id, _REFUSED_STREAM))
            return
        found.data_stream = frame.stream_id
        self._by_stream[frame.stream_id] = found
        self._tasks.spawn(self._forward(found), f"port-forward {found.port}")

    async def _forward(self, forward: _Forward) -> None:
        error = b""
        try:
            async with self._runtime.connect(self._sandbox_id, forward.port) as backend:
                await copy_both(
                    backend,
                    forward.received,
                    lambda data: self._send(self._writer.data(forward.data_stream, data)),
                )
        except (OSError, RuntimeFailure) as failure:
            error = f"error forwarding port {forward.port} to pod: {failure}".encode()
        self._by_stream.pop(forward.data_stream, None)
        self._by_stream.pop(forward.error_stream, None)
        discard(forward.received)
        if error:
            await self._send(self._writer.data(forward.error_stream, error))
        await self._send(self._writer.data(forward.data_stream, b"", fin=True))
        # kubectl waits for the error stream's end; empty means all went well.
        await self._send(self._writer.data(forward.error_stream, b"", fin=True))


async def copy_both(
    backend: ByteStream,
    received: "asyncio.Queue[bytes]",
    send: Callable[[bytes], Awaitable[None]],
) -> None:
    """Copy until the backend has closed; an empty piece received ends the other direction."""

    async def upward() -> None:
        try:
            while data := await received.get():
                await backend.write(data)
        except OSError as error:
            _log.debug("the backend of a port-forward takes no more: %s", error)
            # Whoever fills the queue serves other connections as well and must not wait for ever.
            while await received.get():
                pass

    up = env.spawn(upward(), "port-forward-up")
    try:
        while data := await backend.read(_CHUNK):
            await send(data)
    finally:
        up.cancel()
        await asyncio.gather(up, return_exceptions=True)


def discard(received: "asyncio.Queue[bytes]") -> None:
    """Nobody reads this queue any more: let go of who waits for room in it."""
    while not received.empty():
        received.get_nowait()


class ChannelPortForward:
    """Serves one WebSocket with two channels per port: 2i carries data, 2i+1 errors."""

    def __init__(
        self, websocket: WebSocket, runtime: Runtime, sandbox_id: str, ports: list[int]
    ) -> None:
        self._websocket, self._runtime, self._sandbox_id = websocket, runtime, sandbox_id
        self._ports = ports
        self._open: dict[int, asyncio.Queue[bytes]] = {}
        """By data channel, for as long as the backend's connection lasts."""
        self._tasks = env.TaskScope()

    async def run(self) -> None:
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):
                await self._send(channel, struct.pack("<H", port))
            queue = self._open[2 * index] = asyncio.Queue[bytes](_QUEUE_PIECES)
            self._tasks.spawn(self._forward(index, port, queue), f"port-forward {port}")
        try:
            while True:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                data = message.get("bytes") or b""
                received = self._open.get(data[0]) if len(data) > 1 else None
                if received is not None:
                    await received.put(data[1:])
        except WebSocketDisconnect:
            return
        finally:
            await self._tasks.close()

    async def _send(self, channel: int, data: bytes) -> None:
        await self._websocket.send_bytes(bytes([channel]) + data)

    async def _forward(self, index: int, port: int, received: "asyncio.Queue[bytes]") -> None:
        try:
            async with self._runtime.connect(self._sandbox_id, port) as backend:
                await copy_both(backend, received, lambda data: self._send(2 * index, data))
        except (OSError, RuntimeFailure) as failure:
            text = f"error forwarding port {port} to pod: {failure}"
            await self._send(2 * index + 1, text.encode())
        finally:
            self._open.pop(2 * index, None)
            discard(received)
