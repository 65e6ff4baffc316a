"""The default backend: one SQLite file, opened by one process.

Writes go through one group-committing thread (`sqlite_writer`), reads through a few read-only
connections in worker threads; the write-ahead log lets both run at once. Watches never poll:
they read history from the file and then follow what this process commits.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar, cast

from kapi import env
from kapi.storage import sqlite_log
from kapi.storage.broadcast import Broadcaster
from kapi.storage.errors import StorageError, StorageUnavailable
from kapi.storage.interface import Event, KeyValue, Progress, RangeResult
from kapi.storage.sqlite_log import FIRST_REVISION, Write
from kapi.storage.sqlite_writer import Compact, GroupCommitWriter

COMPACTION_INTERVAL = 60.0
"""Seconds between looks at whether history has outgrown its limits."""

SWITCH_INTERVAL = 0.0002
"""Seconds the event loop may hold the interpreter while the writer thread waits for it. A write
takes the thread several such waits, see `env.share_interpreter`."""

READERS_MAX = 2
HISTORY_PAGE_LEN = 500

P = ParamSpec("P")
T = TypeVar("T")


class SqliteStore:
    """A Store in a file. Use `open`; the constructor does no work."""

    def __init__(self, path: Path, history_seconds: int, history_revisions: int) -> None:
        self._path = path
        self._history_seconds = history_seconds
        self._history_revisions = history_revisions
        self._broadcaster = Broadcaster()
        self._writer = GroupCommitWriter(path, self._publish)
        self._published = FIRST_REVISION
        self._seen = FIRST_REVISION
        """The newest revision any call has returned: a read may see a commit before the loop
        has heard of it, and the present must not go back after that."""
        self._reader_slots = asyncio.Semaphore(READERS_MAX)
        self._readers: list[sqlite3.Connection] = []
        self._tasks = env.TaskScope()
        self._closed = False

    @classmethod
    async def open(
        cls, path: str | Path, *, history_seconds: int = 3600, history_revisions: int = 10_000
    ) -> Self:
        """Open or create the file; its directory must exist.

        History is compacted when it is older than `history_seconds` and more than
        `history_revisions` long. Raises StorageUnavailable if the file cannot be used.
        """
        env.share_interpreter(SWITCH_INTERVAL)
        store = cls(Path(path), history_seconds, history_revisions)
        store._published = store._seen = await store._writer.start()
        store._tasks.spawn(store._compact_forever(), f"compaction of {path}")
        return store

    async def create(self, key: str, value: bytes) -> int:
        return await self._write(Write("create", key, value))

    async def update(self, key: str, value: bytes, expected_revision: int) -> int:
        return await self._write(Write("update", key, value, expected_revision))

    async def delete(self, key: str, expected_revision: int) -> int:
        return await self._write(Write("delete", key, b"", expected_revision))

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        found = await self._read(sqlite_log.read_key, key, revision)
        if found is not None:
            self._seen = max(self._seen, found.revision)
        return found

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> RangeResult:
        result = await self._read(sqlite_log.read_range, prefix, start, limit, revision)
        self._seen = max(self._seen, result.revision)
        return result

    def watch(
        self, prefix: str, *, from_revision: int, progress: Progress | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        return self._watch(prefix, max(from_revision, FIRST_REVISION))

    async def current_revision(self) -> int:
        """Every acknowledged write has passed through this loop, so no read is needed."""
        if self._closed:
            raise StorageUnavailable("the store is closed")
        return self._seen

    async def compact(self, revision: int) -> None:
        while await self._writer.submit(Compact(revision)):
            pass

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._tasks.close()
        await self._writer.close()
        self._broadcaster.fail(StorageUnavailable("the store is closed"))
        for _ in range(READERS_MAX):
            await self._reader_slots.acquire()
        for connection in self._readers:
            connection.close()
        self._readers.clear()

    def _publish(self, events: list[Event]) -> None:
        self._published = events[-1].revision
        self._seen = max(self._seen, self._published)
        self._broadcaster.publish(events)

    async def _write(self, write: Write) -> int:
        outcome = await self._writer.submit(write)
        assert isinstance(outcome, Event), "a write ends with an event"
        return outcome.revision

    async def _read(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a blocking read in a worker thread, on a connection of its own."""

        def call() -> T:
            with sqlite_log.translated_errors():
                connection = (
                    self._readers.pop() if self._readers else sqlite_log.connect(self._path)
                )
                try:
                    result = function(connection, *args, **kwargs)
                except sqlite3.Error:
                    connection.close()
                    raise
                except StorageError:
                    self._readers.append(connection)
                    raise
                self._readers.append(connection)
                return result

        if self._closed:
            raise StorageUnavailable("the store is closed")
        async with self._reader_slots:
            # The thread cannot be interrupted: a cancelled caller must not free the slot early.
            return await _uninterrupted(call)

    @asynccontextmanager
    async def _watch(
        self, prefix: str, from_revision: int
    ) -> AsyncIterator[AsyncIterator[list[Event]]]:
        with self._broadcaster.subscribe(prefix, max(from_revision, self._published + 1)) as live:
            last = self._published
            first_page = await self._history(prefix, from_revision, last)

            async def batches() -> AsyncGenerator[list[Event], None]:
                page = first_page
                while page:
                    yield page
                    if len(page) < HISTORY_PAGE_LEN:
                        break
                    page = await self._history(prefix, page[-1].revision + 1, last)
                while True:
                    yield await live.next_batch()

            async with aclosing(batches()) as events:
                yield events

    async def _history(self, prefix: str, first: int, last: int) -> list[Event]:
        """One page of events between the revisions; all in the file, as they were published."""
        if first > last:
            return []
        return await self._read(sqlite_log.read_events, prefix, first, last, HISTORY_PAGE_LEN)

    async def _compact_forever(self) -> None:
        """Keep history within its limits: whichever of time and number keeps more wins."""
        while True:
            await env.sleep(COMPACTION_INTERVAL)
            try:
                await self._compact_old()
            except StorageError:
                # The next write or read reports what is wrong with the file; this can wait.
                continue

    async def _compact_old(self) -> None:
        moment = int(env.now().timestamp()) - self._history_seconds
        old = await self._read(sqlite_log.newest_revision_before, moment)
        await self.compact(min(old, self._published - self._history_revisions))


async def _uninterrupted(call: Callable[[], T]) -> T:
    """Wait for the thread even when cancelled, then let the cancellation through."""

    def guarded() -> tuple[T | None, BaseException | None]:
        # An error is handed over as a value: the task itself has then not failed.
        try:
            return call(), None
        except (sqlite3.Error, StorageError) as error:
            return None, error

    task = env.spawn(env.in_thread(guarded), "sqlite read")
    try:
        result, error = await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
    if error is not None:
        raise error
    return cast(T, result)
