"""Asks the machine's own resolvers about everything that is not the cluster's.

Answers are passed on as they are. Each question goes out from a socket of its own with a number
of its own, so that a forged answer has to guess both.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable

from kapi import env

_log = logging.getLogger(__name__)

Address = tuple[str, int]

_TIMEOUT_SECONDS = 2.0
_REREAD_SECONDS = 5.0
_QUESTIONS_MAX = 1000
_HEADER_BYTES = 12


class NoUpstream(Exception):
    """No resolver gave an answer."""


class Forwarder:
    """`upstreams` fixed by the caller, or read from `resolv_conf` again and again as it changes."""

    def __init__(
        self,
        *,
        resolv_conf: str = "/etc/resolv.conf",
        upstreams: tuple[Address, ...] = (),
        own_addresses: Iterable[Address] = (),
    ) -> None:
        """`own_addresses` are never asked: a server that asks itself asks for ever."""
        self._resolv_conf = resolv_conf
        self._fixed = upstreams
        self._own = set(own_addresses)
        self._read: tuple[Address, ...] = ()
        self._read_at = -_REREAD_SECONDS
        self._open = 0

    async def ask(self, data: bytes, *, tcp: bool) -> bytes:
        """The answer to a request, whose number is the caller's. Raises NoUpstream.

        Resolvers are tried in random order, each for two seconds.
        """
        if self._open >= _QUESTIONS_MAX:
            raise NoUpstream("too many questions are under way")
        self._open += 1
        try:
            return await self._ask_any(data, tcp=tcp)
        finally:
            self._open -= 1

    async def _ask_any(self, data: bytes, *, tcp: bool) -> bytes:
        servers = list(self._servers())
        env.random().shuffle(servers)
        number = env.random().getrandbits(16).to_bytes(2, "big")
        request = number + data[2:]
        problems = []
        for server in servers:
            try:
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    answer = await (_ask_tcp if tcp else _ask_udp)(server, request)
            except (OSError, TimeoutError, EOFError) as error:
                problems.append(f"{server[0]}: {error or type(error).__name__}")
                continue
            return data[:2] + answer[2:]
        raise NoUpstream("; ".join(problems) or "no resolver is configured")

    def _servers(self) -> tuple[Address, ...]:
        if self._fixed:
            return self._fixed
        if env.monotonic() - self._read_at >= _REREAD_SECONDS:
            self._read_at = env.monotonic()
            try:
                servers = nameservers(env.read_text(self._resolv_conf))
            except OSError as error:
                _log.warning("%s cannot be read: %s", self._resolv_conf, error)
            else:
                self._read = tuple(item for item in servers if item not in self._own)
        return self._read


def nameservers(resolv_conf: str) -> list[Address]:
    """The servers of a resolv.conf, each once."""
    found: dict[Address, None] = {}
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            ipaddress.ip_address(words[1].split("%")[0])
        except ValueError:
            continue
        found[words[1], 53] = None
    return list(found)


class _OneAnswer(asyncio.DatagramProtocol):
    """Waits for the datagram that answers `request`; others are ignored."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if _answers(self._request, data) and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _answers(request: bytes, answer: bytes) -> bool:
    """Same number, an answer, and (where the answer repeats it) the same question."""
    if len(answer) < _HEADER_BYTES or answer[:2] != request[:2] or not answer[2] & 0x80:
        return False
    if answer[4:6] == b"\0\0":
        return True
    end = _question_end(request)
    return answer[_HEADER_BYTES:end].lower() == request[_HEADER_BYTES:end].lower()


def _question_end(request: bytes) -> int:
    position = _HEADER_BYTES
    while position < len(request) and request[position]:
        position += 1 + request[position]
    return position + 5


async def _ask_udp(server: Address, request: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _OneAnswer(request), remote_addr=server
    )
    try:
        transport.sendto(request)
        return await protocol.answer
    finally:
        transport.close()


async def _ask_tcp(server: Address, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(request).to_bytes(2, "big") + request)
        await writer.drain()
        length = int.from_bytes(await reader.readexactly(2), "big")
        answer = await reader.readexactly(length)
    finally:
        writer.close()
    if not _answers(request, answer):
        raise ConnectionError("the answer is to another question")
    return answer
