"""What several quotas book when another server writes one of them in between."""

from typing import Any

import pytest

from kapi.admission.resource_quota import ResourceQuota
from kapi.api.user import UserInfo
from kapi.registry.admission import AdmissionRequest
from kapi.registry.strategy import RequestContext
from kapi.registry.table import builtin_resources
from kapi.storage import codec
from kapi.storage.errors import KeyNotFound, RevisionConflict
from kapi.storage.memory import MemoryStore

COUNTED = "count/configmaps"


def quota(name: str) -> dict[str, Any]:
    status = {"hard": {COUNTED: "5"}, "used": {COUNTED: "0"}}
    spec = {"hard": {COUNTED: "5"}}
    meta = {"name": name, "namespace": "ns"}
    return {"kind": "ResourceQuota", "metadata": meta, "spec": spec, "status": status}


class Lookup:
    """Knows both quotas, as a cache does that has not heard of a deletion yet."""

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        return None

    def list(self, resource: str, namespace: str = "") -> list[dict[str, Any]]:
        return [quota("a"), quota("b")]

    def version(self, resource: str) -> int:
        return 1


class Raced(MemoryStore):
    """Fails the first write of quota b."""

    def __init__(self, deleted: bool) -> None:
        super().__init__()
        self.deleted, self.failed = deleted, False

    async def update(self, key: str, value: bytes, expected_revision: int) -> int:
        if key.endswith("/b") and not self.failed:
            self.failed = True
            if self.deleted:
                await self.delete(key, expected_revision)
                raise KeyNotFound(key)
            raise RevisionConflict(key, expected_revision, expected_revision + 1)
        return await super().update(key, value, expected_revision)


def request() -> AdmissionRequest:
    rows = builtin_resources("10.96.0.0/16", (30000, 32767))
    row = next(row for row in rows if row.qualified == "configmaps")
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "ns"}}
    ctx = RequestContext(user=UserInfo("u"), namespace="ns")
    return AdmissionRequest("CREATE", row, "", "ns", "m", obj, None, ctx)


async def used(store: MemoryStore, name: str) -> str:
    found = await store.get(f"/registry/resourcequotas/ns/{name}")
    assert found is not None
    return str(codec.decode(found.value, 0)["status"]["used"][COUNTED])


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_lost_race_books_each_quota_once(deleted: bool) -> None:
    store = Raced(deleted)
    for name in "ab":
        await store.create(f"/registry/resourcequotas/ns/{name}", codec.encode(quota(name)))
    await ResourceQuota(Lookup(), store).validate(request())
    assert await used(store, "a") == "1"
    assert store.failed
    if not deleted:
        assert await used(store, "b") == "1"
