"""Every backend against the one contract."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kapi import env
from kapi.storage.etcd import EtcdStore
from kapi.storage.interface import Store
from kapi.storage.memory import MemoryStore
from kapi.storage.sqlite import SqliteStore
from tests.contract.storage_suite import StoreContract
from tests.storage.etcd_process import Etcd, running_etcd


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd")) as etcd:
        yield etcd


class TestMemoryStore(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore()
        yield store
        await store.close()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = await SqliteStore.open(tmp_path / "state.db")
        yield store
        await store.close()


class TestEtcdStore(StoreContract):
    @pytest.fixture
    async def store(self, etcd: Etcd) -> AsyncIterator[Store]:
        # A prefix of its own makes the shared etcd look empty.
        store = await EtcdStore.open(etcd.endpoint, prefix=f"/{env.uuid4()}")
        yield store
        await store.close()
