"""The connection to a Docker engine.

Short requests go through the `docker` package in worker threads. What streams (logs, events, exec,
attach, pull progress) is read by the loop itself from a plain HTTP/1.0 exchange, so that nothing is
buffered out of sight, no thread waits, and cancelling closes the socket.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import docker
import docker.errors
import orjson
import requests.exceptions

from kapi.kubelet.runtime.interface import RuntimeFailure, RuntimeUnavailable

DEFAULT_URL = "unix:///var/run/docker.sock"
_API_VERSION = "1.41"
_CALL_TIMEOUT_SECONDS = 120
_THREADS_MAX = 16

T = TypeVar("T")


class EngineError(RuntimeFailure):
    """The engine refused; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class RawExchange:
    """An answered request whose connection is ours: the body, and a way to write."""

    status: int
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class DockerEngine:
    """Every method raises RuntimeUnavailable when nothing answers, EngineError on refusal."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.url = url
        self._threads = ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="docker")
        self._lock = threading.Lock()
        self._client: Any = None

    async def call(self, use: Callable[[Any], T]) -> T:
        """Run `use(APIClient)` in a worker thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._guarded, use)

    def _guarded(self, use: Callable[[Any], T]) -> T:
        try:
            self._knock()
            return use(self._connected())
        except docker.errors.APIError as error:
            status = int(getattr(error.response, "status_code", 0) or 500)
            raise EngineError(status, str(error.explanation or error)) from error
        except (requests.exceptions.RequestException, docker.errors.DockerException) as error:
            raise RuntimeUnavailable(f"the Docker engine at {self.url} does not answer") from error

    def _knock(self) -> None:
        """Find a dead local engine here: docker's own connection would leak its socket."""
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
                try:
                    door.connect(parts.path)
                except OSError as error:
                    raise docker.errors.DockerException(str(error)) from error

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = docker.APIClient(
                    base_url=self.url, version=_API_VERSION, timeout=_CALL_TIMEOUT_SECONDS
                )
            return self._client

    @asynccontextmanager
    async def exchange(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[RawExchange]:
        """One streaming request; the connection closes with the context."""
        data = b"" if body is None else orjson.dumps(body)
        target = f"/v{_API_VERSION}{path}" + (f"?{urlencode(query)}" if query else "")
        # HTTP/1.0: the engine then ends the body by closing, without chunk framing.
        # An upgrade is only defined for 1.1, where the body is raw as well.
        version = "HTTP/1.1" if headers and "Upgrade" in headers else "HTTP/1.0"
        lines = [f"{method} {target} {version}", "Host: docker"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if data:
            lines += ["Content-Type: application/json"]
        lines += [f"Content-Length: {len(data)}"] if data or method == "POST" else []
        reader, writer = await self._open()
        try:
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
            try:
                await writer.drain()
                status, answer_headers = await _read_head(reader)
            except (OSError, EOFError, ValueError) as error:
                raise RuntimeUnavailable("the Docker engine closed the connection") from error
            if status >= 400:
                raise EngineError(status, _message(await reader.read()))
            try:
                yield RawExchange(status, answer_headers, reader, writer)
            except ConnectionError as error:
                raise RuntimeUnavailable("the Docker engine broke the connection off") from error
        finally:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.url)
        try:
            if parts.scheme == "unix":
                return await asyncio.open_unix_connection(parts.path)
            if parts.scheme in ("tcp", "http"):
                return await asyncio.open_connection(parts.hostname, parts.port or 2375)
        except OSError as error:
            raise RuntimeUnavailable(f"the Docker engine at {self.url} does not answer") from error
        raise RuntimeUnavailable(f"kapi cannot stream from a Docker engine at {self.url}")

    def close(self) -> None:
        """Give back threads and connections; running calls end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.split("\r\n")
    headers = {}
    for line in rest:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip().lower()] = value.strip()
    return int(first.split(" ", 2)[1]), headers


def _message(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body.decode(errors="replace").strip() or "the engine gave no reason"
