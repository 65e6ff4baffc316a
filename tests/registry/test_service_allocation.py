"""Cluster IPs and node ports: never twice, given back, unharmed by failures."""

import asyncio
import copy
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kapi.api.errors import InternalError, Invalid
from kapi.api.user import UserInfo
from kapi.env import SystemClock, install
from kapi.registry.core.service import ServiceStrategy
from kapi.registry.core.service_allocator import (
    ORPHAN_SECONDS,
    Band,
    address_band,
    port_band,
)
from kapi.registry.strategy import RequestContext
from kapi.storage.codec import encode
from kapi.storage.memory import MemoryStore

CIDR = "10.96.0.0/24"
PORTS = (30000, 30100)


def context(*, dry_run: bool = False) -> RequestContext:
    return RequestContext(UserInfo("admin"), namespace="ns", dry_run=dry_run)


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}], **spec},
    }
    strategy = ServiceStrategy(CIDR, PORTS)
    strategy.default(obj)
    strategy.prepare_for_create(context(), obj)
    assert strategy.validate(obj) == []
    return obj


async def allocate(
    store: MemoryStore,
    new: dict[str, Any],
    old: dict[str, Any] | None = None,
    *,
    cidr: str = CIDR,
    ports: tuple[int, int] = PORTS,
) -> dict[str, Any]:
    allocation = await ServiceStrategy(cidr, ports).allocate(store, context(), new, old)
    assert allocation is not None
    await allocation.commit()
    return new


async def changed(store: MemoryStore, old: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """The Service after a write that replaces these fields of its spec."""
    strategy = ServiceStrategy(CIDR, PORTS)
    new = copy.deepcopy(old)
    new["spec"].update(spec)
    strategy.default(new)
    strategy.prepare_for_update(context(), new, old)
    assert [str(error) for error in strategy.validate_update(new, old)] == []
    return await allocate(store, new, old)


async def keys(store: MemoryStore) -> list[str]:
    return [item.key.rpartition("/")[2] for item in (await store.range("/registry/")).items]


def test_bands_leave_a_lower_part_to_explicit_requests() -> None:
    assert port_band((30000, 32767)) == Band(30000, 32767, 30086)
    assert address_band("10.96.0.0/24").dynamic_first - address_band("10.96.0.0/24").first == 16
    assert address_band("10.96.0.0/12").dynamic_first - address_band("10.96.0.0/12").first == 256


async def test_an_address_and_a_node_port_come_from_the_dynamic_part() -> None:
    store = MemoryStore()
    made = await allocate(store, service(type="NodePort"))
    address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    assert made["spec"]["clusterIPs"] == [address]
    assert int(address.rpartition(".")[2]) > 16
    assert 30016 <= port <= 30100
    assert sorted(await keys(store)) == sorted([address, str(port)])


async def test_many_writers_never_share_a_value() -> None:
    store = MemoryStore()
    made = await asyncio.gather(
        *(allocate(store, service(f"s{index}", type="NodePort")) for index in range(90))
    )
    assert len({item["spec"]["clusterIP"] for item in made}) == 90
    assert len({item["spec"]["ports"][0]["nodePort"] for item in made}) == 90


async def test_a_full_range_is_an_internal_error_and_leaks_nothing() -> None:
    store = MemoryStore()
    ports = (30000, 30001)
    for index in range(2):
        await allocate(store, service(f"s{index}", type="NodePort"), ports=ports)
    before = await keys(store)
    with pytest.raises(InternalError, match="failed to allocate a nodePort: range is full"):
        await allocate(store, service("late", type="NodePort"), ports=ports)
    assert await keys(store) == before


async def test_a_taken_address_is_refused_by_field() -> None:
    store = MemoryStore()
    await allocate(store, service(clusterIP="10.96.0.7"))
    with pytest.raises(Invalid) as caught:
        await allocate(store, service("other", clusterIP="10.96.0.7"))
    assert caught.value.details["causes"] == [
        {
            "reason": "FieldValueInvalid",
            "field": "spec.clusterIPs",
            "message": 'Invalid value: ["10.96.0.7"]: failed to allocate IP 10.96.0.7: '
            "provided IP is already allocated",
        }
    ]


async def test_two_protocols_of_one_port_share_a_node_port() -> None:
    store = MemoryStore()
    dns = [
        {"name": "udp", "port": 53, "protocol": "UDP"},
        {"name": "tcp", "port": 53, "protocol": "TCP"},
    ]
    made = await allocate(store, service(type="NodePort", ports=dns))
    first, second = made["spec"]["ports"]
    assert first["nodePort"] == second["nodePort"]


async def test_headless_reserves_nothing() -> None:
    store = MemoryStore()
    made = await allocate(store, service(clusterIP="None"))
    assert made["spec"]["clusterIPs"] == ["None"]
    assert await keys(store) == []


async def test_types_give_back_what_they_do_not_need() -> None:
    store = MemoryStore()
    first = await allocate(store, service())
    address = first["spec"]["clusterIP"]
    public = await changed(store, first, type="NodePort")
    assert public["spec"]["clusterIP"] == address
    assert len(await keys(store)) == 2
    private = await changed(store, public, type="ClusterIP")
    assert await keys(store) == [address]
    assert "nodePort" not in private["spec"]["ports"][0]
    named = await changed(store, private, type="ExternalName", externalName="a.example.com")
    assert await keys(store) == []
    again = await changed(store, named, type="ClusterIP")
    assert await keys(store) == [again["spec"]["clusterIP"]]


async def test_local_load_balancers_get_a_health_check_port() -> None:
    store = MemoryStore()
    made = await allocate(store, service(type="LoadBalancer", externalTrafficPolicy="Local"))
    assert made["spec"]["healthCheckNodePort"] != made["spec"]["ports"][0]["nodePort"]
    assert len(await keys(store)) == 3
    await ServiceStrategy(CIDR, PORTS).after_delete(store, made)
    assert await keys(store) == []


async def test_a_failed_write_gives_everything_back() -> None:
    store = MemoryStore()
    allocation = await ServiceStrategy(CIDR, PORTS).allocate(
        store, context(), service(type="NodePort"), None
    )
    assert allocation is not None
    assert len(await keys(store)) == 2
    await allocation.revert()
    assert await keys(store) == []


async def test_a_dry_run_shows_values_and_keeps_none() -> None:
    store = MemoryStore()
    obj = service(type="NodePort")
    allocation = await ServiceStrategy(CIDR, PORTS).allocate(
        store, context(dry_run=True), obj, None
    )
    assert allocation is not None
    await allocation.commit()
    assert obj["spec"]["clusterIP"]
    assert obj["spec"]["ports"][0]["nodePort"]
    assert await keys(store) == []


async def test_deleting_one_service_keeps_what_another_owns() -> None:
    store = MemoryStore()
    owner = await allocate(store, service())
    impostor = service("other")
    impostor["spec"]["clusterIPs"] = owner["spec"]["clusterIPs"]
    await ServiceStrategy(CIDR, PORTS).after_delete(store, impostor)
    assert await keys(store) == [owner["spec"]["clusterIP"]]


class StoppedClock(SystemClock):
    """A wall clock that only moves when told to."""

    def __init__(self) -> None:
        self.moment = datetime(2024, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


async def test_a_reservation_without_a_service_is_taken_over_in_time() -> None:
    clock = StoppedClock()
    install(clock, random.Random(1))
    try:
        store = MemoryStore()
        await allocate(store, service("crashed", clusterIP="10.96.0.7"))
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            await allocate(store, service("next", clusterIP="10.96.0.7"))
        clock.moment += timedelta(seconds=ORPHAN_SECONDS + 1)
        await allocate(store, service("next", clusterIP="10.96.0.7"))
    finally:
        install(SystemClock(), random.SystemRandom())


async def test_a_reservation_of_a_living_service_is_never_taken_over() -> None:
    clock = StoppedClock()
    install(clock, random.Random(1))
    try:
        store = MemoryStore()
        owner = await allocate(store, service("owner", clusterIP="10.96.0.7"))
        await store.create("/registry/services/ns/owner", encode(owner))
        clock.moment += timedelta(days=1)
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            await allocate(store, service("next", clusterIP="10.96.0.7"))
    finally:
        install(SystemClock(), random.SystemRandom())
