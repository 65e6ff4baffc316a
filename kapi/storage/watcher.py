"""One watch on the watch cache: a bounded queue that a whole batch is added to at once.

A watcher from a revision the cache no longer has events for first catches up from the store's
history, in a task of its own, while what happens meanwhile waits in the queue.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from kapi import env
from kapi.storage.cached import CacheEvent
from kapi.storage.errors import StorageError, StorageUnavailable, WatchLagged

HISTORY_LEN_MAX = 1000
"""Events a catching-up watcher reads ahead of its client."""


class WatchSource(Protocol):
    """What a watcher needs from the cache it belongs to."""

    @property
    def revision(self) -> int: ...

    def detach(self, watcher: "Watcher") -> None: ...


History = AbstractAsyncContextManager[AsyncIterator[list[CacheEvent]]]


class Watcher:
    """Events under one prefix, in order. Used by one reader, from the event loop only."""

    def __init__(
        self,
        source: WatchSource,
        prefix: str,
        since: int,
        *,
        queue_len_max: int,
        replay: list[CacheEvent],
        history: Callable[[], History] | None = None,
    ) -> None:
        self.prefix = prefix
        self._source = source
        self._queue_len_max = queue_len_max
        self._pending: list[CacheEvent] = replay
        self._delivered = since
        self._error: StorageError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._catch_up: _CatchUp | None = None
        if history is not None:
            self._catch_up = _CatchUp(history, source.revision, self._wake)

    @property
    def revision(self) -> int:
        """Everything up to this revision has been returned by `next`: what a bookmark may say."""
        if self._pending or self._catch_up is not None or self._error is not None:
            return self._delivered
        return self._source.revision

    async def next(self, timeout: float | None = None) -> list[CacheEvent]:
        """The events that happened since the last call; waits for one if there are none.

        Returns an empty list after `timeout` seconds without events. Raises WatchLagged when the
        queue overflowed, Compacted when the history asked for is gone, StorageUnavailable after
        `close` or when the cache stops. Nothing is lost when a call is cancelled.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            events = self._take()
            if events:
                return events
            remaining = None if deadline is None else deadline - loop.time()
            if remaining is not None and remaining <= 0:
                return []
            waiter = self._waiter = loop.create_future()
            timer = None if remaining is None else loop.call_later(remaining, self._wake)
            try:
                await waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()

    def push(self, events: list[CacheEvent]) -> None:
        """The cache's side: add what happened, or mark the watcher as lagging."""
        if self._error is not None:
            return
        if not self._pending:
            if self._catch_up is None:
                self._delivered = self._source.revision
        elif len(self._pending) + len(events) > self._queue_len_max:
            self._pending.clear()
            self.fail(WatchLagged(f"more than {self._queue_len_max} events pending"))
            return
        self._pending.extend(events)
        if self._waiter is not None:
            self._wake()

    def fail(self, error: StorageError) -> None:
        """End the watch: what is pending can still be read, then `error` is raised."""
        if self._error is None:
            self._error = error
            self._wake()

    def close(self) -> None:
        """Detach from the cache. A second call does nothing."""
        self._source.detach(self)
        if self._catch_up is not None:
            self._catch_up.close()
        self._pending.clear()
        self.fail(StorageUnavailable("the watch is closed"))

    def _take(self) -> list[CacheEvent]:
        if self._catch_up is not None and self._error is None:
            events = self._catch_up.take()
            if events:
                self._delivered = events[-1].revision
                return events
            if not self._catch_up.finished:
                return []
            self._catch_up = None
        if not self._pending:
            if self._error is not None:
                raise self._error
            return []
        events, self._pending = self._pending, []
        self._delivered = events[-1].revision
        return events

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _CatchUp:
    """Reads a watcher's past from the store, up to and including `last`, the cache's present.

    The end of history shows itself: the first event after `last` is also in the watcher's queue,
    so when the store gives one, the queue takes over. Until then the history stays in charge.
    """

    def __init__(self, history: Callable[[], History], last: int, wake: Callable[[], None]) -> None:
        self._history = history
        self._last = last
        self._wake = wake
        self._events: list[CacheEvent] = []
        self._room = asyncio.Event()
        self._error: StorageError | None = None
        self.finished = False
        self._task = env.spawn(self._run(), "watch history")

    def take(self) -> list[CacheEvent]:
        """What has been read since the last call. Raises Compacted or StorageUnavailable."""
        events, self._events = self._events, []
        self._room.set()
        if not events and self._error is not None:
            raise self._error
        return events

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        try:
            async with self._history() as batches:
                async for batch in batches:
                    past = [event for event in batch if event.revision <= self._last]
                    self._events.extend(past)
                    if len(past) < len(batch):
                        break
                    self._wake()
                    while len(self._events) > HISTORY_LEN_MAX:
                        self._room.clear()
                        await self._room.wait()
            self.finished = True
        except StorageError as error:
            self._error = error
        self._wake()
