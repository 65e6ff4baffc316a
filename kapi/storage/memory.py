"""The store as a specification: small, obvious, and the oracle the other backends are tested by.

History is a list of writes. An example of one key and what compaction leaves of it:

    revision   2       3       5        8       9
    write      create  update  delete   create  update

After `compact(8)` the rows 2, 3 and 5 are gone: each was superseded, or was a tombstone, before
revision 8. Reads at 7 and watches from 7 raise Compacted; reads at 8 and watches from 8 work.
The row that the write at the compacted revision replaced is kept: it is that event's `previous`.
"""

from bisect import bisect_left
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass

from sortedcontainers import SortedDict

from kapi.storage.broadcast import Broadcaster
from kapi.storage.errors import (
    Compacted,
    FutureRevision,
    KeyExists,
    KeyNotFound,
    RevisionConflict,
    StorageUnavailable,
)
from kapi.storage.interface import Event, KeyValue, Progress, RangeResult
from kapi.storage.keys import prefix_end

FIRST_REVISION = 1
"""The revision of an empty store, as in etcd; the first write is 2."""


@dataclass(frozen=True, slots=True)
class _Version:
    revision: int
    create_revision: int
    value: bytes | None
    """None is a tombstone."""


class MemoryStore:
    """A Store that lives and dies with the process."""

    def __init__(self) -> None:
        self._revision = FIRST_REVISION
        self._oldest = FIRST_REVISION
        self._versions: SortedDict = SortedDict()
        """key -> its versions, oldest first."""
        self._events: list[Event] = []
        self._broadcaster = Broadcaster()
        self._closed = False

    async def create(self, key: str, value: bytes) -> int:
        if self._live(key) is not None:
            raise KeyExists(key)
        return self._write(key, value, self._revision + 1, previous=None)

    async def update(self, key: str, value: bytes, expected_revision: int) -> int:
        current = self._expect(key, expected_revision)
        return self._write(key, value, current.create_revision, previous=current.value)

    async def delete(self, key: str, expected_revision: int) -> int:
        current = self._expect(key, expected_revision)
        return self._write(key, None, current.create_revision, previous=current.value)

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        return self._at(key, self._readable(revision))

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> RangeResult:
        at = self._readable(revision)
        end = prefix_end(prefix)
        keys = self._versions.irange(max(prefix, start), end, inclusive=(True, False))
        found = [item for item in (self._at(key, at) for key in keys) if item is not None]
        items = found[:limit] if limit else found
        return RangeResult(items, at, len(found) - len(items))

    def watch(
        self, prefix: str, *, from_revision: int, progress: Progress | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        return self._watch(prefix, max(from_revision, FIRST_REVISION))

    async def current_revision(self) -> int:
        self._check_open()
        return self._revision

    async def compact(self, revision: int) -> None:
        self._check_open()
        if revision > self._revision:
            raise FutureRevision(revision, self._revision)
        if revision <= self._oldest:
            return
        self._oldest = revision
        del self._events[: bisect_left(self._events, revision, key=lambda event: event.revision)]
        for key, versions in list(self._versions.items()):
            kept = _compacted(versions, revision)
            if kept:
                self._versions[key] = kept
            else:
                del self._versions[key]

    async def close(self) -> None:
        self._closed = True
        self._broadcaster.fail(StorageUnavailable("the store is closed"))

    def _check_open(self) -> None:
        if self._closed:
            raise StorageUnavailable("the store is closed")

    def _live(self, key: str) -> _Version | None:
        """The key's last version unless it is a tombstone."""
        self._check_open()
        versions = self._versions.get(key)
        return versions[-1] if versions and versions[-1].value is not None else None

    def _expect(self, key: str, expected_revision: int) -> _Version:
        current = self._live(key)
        if current is None:
            raise KeyNotFound(key)
        if current.revision != expected_revision:
            raise RevisionConflict(key, expected_revision, current.revision)
        return current

    def _write(
        self, key: str, value: bytes | None, create_revision: int, previous: bytes | None
    ) -> int:
        self._revision += 1
        version = _Version(self._revision, create_revision, value)
        self._versions.setdefault(key, []).append(version)
        event = Event(key, value or b"", previous, self._revision, is_delete=value is None)
        self._events.append(event)
        self._broadcaster.publish([event])
        return self._revision

    def _readable(self, revision: int) -> int:
        """The revision to read at, checked against history."""
        self._check_open()
        if revision > self._revision:
            raise FutureRevision(revision, self._revision)
        if revision and revision < self._oldest:
            raise Compacted(revision, self._oldest)
        return revision or self._revision

    def _at(self, key: str, revision: int) -> KeyValue | None:
        for version in reversed(self._versions.get(key, ())):
            if version.revision <= revision:
                if version.value is None:
                    return None
                return KeyValue(key, version.value, version.revision, version.create_revision)
        return None

    @asynccontextmanager
    async def _watch(
        self, prefix: str, from_revision: int
    ) -> AsyncIterator[AsyncIterator[list[Event]]]:
        self._check_open()
        if from_revision < self._oldest:
            raise Compacted(from_revision, self._oldest)
        with self._broadcaster.subscribe(prefix, from_revision) as subscription:
            first = bisect_left(self._events, from_revision, key=lambda event: event.revision)
            subscription.push(self._events[first:])

            async def batches() -> AsyncGenerator[list[Event], None]:
                while True:
                    yield await subscription.next_batch()

            async with aclosing(batches()) as events:
                yield events


def _compacted(versions: list[_Version], revision: int) -> list[_Version]:
    """The versions that survive: those not superseded, and not tombstones, before `revision`."""
    kept = [
        version
        for version, successor in zip(versions, [*versions[1:], None])
        if successor is None or successor.revision >= revision
    ]
    if len(kept) == 1 and kept[0].value is None and kept[0].revision < revision:
        return []
    return kept
