"""The watch cache's own promises: queues, time-outs, indexing, sharing, and losing the store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from kapi.api.object import Object, labels_of
from kapi.storage import codec
from kapi.storage.cached import CacheEvent
from kapi.storage.errors import Compacted, StorageUnavailable, WatchLagged
from kapi.storage.etcd import EtcdStore
from kapi.storage.memory import MemoryStore
from kapi.storage.watch_cache import WatchCache
from tests.storage.etcd_process import running_etcd


def pod(name: str, phase: str = "Pending", owner: str = "") -> bytes:
    metadata: Object = {"name": name, "namespace": "ns", "labels": {"app": name}}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "name": "x"}]
    return codec.encode({"kind": "Pod", "metadata": metadata, "status": {"phase": phase}})


def index_phase(obj: Object) -> tuple[dict[str, str], dict[str, str]]:
    return labels_of(obj), {"status.phase": obj["status"]["phase"]}


@pytest.fixture
async def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def cache(store: MemoryStore) -> AsyncIterator[WatchCache]:
    cache = WatchCache(store, queue_len_max=10, recent_events_max=20, decoded_bytes_max=4000)
    await cache.start()
    yield cache
    await cache.stop()


async def put(store: MemoryStore, cache: WatchCache, name: str, value: bytes) -> int:
    held = await store.get(f"/registry/pods/ns/{name}")
    if held is None:
        revision = await store.create(f"/registry/pods/ns/{name}", value)
    else:
        revision = await store.update(held.key, value, held.revision)
    await cache.wait_for(revision, 5)
    return revision


async def test_an_entry_holds_what_requests_filter_by(
    store: MemoryStore, cache: WatchCache
) -> None:
    cache.register("/registry/pods/", index_phase)
    revision = await put(store, cache, "a", pod("a", "Running", owner="u-1"))
    entry = cache.get("/registry/pods/ns/a")
    assert entry is not None
    assert entry.labels == {"app": "a"}
    assert entry.fields == {"status.phase": "Running"}
    assert entry.owners == ("u-1",)
    assert orjson.loads(entry.data)["metadata"]["resourceVersion"] == str(revision)


async def test_a_late_registration_indexes_again(store: MemoryStore, cache: WatchCache) -> None:
    await put(store, cache, "a", pod("a"))
    (before,) = cache.list("/registry/pods/")
    assert before.fields == {"metadata.name": "a", "metadata.namespace": "ns"}
    cache.register("/registry/pods/", index_phase)
    (after,) = cache.list("/registry/pods/")
    assert after.fields == {"status.phase": "Pending"}
    assert (after.data, after.revision) == (before.data, before.revision)


async def test_values_that_are_no_objects_do_not_stop_the_cache(
    store: MemoryStore, cache: WatchCache
) -> None:
    cache.register("/registry/pods/", index_phase)
    for name, value in (("bad", b"\xff"), ("bare", b'{"kind":"Pod"}'), ("list", b"[]")):
        await put(store, cache, name, value)
    await put(store, cache, "odd", codec.encode({"kind": "Pod", "metadata": {"name": "odd"}}))
    await put(store, cache, "good", pod("good"))
    assert [e.key[-4:] for e in cache.list("/registry/pods/")] == ["good", "/odd"]


async def test_a_deleted_event_carries_the_last_state_at_the_deletion(
    store: MemoryStore, cache: WatchCache
) -> None:
    watcher = cache.watch("/registry/pods/")
    first = await put(store, cache, "a", pod("a"))
    second = await put(store, cache, "a", pod("a", "Running"))
    gone = await store.delete("/registry/pods/ns/a", second)
    await cache.wait_for(gone, 5)
    added, modified, deleted = await watcher.next(5)
    assert [e.type for e in (added, modified, deleted)] == ["ADDED", "MODIFIED", "DELETED"]
    assert orjson.loads(deleted.entry.data)["status"]["phase"] == "Running"
    assert orjson.loads(deleted.entry.data)["metadata"]["resourceVersion"] == str(gone)
    assert deleted.previous is modified.entry
    assert modified.previous is added.entry and added.revision == first
    departed = orjson.loads(modified.departed().data)
    assert departed["status"]["phase"] == "Pending"
    assert departed["metadata"]["resourceVersion"] == str(second)


async def test_next_returns_nothing_after_its_time(store: MemoryStore, cache: WatchCache) -> None:
    watcher = cache.watch("/registry/pods/")
    assert await watcher.next(0.01) == []
    other = await store.create("/registry/secrets/ns/s", pod("s"))
    await cache.wait_for(other, 5)
    assert await watcher.next(0) == []
    assert watcher.revision == other


async def test_the_revision_of_a_watcher_never_runs_ahead_of_what_it_gave(
    store: MemoryStore, cache: WatchCache
) -> None:
    watcher = cache.watch("/registry/pods/")
    before = cache.revision
    revision = await put(store, cache, "a", pod("a"))
    assert watcher.revision == before
    await watcher.next(5)
    assert watcher.revision == revision


async def test_a_cancelled_next_loses_nothing(store: MemoryStore, cache: WatchCache) -> None:
    watcher = cache.watch("/registry/pods/")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watcher.next(), 0.01)
    await put(store, cache, "a", pod("a"))
    assert len(await watcher.next(5)) == 1


async def test_a_watcher_that_does_not_read_is_ended(store: MemoryStore, cache: WatchCache) -> None:
    slow, quick = cache.watch("/registry/pods/"), cache.watch("/registry/pods/")
    for number in range(15):
        await put(store, cache, f"p{number}", pod("p"))
        assert len(await quick.next(5)) == 1
    with pytest.raises(WatchLagged):
        await slow.next(5)


async def test_stopping_ends_watches_and_waits(store: MemoryStore) -> None:
    cache = WatchCache(store)
    await cache.start()
    watcher = cache.watch("/registry/")
    waits = [
        asyncio.ensure_future(cache.wait_for(10**6, 60)),
        asyncio.ensure_future(watcher.next()),
    ]
    await asyncio.sleep(0)
    await cache.stop()
    results = await asyncio.gather(*waits, return_exceptions=True)
    assert [type(result) for result in results] == [StorageUnavailable] * 2


async def test_waiting_for_a_revision_that_does_not_come(cache: WatchCache) -> None:
    with pytest.raises(StorageUnavailable):
        await cache.wait_for(cache.revision + 1, 0.01)


async def test_decoded_objects_are_shared_current_and_bounded(
    store: MemoryStore, cache: WatchCache
) -> None:
    for number in range(40):
        await put(store, cache, f"p{number}", pod("p"))
    entries = cache.list("/registry/pods/")
    first = cache.decoded(entries[0])
    assert cache.decoded(entries[0]) is first
    for entry in entries:
        assert cache.decoded(entry)["metadata"]["resourceVersion"] == str(entry.revision)
    assert cache.decoded(entries[0]) is not first
    await put(store, cache, "p0", pod("p", "Running"))
    (now,) = cache.list("/registry/pods/ns/p0")
    assert cache.decoded(now)["status"]["phase"] == "Running"
    assert cache.decoded(entries[0])["status"]["phase"] == "Pending"


class Forgetful(MemoryStore):
    """A store whose watches can be cut, and that compacts everything while they are."""

    async def cut(self) -> None:
        self._broadcaster.fail(StorageUnavailable("cut"))

    def mend(self) -> None:
        self._broadcaster._closed = None


async def test_after_compaction_the_differences_become_events() -> None:
    store = Forgetful()
    cache = WatchCache(store)
    first = {name: await store.create(f"/registry/pods/ns/{name}", pod(name)) for name in "abcd"}
    await cache.start()
    watcher = cache.watch("/registry/pods/")
    await store.cut()
    await store.update("/registry/pods/ns/a", pod("a", "Running"), first["a"])
    await store.delete("/registry/pods/ns/b", first["b"])
    await store.delete("/registry/pods/ns/c", first["c"])
    await store.create("/registry/pods/ns/c", pod("c", "Running"))
    last = await store.create("/registry/pods/ns/e", pod("e"))
    await store.compact(last)
    store.mend()
    await cache.wait_for(last, 10)
    events = await watcher.next(5)
    assert [(event.type, event.key[-1]) for event in events] == [
        ("MODIFIED", "a"),
        ("DELETED", "c"),
        ("ADDED", "c"),
        ("ADDED", "e"),
        ("DELETED", "b"),
    ]
    assert [event.revision for event in events] == sorted(event.revision for event in events)
    expected = (await store.range("/registry/")).items
    assert [e.revision for e in cache.list("/registry/")] == [i.revision for i in expected]
    await cache.stop()


async def test_what_came_and_went_while_the_store_was_away_is_not_hidden() -> None:
    """Another API server may have shown it: its clients resume here and must list again."""
    store = Forgetful()
    cache = WatchCache(store, recent_events_max=6)
    for name in "abc":
        await store.create(f"/registry/pods/ns/{name}", pod(name))
    await cache.start()
    await put(store, cache, "a", pod("a", "Running"))
    await store.cut()
    born = await store.create("/registry/pods/ns/d", pod("d"))
    await store.delete("/registry/pods/ns/d", born)
    last = await store.create("/registry/pods/ns/e", pod("e"))
    await store.compact(last)
    store.mend()
    await cache.wait_for(last, 10)
    for number in range(7):
        watcher = cache.watch("/registry/pods/", since=born)
        with pytest.raises(Compacted):
            await watcher.next(5)
        watcher.close()
        await put(store, cache, f"later-{number}", pod("later"))
    await cache.stop()


async def test_a_surprise_does_not_leave_the_cache_behind(
    store: MemoryStore, cache: WatchCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = cache.watch("/registry/pods/")
    put_entry, surprises = cache._state.put, iter([RuntimeError("nobody foresaw this")])

    def surprising(key: str, value: bytes, revision: int) -> CacheEvent | None:
        for surprise in surprises:
            raise surprise
        return put_entry(key, value, revision)

    monkeypatch.setattr(cache._state, "put", surprising)
    await put(store, cache, "a", pod("a"))
    assert [event.key for event in await watcher.next(5)] == ["/registry/pods/ns/a"]
    watcher.close()


async def test_an_etcd_that_others_write_to_does_not_stall_reads(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        ours = await EtcdStore.open(etcd.endpoint, prefix="/ours")
        theirs = await EtcdStore.open(etcd.endpoint, prefix="/theirs")
        cache = WatchCache(ours)
        await cache.start()
        await ours.create("/registry/pods/ns/a", pod("a"))
        for number in range(3):
            written = await theirs.create(f"/registry/pods/ns/{number}", pod("x"))
            revision = await ours.current_revision()
            assert revision == written
            await cache.wait_for(revision, 3)
        watcher = cache.watch("/registry/", since=cache.revision)
        await ours.create("/registry/pods/ns/b", pod("b"))
        assert [event.key for event in await watcher.next(5)] == ["/registry/pods/ns/b"]
        watcher.close()
        await cache.stop()
        await ours.close()
        await theirs.close()


async def test_an_etcd_that_goes_away_is_an_error_and_its_return_is_noticed(
    tmp_path: Path,
) -> None:
    with running_etcd(tmp_path) as etcd:
        store = await EtcdStore.open(etcd.endpoint)
        cache = WatchCache(store)
        await cache.start()
        watcher = cache.watch("/registry/")
        await store.create("/registry/pods/ns/a", pod("a"))
        assert len(await watcher.next(5)) == 1
        etcd.stop()
        async with asyncio.timeout(6):
            with pytest.raises(StorageUnavailable):
                await store.create("/registry/pods/ns/b", pod("b"))
            with pytest.raises(StorageUnavailable):
                await store.current_revision()
        assert cache.get("/registry/pods/ns/a") is not None
        await asyncio.to_thread(etcd.start)
        revision = await _eventually_create(store)
        (event,) = await watcher.next(10)
        assert (event.type, event.revision) == ("ADDED", revision)
        await cache.stop()
        await store.close()


async def _eventually_create(store: EtcdStore) -> int:
    for _ in range(50):
        try:
            return await store.create("/registry/pods/ns/c", pod("c"))
        except StorageUnavailable:
            await asyncio.sleep(0.1)
    raise AssertionError("etcd is back, but the store does not see it")
