"""Exec, attach and logs: Docker's eight-byte frames taken off, order kept.

A frame is one byte stream number (0 stdin, 1 stdout, 2 stderr), three zero bytes, a big-endian
length, then the payload. With a tty there are no frames.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Literal

from kapi.kubelet.runtime.docker.engine import RawExchange

_READ_BYTES = 65536
StreamNumber = Literal[1, 2]


async def frames(
    reader: asyncio.StreamReader, *, tty: bool
) -> AsyncIterator[tuple[StreamNumber, bytes]]:
    """Pieces of output until the engine closes the stream."""
    if tty:
        while data := await reader.read(_READ_BYTES):
            yield 1, data
        return
    while True:
        try:
            header = await reader.readexactly(8)
            payload = await reader.readexactly(int.from_bytes(header[4:], "big"))
        except asyncio.IncompleteReadError:
            return
        if payload:
            yield (2 if header[0] == 2 else 1), payload


class DockerStream:
    """A hijacked connection: a running exec, or an attachment."""

    def __init__(
        self,
        exchange: RawExchange,
        stack: AsyncExitStack,
        *,
        tty: bool,
        resize: Callable[[int, int], Awaitable[None]],
        exit_code: Callable[[], Awaitable[int | None]],
    ) -> None:
        self._exchange = exchange
        self._stack = stack
        self._tty = tty
        self._resize = resize
        self._exit_code = exit_code
        self._ended = asyncio.Event()

    async def output(self) -> AsyncIterator[tuple[StreamNumber, bytes]]:
        try:
            async for piece in frames(self._exchange.reader, tty=self._tty):
                yield piece
        except ConnectionError:
            pass
        finally:
            self._ended.set()

    async def write(self, data: bytes) -> None:
        self._exchange.writer.write(data)
        await self._exchange.writer.drain()

    async def close_stdin(self) -> None:
        if self._exchange.writer.can_write_eof():
            self._exchange.writer.write_eof()

    async def resize(self, width: int, height: int) -> None:
        await self._resize(width, height)

    async def exit_code(self) -> int | None:
        """Waits until `output` has been read to its end."""
        await self._ended.wait()
        return await self._exit_code()

    async def close(self) -> None:
        self._ended.set()
        await self._stack.aclose()


async def limited(pieces: AsyncIterator[bytes], limit_bytes: int | None) -> AsyncIterator[bytes]:
    """Cut after `limit_bytes`, in mid-line if need be."""
    left = limit_bytes
    async for piece in pieces:
        if left is None:
            yield piece
            continue
        if left <= 0:
            return
        yield piece[:left]
        left -= len(piece)
