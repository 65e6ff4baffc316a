"""What is particular to etcd: prefixes, addresses, its quota, several endpoints."""

import asyncio
from pathlib import Path

import pytest

from kapi.storage.errors import StorageFull, StorageUnavailable
from kapi.storage.etcd import EtcdStore
from tests.storage.etcd_process import running_etcd

DEAD = "http://127.0.0.1:1"


async def test_a_dead_etcd_is_reported_quickly() -> None:
    async with asyncio.timeout(6):
        with pytest.raises(StorageUnavailable):
            await EtcdStore.open(DEAD)


async def test_an_address_must_be_http_or_https() -> None:
    with pytest.raises(ValueError, match="http"):
        await EtcdStore.open("unix:///run/etcd")


async def test_prefixes_failover_and_the_quota(tmp_path: Path) -> None:
    with running_etcd(tmp_path, "--quota-backend-bytes=8000000") as etcd:
        left = await EtcdStore.open(f"{DEAD},{etcd.endpoint}", prefix="/left")
        right = await EtcdStore.open(etcd.endpoint, prefix="/right")
        first = await left.create("/r/a", b"left")
        assert await right.get("/r/a") is None
        assert (await right.range("")).items == []
        assert [item.key for item in (await left.range("/r/")).items] == ["/r/a"]

        with pytest.raises(StorageFull):
            for number in range(40):
                await right.create(f"/r/{number}", b"x" * 1_000_000)
        item = await left.get("/r/a")
        assert item is not None and item.revision == first
        await left.close()
        await right.close()
