"""The watch cache above every backend: one suite, unmodified."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kapi import env
from kapi.storage import codec
from kapi.storage.cached import CachedObject, CacheEvent
from kapi.storage.errors import Compacted, FutureRevision
from kapi.storage.etcd import EtcdStore
from kapi.storage.interface import Store
from kapi.storage.memory import MemoryStore
from kapi.storage.sqlite import SqliteStore
from kapi.storage.watch_cache import WatchCache
from kapi.storage.watcher import Watcher
from tests.storage.etcd_process import Etcd, running_etcd
from tests.validate import watch as promises


def pod(name: str, **labels: str) -> bytes:
    metadata = {"name": name, "namespace": "ns", "labels": labels}
    return codec.encode({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})


def key(name: str, namespace: str = "ns", resource: str = "pods") -> str:
    return f"/registry/{resource}/{namespace}/{name}"


def body(entry: CachedObject) -> Any:
    """The object without its resourceVersion, which must be the entry's revision."""
    obj = orjson.loads(entry.data)
    assert obj["metadata"].pop("resourceVersion") == str(entry.revision)
    return obj


def change(event: CacheEvent) -> promises.Change:
    assert event.entry.revision == event.revision
    value = None if event.type == "DELETED" else body(event.entry)
    previous = body(event.previous) if event.previous is not None else None
    assert (event.type == "ADDED") == (previous is None)
    return promises.Change(event.key, event.revision, value, previous)


async def read(watcher: Watcher, count: int) -> list[list[CacheEvent]]:
    found: list[list[CacheEvent]] = []
    while sum(map(len, found)) < count:
        batch = await watcher.next(10)
        assert batch, f"only {found} came"
        found.append(batch)
    return found


async def write_some(store: Store, resource: str = "pods") -> list[promises.Change]:
    """Creates, updates and deletes of five keys; what was written, in order."""
    history: list[promises.Change] = []
    for number in range(40):
        name = key(f"p{number % 5}", resource=resource)
        held, value = await store.get(name), pod(f"p{number % 5}", n=str(number))
        before = orjson.loads(held.value) if held is not None else None
        if held is None:
            revision, after = await store.create(name, value), orjson.loads(value)
        elif number % 3:
            revision = await store.update(name, value, held.revision)
            after = orjson.loads(value)
        else:
            revision, after = await store.delete(name, held.revision), None
        history.append(promises.Change(name, revision, after, before))
    return history


class WatchCacheContract:
    @pytest.fixture
    async def cache(self, store: Store) -> AsyncIterator[WatchCache]:
        cache = WatchCache(store)
        await cache.start()
        yield cache
        await cache.stop()

    async def settled(self, store: Store, cache: WatchCache) -> int:
        revision = await store.current_revision()
        await cache.wait_for(revision, 10)
        return revision

    async def test_it_holds_what_the_store_held_before(self, store: Store) -> None:
        for number in range(600):
            await store.create(key(f"p{number:03}"), pod(f"p{number:03}"))
        cache = WatchCache(store)
        await cache.start()
        assert len(cache.list("/registry/pods/ns/")) == 600
        assert cache.revision == await store.current_revision()
        await cache.stop()

    async def test_a_list_is_the_range_of_the_store(self, store: Store, cache: WatchCache) -> None:
        await write_some(store)
        await write_some(store, "pods.x")
        await store.create(key("p1", "other"), pod("p1"))
        await self.settled(store, cache)
        for prefix in ("/registry/", "/registry/pods/", "/registry/pods/ns/", "/registry/no/"):
            expected = await store.range(prefix)
            found = cache.list(prefix)
            assert [(e.key, e.revision) for e in found] == [
                (item.key, item.revision) for item in expected.items
            ]
            assert [body(e) for e in found] == [orjson.loads(i.value) for i in expected.items]

    async def test_a_list_from_a_key_on(self, store: Store, cache: WatchCache) -> None:
        for name in "abc":
            await store.create(key(name), pod(name))
        await self.settled(store, cache)
        found = cache.list("/registry/pods/", start=key("b"))
        assert [entry.key for entry in found] == [key("b"), key("c")]
        assert [entry.key for entry in cache.list(key("b"))] == [key("b")]
        assert cache.list(key("b"), start=key("c")) == []

    async def test_watches_keep_their_eight_promises(self, store: Store, cache: WatchCache) -> None:
        start = cache.revision
        live = cache.watch("/registry/pods/")
        one = cache.watch(key("p1"))
        history = await write_some(store) + await write_some(store, "secrets")
        await self.settled(store, cache)
        middle = history[15].revision
        for watcher, since in (
            (live, start),
            (one, start),
            (cache.watch("/registry/pods/", start), start),
            (cache.watch("/registry/pods/", middle), middle),
            (cache.watch("/registry/", middle), middle),
        ):
            self.check(watcher, since, history, await self.drained(watcher, since, history))
            watcher.close()

    async def test_history_older_than_memory_comes_from_the_store(self, store: Store) -> None:
        start = await store.current_revision()
        history = await write_some(store)
        cache = WatchCache(store, recent_events_max=3)
        await cache.start()
        watcher = cache.watch("/registry/pods/", start)
        history += await write_some(store, "other")
        last = await store.create(key("last"), pod("last"))
        history.append(promises.Change(key("last"), last, orjson.loads(pod("last"))))
        await cache.wait_for(last, 10)
        self.check(watcher, start, history, await self.drained(watcher, start, history))
        watcher.close()
        await cache.stop()

    async def drained(
        self, watcher: Watcher, since: int, history: list[promises.Change]
    ) -> list[list[CacheEvent]]:
        selects = self.selection(watcher)
        wanted = [c for c in history if c.revision > since and selects(c)]
        return await read(watcher, len(wanted))

    def selection(self, watcher: Watcher) -> Any:
        prefix = watcher.prefix
        return lambda c: c.key.startswith(prefix) if prefix[-1] == "/" else c.key == prefix

    def check(
        self,
        watcher: Watcher,
        since: int,
        history: list[promises.Change],
        batches: list[list[CacheEvent]],
    ) -> None:
        stream = promises.Stream(since, self.selection(watcher))
        stream.batches = [[change(event) for event in batch] for batch in batches]
        stream.batches.append([promises.Bookmark(watcher.revision)])
        promises.validate(stream, history)

    async def test_a_watch_begins_where_the_list_ended(
        self, store: Store, cache: WatchCache
    ) -> None:
        async def follow() -> dict[str, int]:
            state = {entry.key: entry.revision for entry in cache.list("/registry/pods/")}
            watcher = cache.watch("/registry/pods/", cache.revision)
            while batch := await watcher.next(0.3):
                for event in batch:
                    if event.type == "DELETED":
                        del state[event.key]
                    else:
                        state[event.key] = event.revision
            watcher.close()
            return state

        async def followers() -> list[dict[str, int]]:
            tasks = []
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    tasks.append(group.create_task(follow()))
                    await asyncio.sleep(0.005)
            return [task.result() for task in tasks]

        states, _ = await asyncio.gather(followers(), write_some(store))
        expected = {i.key: i.revision for i in (await store.range("/registry/pods/")).items}
        assert states == [expected] * 10

    async def test_events_are_shared_between_watchers(
        self, store: Store, cache: WatchCache
    ) -> None:
        watchers = [cache.watch("/registry/pods/"), cache.watch("/registry/pods/ns/")]
        await store.create(key("a"), pod("a"))
        ((first,), (second,)) = [await watcher.next(10) for watcher in watchers]
        assert first is second

    async def test_the_future_and_the_forgotten_are_refused(
        self, store: Store, cache: WatchCache
    ) -> None:
        first = await store.create(key("a"), pod("a"))
        await store.update(key("a"), pod("a", n="2"), first)
        last = await self.settled(store, cache)
        with pytest.raises(FutureRevision):
            cache.watch("/registry/pods/", last + 1)
        await store.compact(last)
        fresh = WatchCache(store)
        await fresh.start()
        watcher = fresh.watch("/registry/pods/", first - 1)
        with pytest.raises(Compacted):
            await watcher.next(10)
        watcher.close()
        await fresh.stop()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd")) as etcd:
        yield etcd


class TestAboveMemory(WatchCacheContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore()
        yield store
        await store.close()


class TestAboveSqlite(WatchCacheContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = await SqliteStore.open(tmp_path / "state.db")
        yield store
        await store.close()


class TestAboveEtcd(WatchCacheContract):
    @pytest.fixture
    async def store(self, etcd: Etcd) -> AsyncIterator[Store]:
        store = await EtcdStore.open(etcd.endpoint, prefix=f"/{env.uuid4()}")
        yield store
        await store.close()
