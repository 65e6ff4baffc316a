"""The storage contract, executable: run against every backend, unmodified.

A subclass provides a fixture `store` that gives an empty store. Revisions are compared with each
other, never with numbers: an etcd may be shared.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kapi.storage.errors import (
    Compacted,
    FutureRevision,
    KeyExists,
    KeyNotFound,
    RevisionConflict,
    StorageUnavailable,
)
from kapi.storage.interface import Event, Store
from tests.validate import watch as promises


async def collect(batches: AsyncIterator[list[Event]], count: int) -> list[list[Event]]:
    """Batches until they hold `count` events."""
    found: list[list[Event]] = []
    async with asyncio.timeout(10):
        while sum(map(len, found)) < count:
            found.append(await anext(batches))
    return found


def change(event: Event) -> promises.Change:
    value = None if event.is_delete else event.value
    return promises.Change(event.key, event.revision, value, event.previous)


class StoreContract:
    # Writes

    async def test_a_created_key_can_be_read(self, store: Store) -> None:
        revision = await store.create("/r/a", b"one")
        item = await store.get("/r/a")
        assert item is not None
        assert (item.key, item.value) == ("/r/a", b"one")
        assert item.revision == item.create_revision == revision
        assert await store.current_revision() == revision

    async def test_creating_an_existing_key_is_refused(self, store: Store) -> None:
        revision = await store.create("/r/a", b"one")
        with pytest.raises(KeyExists):
            await store.create("/r/a", b"two")
        item = await store.get("/r/a")
        assert item is not None and item.value == b"one"
        assert await store.current_revision() == revision

    async def test_an_update_needs_the_revision_it_read(self, store: Store) -> None:
        first = await store.create("/r/a", b"one")
        second = await store.update("/r/a", b"two", first)
        assert second > first
        with pytest.raises(RevisionConflict) as caught:
            await store.update("/r/a", b"three", first)
        assert (caught.value.expected, caught.value.actual) == (first, second)
        item = await store.get("/r/a")
        assert item is not None
        assert (item.value, item.revision, item.create_revision) == (b"two", second, first)

    async def test_a_missing_key_cannot_be_updated_or_deleted(self, store: Store) -> None:
        for expected in (0, 7):
            with pytest.raises(KeyNotFound):
                await store.update("/r/a", b"x", expected)
            with pytest.raises(KeyNotFound):
                await store.delete("/r/a", expected)

    async def test_expecting_revision_zero_never_creates(self, store: Store) -> None:
        await store.create("/r/a", b"one")
        with pytest.raises(RevisionConflict):
            await store.update("/r/a", b"two", 0)

    async def test_a_deleted_key_is_gone_until_created_anew(self, store: Store) -> None:
        first = await store.create("/r/a", b"one")
        with pytest.raises(RevisionConflict):
            await store.delete("/r/a", first + 1000)
        gone = await store.delete("/r/a", first)
        assert gone > first
        assert await store.get("/r/a") is None
        with pytest.raises(KeyNotFound):
            await store.update("/r/a", b"two", gone)
        again = await store.create("/r/a", b"three")
        item = await store.get("/r/a")
        assert item is not None and item.create_revision == again

    async def test_an_update_with_the_same_value_is_a_write(self, store: Store) -> None:
        first = await store.create("/r/a", b"one")
        assert await store.update("/r/a", b"one", first) > first

    async def test_of_many_writers_with_one_revision_one_wins(self, store: Store) -> None:
        first = await store.create("/r/a", b"0")
        attempts = [store.update("/r/a", b"%d" % number, first) for number in range(20)]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(result, int) for result in results) == 1
        assert sum(isinstance(result, RevisionConflict) for result in results) == 19

    async def test_of_many_creators_one_wins(self, store: Store) -> None:
        attempts = [store.create("/r/a", b"%d" % number) for number in range(20)]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        winner = next(number for number, result in enumerate(results) if isinstance(result, int))
        assert sum(isinstance(result, KeyExists) for result in results) == 19
        item = await store.get("/r/a")
        assert item is not None and item.value == b"%d" % winner

    async def test_values_are_opaque(self, store: Store) -> None:
        for number, value in enumerate((b"", b"\x00\xff\xfe", b"x" * 1_000_000)):
            await store.create(f"/r/{number}", value)
            item = await store.get(f"/r/{number}")
            assert item is not None and item.value == value

    # Ranges

    async def test_a_range_is_in_byte_order(self, store: Store) -> None:
        keys = ["/r/b", "/r/a/z", "/r/a-b", "/r/é", "/r/\U0001f600", "/r/\uffff", "/r/a"]
        for key in keys:
            await store.create(key, key.encode())
        result = await store.range("/r/")
        assert [item.key for item in result.items] == sorted(keys, key=str.encode)
        assert result.remaining == 0
        assert result.revision == await store.current_revision()

    async def test_a_prefix_ends_at_its_last_character(self, store: Store) -> None:
        for key in ("/pods/a", "/pods.x/a", "/pods0", "/podsx/a"):
            await store.create(key, b"")
        assert [item.key for item in (await store.range("/pods/")).items] == ["/pods/a"]
        assert len((await store.range("")).items) >= 4
        assert (await store.range("/nothing/")).items == []

    async def test_pages_of_one_moment(self, store: Store) -> None:
        for number in range(10):
            await store.create(f"/r/{number}", b"old")
        page = await store.range("/r/", limit=4)
        assert [item.key for item in page.items] == [f"/r/{n}" for n in range(4)]
        assert page.remaining == 6
        item = await store.get("/r/7")
        assert item is not None
        await store.delete("/r/7", item.revision)
        await store.create("/r/77", b"new")
        rest = await store.range("/r/", start="/r/3\0", limit=6, revision=page.revision)
        assert [item.key for item in rest.items] == [f"/r/{n}" for n in range(4, 10)]
        assert (rest.remaining, rest.revision) == (0, page.revision)

    async def test_the_start_of_a_range_is_inclusive(self, store: Store) -> None:
        for key in ("/r/a", "/r/b", "/r/c"):
            await store.create(key, b"")
        result = await store.range("/r/", start="/r/b")
        assert [item.key for item in result.items] == ["/r/b", "/r/c"]

    async def test_a_range_longer_than_any_page(self, store: Store) -> None:
        await asyncio.gather(*(store.create(f"/r/{n:04}", b"%d" % n) for n in range(1100)))
        result = await store.range("/r/")
        assert [item.key for item in result.items] == [f"/r/{n:04}" for n in range(1100)]
        assert (await store.range("/r/", limit=1050)).remaining == 50

    # The past

    async def test_the_past_can_be_read(self, store: Store) -> None:
        first = await store.create("/r/a", b"one")
        second = await store.update("/r/a", b"two", first)
        gone = await store.delete("/r/a", second)
        past = [await store.get("/r/a", revision=at) for at in (first, second)]
        assert [item and item.value for item in past] == [b"one", b"two"]
        assert await store.get("/r/a", revision=gone) is None
        assert [i.value for i in (await store.range("/r/", revision=first)).items] == [b"one"]
        assert (await store.range("/r/", revision=gone)).items == []

    async def test_the_future_cannot_be_read(self, store: Store) -> None:
        current = await store.create("/r/a", b"one")
        for read in (store.get("/r/a", revision=current + 5), store.range("/r/", revision=1 << 40)):
            with pytest.raises(FutureRevision) as caught:
                await read
            assert caught.value.current == current

    async def test_compaction_forgets_the_past_only(self, store: Store) -> None:
        first = await store.create("/r/a", b"one")
        kept = await store.create("/r/b", b"kept")
        second = await store.update("/r/a", b"two", first)
        third = await store.update("/r/a", b"three", second)
        await store.compact(second)
        for read in (store.get("/r/a", revision=kept), store.range("/r/", revision=first)):
            with pytest.raises(Compacted):
                await read
        with pytest.raises(Compacted):
            async with store.watch("/r/", from_revision=first) as batches:
                await anext(batches)
        at_second = await store.range("/r/", revision=second)
        assert [item.value for item in at_second.items] == [b"two", b"kept"]
        now = await store.range("/r/")
        assert [(i.value, i.revision) for i in now.items] == [(b"three", third), (b"kept", kept)]
        async with store.watch("/r/", from_revision=second + 1) as batches:
            ((event,),) = await collect(batches, 1)
        assert (event.revision, event.value, event.previous) == (third, b"three", b"two")

    async def test_compaction_can_be_repeated_but_not_foreseen(self, store: Store) -> None:
        first = await store.create("/r/a", b"one")
        gone = await store.delete("/r/a", first)
        last = await store.create("/r/b", b"two")
        await store.compact(last)
        await store.compact(last)
        await store.compact(gone)
        await store.compact(0)
        with pytest.raises(FutureRevision):
            await store.compact(last + 1)
        assert await store.get("/r/a") is None
        again = await store.create("/r/a", b"three")
        assert again > last
        item = await store.get("/r/a")
        assert item is not None and item.create_revision == again

    async def test_revisions_go_on_after_compacting_everything(self, store: Store) -> None:
        first = await store.create("/r/a", b"one")
        gone = await store.delete("/r/a", first)
        await store.compact(gone)
        assert await store.current_revision() == gone
        assert await store.create("/r/a", b"two") > gone

    # Watches

    async def test_a_watch_keeps_its_eight_promises(self, store: Store) -> None:
        start = await store.current_revision()
        async with store.watch("/r/", from_revision=start + 1) as live:
            history = await self._write_some(store)
            wanted = [c for c in history if c.key.startswith("/r/")]
            middle = wanted[len(wanted) // 2].revision
            streams = [(start, await collect(live, len(wanted)))]
        for since in (start, middle):
            expected = [c for c in wanted if c.revision > since]
            async with store.watch("/r/", from_revision=since + 1) as late:
                streams.append((since, await collect(late, len(expected))))
        for since, batches in streams:
            stream = promises.Stream(since, lambda c: c.key.startswith("/r/"))
            stream.batches = [[change(event) for event in batch] for batch in batches]
            promises.validate(stream, history)
            assert len(stream.changes) == len([c for c in wanted if c.revision > since])

    async def _write_some(self, store: Store) -> list[promises.Change]:
        """Creates, updates and deletes inside and outside the watched prefix."""
        history = []
        for number in range(30):
            key = f"{'/other' if number % 7 == 6 else '/r'}/{number % 5}"
            held = await store.get(key)
            value = b"%d" % number
            if held is None:
                revision = await store.create(key, value)
                history.append(promises.Change(key, revision, value))
            elif number % 3:
                revision = await store.update(key, value, held.revision)
                history.append(promises.Change(key, revision, value, held.value))
            else:
                revision = await store.delete(key, held.revision)
                history.append(promises.Change(key, revision, None, held.value))
        return history

    async def test_a_watch_sees_concurrent_writes_in_order(self, store: Store) -> None:
        start = await store.current_revision()
        async with store.watch("/r/", from_revision=start + 1) as batches:
            revisions = await asyncio.gather(*(store.create(f"/r/{n}", b"") for n in range(100)))
            events = [event for batch in await collect(batches, 100) for event in batch]
        assert [event.revision for event in events] == sorted(revisions)
        assert all(event.is_create for event in events)

    async def test_a_key_created_anew_has_no_previous_value(self, store: Store) -> None:
        first = await store.create("/r/a", b"one")
        gone = await store.delete("/r/a", first)
        await store.create("/r/a", b"two")
        async with store.watch("/r/", from_revision=gone) as batches:
            events = [event for batch in await collect(batches, 2) for event in batch]
        assert [(e.is_delete, e.previous, e.value) for e in events] == [
            (True, b"one", b""),
            (False, None, b"two"),
        ]

    async def test_a_watch_may_begin_in_the_future(self, store: Store) -> None:
        first = await store.create("/r/a", b"one")
        async with store.watch("/r/", from_revision=first + 2) as batches:
            second = await store.update("/r/a", b"two", first)
            third = await store.update("/r/a", b"three", second)
            ((event,),) = await collect(batches, 1)
        assert event.revision == third

    async def test_a_long_history_is_replayed_in_full(self, store: Store) -> None:
        start = await store.current_revision()
        await asyncio.gather(*(store.create(f"/r/{n}", b"") for n in range(1300)))
        async with store.watch("/r/", from_revision=start + 1) as batches:
            events = [event for batch in await collect(batches, 1300) for event in batch]
        assert len({event.revision for event in events}) == 1300
        assert [e.revision for e in events] == sorted(e.revision for e in events)

    # Closing

    async def test_a_closed_store_says_so(self, store: Store) -> None:
        await store.create("/r/a", b"one")
        start = await store.current_revision()
        async with store.watch("/r/", from_revision=start + 1) as batches:
            await store.close()
            with pytest.raises(StorageUnavailable):
                await asyncio.wait_for(anext(batches), 5)
        with pytest.raises(StorageUnavailable):
            await store.create("/r/b", b"two")
        with pytest.raises(StorageUnavailable):
            await store.get("/r/a")
        with pytest.raises(StorageUnavailable):
            await store.range("/r/")
        await store.close()
