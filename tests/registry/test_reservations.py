"""What a failed write had reserved is given back, unless the write may have happened."""

from typing import Any

import orjson
import pytest

from kapi.api import errors
from kapi.api.user import UserInfo
from kapi.registry.admission import NoAdmission
from kapi.registry.store import Backing, GenericStore
from kapi.registry.strategy import RequestContext
from kapi.registry.table import builtin_resources
from kapi.storage.errors import StorageFull, StorageUnavailable
from kapi.storage.interface import KeyValue
from kapi.storage.memory import MemoryStore
from kapi.storage.watch_cache import WatchCache

SERVICES = "/registry/services/"
ADDRESSES = "/registry/ipaddresses/"


class Failing(MemoryStore):
    """Fails when a Service is written; `lost` says whether only the answer is."""

    error: Exception | None = None
    lost = False

    async def create(self, key: str, value: bytes) -> int:
        if self.error is not None and key.startswith(SERVICES):
            if self.lost:
                await super().create(key, value)
            raise self.error
        return await super().create(key, value)


def service(name: str) -> dict[str, Any]:
    spec = {"ports": [{"port": 80}], "selector": {"app": "x"}, "type": "ClusterIP"}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


async def _create(store: Failing, name: str) -> None:
    rows = builtin_resources("10.96.0.0/16", (30000, 32767))
    row = next(row for row in rows if row.qualified == "services")
    cache = WatchCache(store)
    await cache.start()
    try:
        services = GenericStore(row, Backing(store, cache, NoAdmission()))
        obj = service(name)
        row.strategy.default(obj)
        await services.create(RequestContext(user=UserInfo("u"), namespace="default"), obj)
    finally:
        await cache.stop()


async def _addresses(store: Failing) -> list[KeyValue]:
    return (await store.range(ADDRESSES)).items


async def test_a_write_that_failed_for_certain_gives_back() -> None:
    store = Failing()
    store.error = StorageFull("full")
    with pytest.raises(errors.ApiError):
        await _create(store, "a")
    assert await _addresses(store) == []


async def test_a_write_whose_answer_was_lost_keeps_its_address() -> None:
    store = Failing()
    store.error, store.lost = StorageUnavailable("the answer was lost"), True
    with pytest.raises(errors.ServerTimeout):
        await _create(store, "a")
    (held,) = (await store.range(SERVICES)).items
    (address,) = await _addresses(store)
    assert address.key.endswith(orjson.loads(held.value)["spec"]["clusterIP"])
