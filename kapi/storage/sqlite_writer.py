"""The one thread that writes to the SQLite file, and commits waiting writes as a group.

Writers queue a job and await a future. The thread takes everything that is queued, runs it in one
transaction and commits once, so N writers in flight share one fsync. Only after the commit does
the loop hear of it, in one callback per group: events are published in revision order, then the
futures are resolved. Compaction runs in the same queue, a bounded piece at a time.
"""

import asyncio
import logging
import queue
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kapi import env
from kapi.storage import sqlite_log
from kapi.storage.errors import StorageError, StorageFull, StorageUnavailable
from kapi.storage.interface import Event
from kapi.storage.sqlite_log import Write

_log = logging.getLogger(__name__)

GROUP_LEN_MAX = 256
"""Writes per commit: bounds how long a write can wait for its neighbours."""

SWEEP_LEN = 500
"""Revisions cleaned per transaction: a few milliseconds during which no write can commit."""


@dataclass(frozen=True, slots=True)
class Compact:
    """Declare history before `revision` gone (0: nothing new) and clean one piece of it."""

    revision: int


Outcome = Event | bool | StorageError
"""The event of a write; whether a compaction has more to do; or why there is neither."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Write | Compact
    future: asyncio.Future[Event | bool]


class GroupCommitWriter:
    """Owns the write connection. `submit`, `publish` and the futures belong to the event loop."""

    def __init__(self, path: Path, publish: Callable[[list[Event]], None]) -> None:
        self._path = path
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ready: asyncio.Future[int] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._closed = False
        self._revision = 0

    async def start(self) -> int:
        """Open the file, create the tables if needed; returns the newest revision."""
        self._thread = env.start_thread(self._run, f"sqlite-writer {self._path.name}")
        try:
            return await self._ready
        except StorageError:
            await self.close()
            raise

    async def submit(self, work: Write | Compact) -> Event | bool:
        """Queue the work; returns after it is durable. Raises what the work raised."""
        if self._closed:
            raise StorageUnavailable("the store is closed")
        future: asyncio.Future[Event | bool] = self._loop.create_future()
        self._jobs.put(_Job(work, future))
        return await future

    async def close(self) -> None:
        """Commit what is queued, then close the file and end the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    # From here on everything runs in the thread, except the callbacks given to the loop.

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            with sqlite_log.translated_errors():
                connection = sqlite_log.connect(self._path, create=True)
                self._revision = sqlite_log.newest_revision(connection)
        except StorageError as error:
            self._tell(_fail, self._ready, error)
        else:
            self._tell(self._ready.set_result, self._revision)
            self._serve(connection)
        finally:
            if connection is not None:
                connection.close()
            self._tell(self._ended.set_result, None)

    def _serve(self, connection: sqlite3.Connection) -> None:
        while (first := self._jobs.get()) is not None:
            group = [first]
            stopping = False
            while len(group) < GROUP_LEN_MAX:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    stopping = True
                    break
                group.append(job)
            self._tell(self._resolve, group, self._commit(connection, group))
            if stopping:
                return

    def _commit(self, connection: sqlite3.Connection, group: list[_Job]) -> list[Outcome]:
        """Run the group in one transaction.

        When there is no room for the whole group, each job is tried alone: small writes and
        deletes may still fit.
        """
        try:
            with sqlite_log.translated_errors():
                return self._transact(connection, group)
        except StorageFull as error:
            if len(group) == 1:
                return [error]
            return [self._commit(connection, [job])[0] for job in group]
        except StorageError as error:
            return [error] * len(group)
        except Exception as error:
            # Whatever a damaged file made Python stumble over: the waiters must be told, and the
            # thread must go on.
            _log.exception("a group of %d writes failed", len(group))
            return [StorageUnavailable(repr(error))] * len(group)

    def _transact(self, connection: sqlite3.Connection, group: list[_Job]) -> list[Outcome]:
        now = int(env.now().timestamp())
        revision = self._revision
        outcomes: list[Outcome] = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            for job in group:
                try:
                    if isinstance(job.work, Compact):
                        sqlite_log.set_oldest(connection, job.work.revision)
                        outcomes.append(sqlite_log.sweep(connection, SWEEP_LEN))
                        continue
                    outcomes.append(sqlite_log.apply(connection, job.work, revision + 1, now))
                    revision += 1
                except StorageError as error:
                    outcomes.append(error)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._revision = revision
        return outcomes

    def _tell(self, callback: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop was closed without closing the store: nobody is left to be told.
            return

    def _resolve(self, group: list[_Job], outcomes: list[Outcome]) -> None:
        events = [outcome for outcome in outcomes if isinstance(outcome, Event)]
        if events:
            self._publish(events)
        for job, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, StorageError):
                _fail(job.future, outcome)
            elif not job.future.done():
                job.future.set_result(outcome)


def _fail(
    future: "asyncio.Future[int] | asyncio.Future[Event | bool]", error: StorageError
) -> None:
    """The waiter may have been cancelled; then nobody wants the error."""
    if not future.done():
        future.set_exception(error)
