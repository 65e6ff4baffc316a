"""The contract every backend meets; `tests/contract/storage.py` is its executable form."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key at one revision. `revision` is that of its last write."""

    key: str
    value: bytes
    revision: int
    create_revision: int


@dataclass(frozen=True, slots=True)
class RangeResult:
    """Part of the key space at one moment.

    `revision` is the revision the whole result was read at; `remaining` counts the keys after the
    last item that the limit cut off (0 when complete).
    """

    items: list[KeyValue]
    revision: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Event:
    """One write. For a delete `value` is empty and `previous` is what was deleted.

    `previous` is None for a create; for an update it is the value replaced.
    """

    key: str
    value: bytes
    previous: bytes | None
    revision: int
    is_delete: bool

    @property
    def is_create(self) -> bool:
        return not self.is_delete and self.previous is None


Progress = Callable[[int], None]
"""Told a revision: every event under the prefix up to it has been given."""


class Store(Protocol):
    """A revisioned key-value log.

    Every method may raise StorageUnavailable. A write that returned is durable: it survives
    kill -9 (for backends that live on disk) and is seen by every later read and watch.
    """

    async def create(self, key: str, value: bytes) -> int:
        """Write a new key; returns its revision. Raises KeyExists, StorageFull."""

    async def update(self, key: str, value: bytes, expected_revision: int) -> int:
        """Replace the value if the key is still at `expected_revision`; returns the new revision.

        Raises KeyNotFound, RevisionConflict, StorageFull.
        """

    async def delete(self, key: str, expected_revision: int) -> int:
        """Delete the key if it is still at `expected_revision`; returns the tombstone's revision.

        Raises KeyNotFound, RevisionConflict.
        """

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        """The key now, or as it was at `revision`. Raises Compacted, FutureRevision."""

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> RangeResult:
        """Keys with the prefix in byte order, from `start` (inclusive, a full key) on.

        `revision` 0 is now; `limit` 0 is no limit. Raises Compacted, FutureRevision.
        """

    def watch(
        self, prefix: str, *, from_revision: int, progress: Progress | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """Every write under the prefix with a revision >= `from_revision`, in order, in batches.

        A batch never splits a revision. Entering raises Compacted; iterating may raise
        WatchLagged or StorageUnavailable.

        A store that others write to as well calls `progress` between two batches when
        `current_revision` has told a revision that no event under the prefix will ever reach.
        """

    async def current_revision(self) -> int:
        """The revision of the last write, read linearizably."""

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`; the present state is never lost."""

    async def close(self) -> None:
        """Finish acknowledged work and release files, threads and connections."""
