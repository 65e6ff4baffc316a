"""Cluster IPs and node ports, reserved as keys in the store.

Every reservation is one key that is created only if it is absent, so any number of API servers can
allocate at the same time without ever giving a value twice. A cluster IP's key holds an IPAddress
object (the networking.k8s.io kind), a node port's a small record of the Service it belongs to.

A server that dies between reserving and writing the Service leaves a reservation without an owner;
it is taken over by whoever asks for that value once it is older than `ORPHAN_SECONDS`.

Sources: k8s.io/kubernetes `pkg/registry/core/service/storage/alloc.go`, `ipallocator` and
`portallocator` (the bands, the texts).
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from kapi import env
from kapi.api.object import Object, name_of, namespace_of
from kapi.registry.strategy import RequestContext
from kapi.storage import codec
from kapi.storage.errors import KeyExists, KeyNotFound, RevisionConflict
from kapi.storage.interface import Store

ADDRESS_PREFIX = "/registry/ipaddresses/"
PORT_PREFIX = "/registry/servicenodeports/"
SERVICE_PREFIX = "/registry/services/"
ORPHAN_SECONDS = 60.0

_RANDOM_ATTEMPTS = 16

NOT_IN_RANGE = "the provided network does not match the current range"
ADDRESS_TAKEN = "provided IP is already allocated"
PORT_TAKEN = "provided port is already allocated"
RANGE_FULL = "range is full"


class Unavailable(Exception):
    """A value cannot be had; the message is upstream's, without the field."""


@dataclass(frozen=True, slots=True)
class Band:
    """Numbers from `first` to `last`; automatic choices come from `dynamic_first` on.

    The lower part is left to explicit requests as long as the upper part has room.
    """

    first: int
    last: int
    dynamic_first: int

    @classmethod
    def of(cls, first: int, last: int, *, step: int, longest: int) -> "Band":
        """A static part of a `step`-th of the range, at least 16 and at most `longest`."""
        size = last - first + 1
        static = 0 if size <= 16 else max(16, min(size // step, longest))
        return cls(first, last, first + static)

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last


def address_band(service_cidr: str) -> Band:
    """The usable addresses: without the network's own and, in IPv4, the broadcast address."""
    network = ipaddress.ip_network(service_cidr)
    first, last = int(network.network_address) + 1, int(network.broadcast_address)
    if network.version == 4:
        last -= 1
    return Band.of(first, max(first, last), step=16, longest=256)


def port_band(node_port_range: tuple[int, int]) -> Band:
    return Band.of(*node_port_range, step=32, longest=128)


@dataclass(slots=True)
class Reservations:
    """What one write of a Service reserved and what it will give back; an `Allocation`."""

    storage: Store
    service: Object
    dry_run: bool
    taken: list[tuple[str, int]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    planned: set[str] = field(default_factory=set)
    """Keys a dry run would have taken; it must not hand one out twice either."""

    async def commit(self) -> None:
        if not self.dry_run:
            for key in self.released:
                await release(self.storage, key, self.service)

    async def revert(self) -> None:
        for key, revision in self.taken:
            try:
                await self.storage.delete(key, revision)
            except (KeyNotFound, RevisionConflict):
                continue

    async def take(self, key: str) -> bool:
        """Reserve the key for the Service; False if another one has it."""
        if self.dry_run:
            present = await self.storage.get(key)
            if key in self.planned or (present and not await self._is_orphan(key)):
                return False
            self.planned.add(key)
            return True
        if any(key == own for own, _ in self.taken):
            return False
        for attempt in range(2):
            try:
                revision = await self.storage.create(key, codec.encode(self._record(key)))
            except KeyExists:
                if attempt or not await self._drop_orphan(key):
                    return False
            else:
                self.taken.append((key, revision))
                return True
        return False

    def _record(self, key: str) -> Object:
        name = key.rpartition("/")[2]
        is_address = key.startswith(ADDRESS_PREFIX)
        family = "IPv6" if ":" in name else "IPv4"
        labels = {
            "ipaddress.kubernetes.io/ip-family": family,
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }
        return {
            "kind": "IPAddress" if is_address else "ServiceNodePort",
            "apiVersion": "networking.k8s.io/v1",
            "metadata": {
                "name": name,
                "uid": env.uuid4(),
                "creationTimestamp": env.timestamp(),
                **({"labels": labels} if is_address else {}),
            },
            "spec": {
                "parentRef": {
                    "resource": "services",
                    "namespace": namespace_of(self.service),
                    "name": name_of(self.service),
                }
            },
        }

    async def _is_orphan(self, key: str) -> bool:
        """Does the reservation belong to a Service that does not exist, and not just yet?"""
        found = await self.storage.get(key)
        if found is None:
            return True
        record = codec.decode(found.value, found.revision)
        created = record["metadata"].get("creationTimestamp")
        if not created or (env.now() - env.parse_time(created)).total_seconds() < ORPHAN_SECONDS:
            return False
        owner = record.get("spec", {}).get("parentRef") or {}
        if owner.get("resource") != "services":
            return False
        service_key = f"{SERVICE_PREFIX}{owner.get('namespace')}/{owner.get('name')}"
        return await self.storage.get(service_key) is None

    async def _drop_orphan(self, key: str) -> bool:
        found = await self.storage.get(key)
        if found is None:
            return True
        if not await self._is_orphan(key):
            return False
        try:
            await self.storage.delete(key, found.revision)
        except (KeyNotFound, RevisionConflict):
            return False
        return True


async def release(storage: Store, key: str, service: Object) -> None:
    """Give a reservation back, if it is this Service's."""
    found = await storage.get(key)
    if found is None:
        return
    record = codec.decode(found.value, found.revision)
    owner = record.get("spec", {}).get("parentRef") or {}
    if (owner.get("namespace"), owner.get("name")) != (namespace_of(service), name_of(service)):
        return
    try:
        await storage.delete(key, found.revision)
    except (KeyNotFound, RevisionConflict):
        return


def reservations(storage: Store, ctx: RequestContext, service: Object) -> Reservations:
    return Reservations(storage, service, ctx.dry_run)


def address_key(address: str) -> str:
    return f"{ADDRESS_PREFIX}{ipaddress.ip_address(address)}"


def port_key(port: int) -> str:
    return f"{PORT_PREFIX}{port}"


async def take_address(taken: Reservations, band: Band, address: str) -> None:
    """Reserve one given address. Raises Unavailable."""
    parsed = ipaddress.ip_address(address)
    if int(parsed) not in band:
        raise Unavailable(NOT_IN_RANGE)
    if not await taken.take(address_key(address)):
        raise Unavailable(ADDRESS_TAKEN)


async def next_address(taken: Reservations, band: Band) -> str:
    """Reserve any free address. Raises Unavailable."""
    number = await _next(taken, band, lambda value: address_key(str(_address(value, band))))
    return str(_address(number, band))


def _address(number: int, band: Band) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if band.last < 1 << 32:
        return ipaddress.IPv4Address(number)
    return ipaddress.IPv6Address(number)


async def take_port(taken: Reservations, band: Band, port: int) -> None:
    """Reserve one given node port. Raises Unavailable."""
    if port not in band:
        raise Unavailable(
            "provided port is not in the valid range. "
            f"The range of valid ports is {band.first}-{band.last}"
        )
    if not await taken.take(port_key(port)):
        raise Unavailable(PORT_TAKEN)


async def next_port(taken: Reservations, band: Band) -> int:
    """Reserve any free node port. Raises Unavailable."""
    return await _next(taken, band, port_key)


async def _next(taken: Reservations, band: Band, key_of: Callable[[int], str]) -> int:
    """Random tries in the dynamic part, then a walk through what is free of it, then of the rest.

    The walk reads the taken keys once, so that a range with few free values is not probed one by
    one.
    """
    choose = env.random()
    for _ in range(_RANDOM_ATTEMPTS):
        number = choose.randint(band.dynamic_first, band.last)
        if await taken.take(key_of(number)):
            return number
    prefix = key_of(band.first).rpartition("/")[0] + "/"
    present = {item.key for item in (await taken.storage.range(prefix)).items}
    start = choose.randint(band.dynamic_first, band.last)
    for part in (
        range(start, band.last + 1),
        range(band.dynamic_first, start),
        range(band.first, band.dynamic_first),
    ):
        for number in part:
            key = key_of(number)
            if key not in present and await taken.take(key):
                return number
    raise Unavailable(RANGE_FULL)
