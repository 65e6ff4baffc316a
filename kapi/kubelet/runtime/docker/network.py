"""The pod network: one bridge per machine, a slice of it per node, and a door into a namespace."""

import asyncio
import ctypes
import ipaddress
import os
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_CLONE_NEWNET = 0x40000000
_CONNECT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class DockerNetwork:
    """The Docker network that carries pods. `subnet` is the cluster's pod range."""

    name: str = "kapi"
    subnet: str = "10.244.0.0/16"
    bridge: str = "kapi0"

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge: the first of the subnet."""
        return str(ipaddress.IPv4Network(self.subnet).network_address + 1)

    def request(self) -> dict[str, Any]:
        """The body of Docker's create call."""
        return {
            "Name": self.name,
            "Driver": "bridge",
            "CheckDuplicate": True,
            "IPAM": {"Config": [{"Subnet": self.subnet, "Gateway": self.gateway}]},
            "Options": {"com.docker.network.bridge.name": self.bridge},
        }


class AddressPool:
    """Addresses of one node's range, handed out round-robin so that none is reused at once."""

    def __init__(self, cidr: str, reserved: Iterable[str] = ()) -> None:
        self._network = ipaddress.IPv4Network(cidr)
        self._reserved = frozenset(reserved)
        self._used: set[str] = set()
        self._next = 0

    def take(self) -> str | None:
        """A free address, now in use; None when the range is full."""
        # The first address of every range is left out: a route may put a gateway there.
        first, count = self._network.network_address + 2, self._network.num_addresses - 3
        for _ in range(count):
            address = str(first + self._next)
            self._next = (self._next + 1) % count
            if address not in self._used and address not in self._reserved:
                self._used.add(address)
                return address
        return None

    def keep_only(self, used: Iterable[str], being_made: Iterable[str] = ()) -> None:
        """Learn which addresses are really held; everything else is free again."""
        self._used = set(used) | set(being_made)


class SocketStream:
    """A connected socket as the runtime interface's ByteStream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, limit: int) -> bytes:
        return await self._reader.read(limit)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass


async def connect_in_namespace(process_id: int, port: int) -> SocketStream:
    """Connect to 127.0.0.1 (then ::1) inside the network namespace of a process.

    Raises ConnectionError. Entering a namespace concerns one thread, so a thread is made for the
    purpose and ends with it; the socket stays in the namespace it was opened in.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[socket.socket] = loop.create_future()

    def settle(found: socket.socket | None, error: Exception | None) -> None:
        if answer.cancelled():
            if found is not None:
                found.close()
        elif found is not None:
            answer.set_result(found)
        else:
            answer.set_exception(error or ConnectionError("no connection"))

    def enter() -> None:
        try:
            found = _connect(process_id, port)
        except OSError as error:
            if not isinstance(error, ConnectionError):
                error = ConnectionError(str(error))
            loop.call_soon_threadsafe(settle, None, error)
        else:
            loop.call_soon_threadsafe(settle, found, None)

    threading.Thread(target=enter, name="pod-connect", daemon=True).start()
    connected = await answer
    connected.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=connected)
    return SocketStream(reader, writer)


def _connect(process_id: int, port: int) -> socket.socket:
    handle = os.open(f"/proc/{process_id}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_TIMEOUT_SECONDS)
    except ConnectionRefusedError as refused:
        try:
            return socket.create_connection(("::1", port), timeout=_CONNECT_TIMEOUT_SECONDS)
        except OSError:
            raise refused from None
