"""A load generator: keep-alive HTTP/1.1 connections over TLS, each with one request in flight.

It is written on bare asyncio streams because a full HTTP client costs more per request than the
server under test.
"""

import asyncio
import base64
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import yaml


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send the load, and how to be let in."""

    host: str
    port: int
    tls: ssl.SSLContext
    token: str = ""

    def head(self, method: str, path: str, body: bytes) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines += ["Accept: application/json", f"Content-Length: {len(body)}"]
        if body:
            lines.append("Content-Type: application/json")
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join([*lines, "", ""]).encode()


def target_of(kubeconfig: Path) -> Target:
    """The current context's server, with its client certificate."""
    document = yaml.safe_load(kubeconfig.read_text())
    context = _named(document["contexts"], document["current-context"])["context"]
    cluster = _named(document["clusters"], context["cluster"])["cluster"]
    user = _named(document["users"], context["user"])["user"]
    tls = ssl.create_default_context(cadata=_pem(cluster["certificate-authority-data"]))
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder, "pair.pem")
        pair.touch(0o600)
        parts = (user["client-certificate-data"], user["client-key-data"])
        pair.write_text("".join(_pem(part) for part in parts))
        tls.load_cert_chain(pair)
    url = urlsplit(cluster["server"])
    return Target(url.hostname or "127.0.0.1", url.port or 443, tls)


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _pem(data: str) -> str:
    return base64.b64decode(data).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class Connection:
    """One keep-alive connection."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: bytes = b"") -> Answer:
        reader, writer = await self._connected()
        writer.write(self._target.head(method, path, body) + body)
        status, length, chunked, closes = await _read_head(reader)
        if chunked:
            content = b"".join([chunk async for chunk in _chunks(reader)])
        else:
            content = await reader.readexactly(length)
        if closes:
            await self.close()
        return Answer(status, content)

    async def lines(self, path: str) -> "asyncio.StreamReader":
        """Begins a streamed answer; the caller reads it as it comes."""
        reader, writer = await self._connected()
        writer.write(self._target.head("GET", path, b""))
        status, *_ = await _read_head(reader)
        if status != 200:
            raise ConnectionError(f"{path} answered {status}")
        return reader

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                self._target.host, self._target.port, ssl=self._target.tls, limit=1 << 24
            )
        return self._streams


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, int, bool, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
    return (
        int(head[0].split(" ")[1]),
        int(headers.get("content-length", 0)),
        headers.get("transfer-encoding") == "chunked",
        headers.get("connection") == "close",
    )


async def _chunks(reader: asyncio.StreamReader) -> Any:
    while size := int((await reader.readline()).strip() or b"0", 16):
        yield await reader.readexactly(size)
        await reader.readline()
    await reader.readline()


Request = tuple[str, str, bytes]


async def rate(
    target: Target,
    request: Callable[[int], Request],
    *,
    seconds: float,
    in_flight: int = 32,
    expect: tuple[int, ...] = (200, 201),
) -> float:
    """Requests per second that were answered as expected. Raises for any other answer."""
    numbers = iter(range(100_000_000))
    ends = time.perf_counter() + seconds
    done = 0

    async def worker() -> None:
        nonlocal done
        connection = Connection(target)
        while time.perf_counter() < ends:
            method, path, body = request(next(numbers))
            answer = await connection.request(method, path, body)
            if answer.status not in expect:
                raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
            done += 1
        await connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return done / (time.perf_counter() - started)


async def fan_out(
    target: Target, watch_path: str, create: Callable[[int], Request], *, watchers: int, events: int
) -> float:
    """Events per second delivered to all watchers together while `events` objects are made."""
    connections = [Connection(target) for _ in range(watchers)]
    streams = [await connection.lines(watch_path) for connection in connections]
    expected = b'"type":"ADDED"'

    async def count(stream: asyncio.StreamReader) -> None:
        seen, tail = 0, b""
        while seen < events:
            data = await stream.read(1 << 16)
            if not data:
                raise ConnectionError("a watch ended before its events were there")
            data = tail + data
            seen += data.count(expected)
            # What may be the beginning of the next match, and cannot be a whole one.
            tail = data[-(len(expected) - 1) :]

    async def make() -> None:
        writer = Connection(target)
        for number in range(events):
            answer = await writer.request(*create(number))
            if answer.status != 201:
                raise RuntimeError(f"create: {answer.status} {answer.body[:300]!r}")
        await writer.close()

    started = time.perf_counter()
    await asyncio.gather(make(), *(count(stream) for stream in streams))
    taken = time.perf_counter() - started
    for connection in connections:
        await connection.close()
    return watchers * events / taken


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Gives a function that tells the seconds since the block was entered."""
    started = time.perf_counter()
    yield lambda: time.perf_counter() - started
