"""Fan-out of committed events inside one process, for the backends that own their log.

A subscriber is a bounded queue of batches and at most one waiting future. Publishing never waits:
a subscriber whose queue is full is told so (WatchLagged) and must start again from a list, so a
slow reader cannot hold back a writer.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from kapi.storage.errors import StorageError, WatchLagged
from kapi.storage.interface import Event

QUEUE_LEN_MAX = 50_000
"""Events one subscriber may have pending; one batch may be larger if nothing else is."""


class Subscription:
    """What one watch has not read yet. Used from the event loop only."""

    def __init__(self, prefix: str, from_revision: int, queue_len_max: int) -> None:
        self._prefix = prefix
        self._from_revision = from_revision
        self._queue_len_max = queue_len_max
        self._batches: deque[list[Event]] = deque()
        self._length = 0
        self._error: StorageError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def push(self, events: list[Event]) -> None:
        """Queue the events this subscription asked for, as one batch."""
        if self._error is not None:
            return
        wanted = [
            event
            for event in events
            if event.revision >= self._from_revision and event.key.startswith(self._prefix)
        ]
        if not wanted:
            return
        if self._length and self._length + len(wanted) > self._queue_len_max:
            self._batches.clear()
            self.fail(WatchLagged(f"more than {self._queue_len_max} events pending"))
            return
        self._batches.append(wanted)
        self._length += len(wanted)
        self._wake()

    def fail(self, error: StorageError) -> None:
        """End the subscription: what is queued is still read, then `error` is raised."""
        if self._error is None:
            self._error = error
            self._wake()

    async def next_batch(self) -> list[Event]:
        """The next events in order. Raises what `fail` was given."""
        while not self._batches:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        batch = self._batches.popleft()
        self._length -= len(batch)
        return batch

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Broadcaster:
    """Publishes batches of events to every subscription, in the order they are given."""

    def __init__(self, queue_len_max: int = QUEUE_LEN_MAX) -> None:
        self._queue_len_max = queue_len_max
        self._subscriptions: set[Subscription] = set()
        self._closed: StorageError | None = None

    def publish(self, events: list[Event]) -> None:
        for subscription in self._subscriptions:
            subscription.push(events)

    def fail(self, error: StorageError) -> None:
        """End every subscription, present and future."""
        self._closed = error
        for subscription in self._subscriptions:
            subscription.fail(error)

    @contextmanager
    def subscribe(self, prefix: str, from_revision: int) -> Iterator[Subscription]:
        """Events published from this moment on."""
        if self._closed is not None:
            raise self._closed
        subscription = Subscription(prefix, from_revision, self._queue_len_max)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
