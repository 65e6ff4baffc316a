"""The one loop that runs every reconciler, and the helpers that keep reconcilers honest.

Expectations and slow start follow k8s.io/kubernetes `pkg/controller/controller_utils.go`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from kapi import env
from kapi.api.errors import ApiError, Conflict
from kapi.client.work_queue import BASE_DELAY, MAX_DELAY, QueueShutDown, WorkQueue

_log = logging.getLogger(__name__)

Reconcile = Callable[[str], Awaitable[float | None]]
"""Takes a key; returns seconds after which to come again, or None. Raises to be retried."""

_EXPECTATION_SECONDS = 5 * 60.0


class TerminalError(Exception):
    """Retrying will not help: log, and wait for the next event."""


@dataclass(slots=True)
class ReconcileCounts:
    """Outcomes since the start."""

    done: int = 0
    requeued: int = 0
    conflicts: int = 0
    errors: int = 0
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How a loop works.

    `max_retries` bounds the retries of one failing key (upstream's Deployment controller stops at
    15); None retries for ever. `pace` is explained at WorkQueue. Times are in seconds.
    """

    workers: int = 5
    max_retries: int | None = None
    base_delay: float = BASE_DELAY
    max_delay: float = MAX_DELAY
    pace: float = 0.0


class ReconcileLoop:
    """Feeds keys from `queue` to `reconcile`, one worker per key, with back-off on errors."""

    def __init__(self, name: str, reconcile: Reconcile, options: LoopOptions | None = None) -> None:
        options = options or LoopOptions()
        self.name = name
        self.queue = WorkQueue(options.base_delay, options.max_delay, options.pace)
        self.counts = ReconcileCounts()
        self._reconcile = reconcile
        self._workers = options.workers
        self._max_retries = options.max_retries

    async def run(self) -> None:
        """Work until cancelled; no worker outlives this call."""
        scope = env.TaskScope()
        try:
            workers = [
                scope.spawn(self._work(), f"{self.name} worker {number}")
                for number in range(self._workers)
            ]
            await asyncio.gather(*workers)
        finally:
            self.queue.shut_down()
            await scope.close()

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except QueueShutDown:
                return
            try:
                await self._one(key)
            finally:
                self.queue.done(key)

    async def _one(self, key: str) -> None:
        try:
            again = await self._reconcile(key)
        except TerminalError as error:
            self.counts.errors += 1
            _log.error("%s: %s: %s", self.name, key, error)
            self.queue.forget(key)
        except Exception as error:
            self._failed(key, error)
        else:
            self.queue.forget(key)
            if again is None:
                self.counts.done += 1
            else:
                self.counts.requeued += 1
                self.queue.add_after(key, again)

    def _failed(self, key: str, error: Exception) -> None:
        if isinstance(error, Conflict):
            # Expected whenever a copy lags behind: the next event brings the news.
            self.counts.conflicts += 1
            _log.debug("%s: %s: %s", self.name, key, error)
        else:
            self.counts.errors += 1
            expected = isinstance(error, ApiError | ConnectionError)
            _log.warning("%s: %s: %s", self.name, key, error, exc_info=not expected)
        if self._max_retries is not None and self.queue.retries(key) >= self._max_retries:
            self.counts.given_up += 1
            _log.error("%s: giving up on %s until it changes: %s", self.name, key, error)
            self.queue.forget(key)
        else:
            self.queue.add_rate_limited(key)


@dataclass(slots=True)
class _Expected:
    creations: int
    deletions: set[str]
    since: float = field(default_factory=env.monotonic)


class Expectations:
    """What a controller has asked for and not yet seen in its informer.

    Until all is seen, or five minutes have passed, it must not decide again: its copy is behind.
    Deletions are remembered by key, so an object that is seen going twice counts once.
    """

    def __init__(self) -> None:
        self._expected: dict[str, _Expected] = {}

    def expect_creations(self, owner: str, count: int) -> None:
        self._expected[owner] = _Expected(count, set())

    def expect_deletions(self, owner: str, keys: list[str]) -> None:
        self._expected[owner] = _Expected(0, set(keys))

    def expect(self, owner: str, creations: int, deletions: list[str]) -> None:
        """For a round that does both."""
        self._expected[owner] = _Expected(creations, set(deletions))

    def creation_seen(self, owner: str, count: int = 1) -> None:
        """Also to be called for a creation that failed: it will never be seen."""
        expected = self._expected.get(owner)
        if expected is not None:
            expected.creations -= count

    def deletion_seen(self, owner: str, key: str) -> None:
        expected = self._expected.get(owner)
        if expected is not None:
            expected.deletions.discard(key)

    def satisfied(self, owner: str) -> bool:
        expected = self._expected.get(owner)
        if expected is None:
            return True
        if expected.creations <= 0 and not expected.deletions:
            return True
        return env.monotonic() - expected.since > _EXPECTATION_SECONDS

    def remaining(self, owner: str) -> float:
        """Seconds until unmet expectations lapse: come again then, in case an event was lost."""
        expected = self._expected.get(owner)
        if expected is None:
            return 0.0
        return max(0.0, _EXPECTATION_SECONDS - (env.monotonic() - expected.since)) + 1.0

    def forget(self, owner: str) -> None:
        self._expected.pop(owner, None)


async def slow_start(
    count: int, act: Callable[[int], Awaitable[None]], first_batch: int = 1
) -> tuple[int, Exception | None]:
    """Call `act(0) .. act(count - 1)` in batches of 1, 2, 4, ...; stop after one with an error.

    So a request that cannot succeed is tried once, not `count` times. Returns how many succeeded
    and the first error.
    """
    done = 0
    position = 0
    size = min(count, first_batch)
    while size > 0:
        batch = [act(index) for index in range(position, position + size)]
        results = await asyncio.gather(*batch, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        done += size - len(errors)
        position += size
        for error in errors:
            if not isinstance(error, Exception):
                raise error
            return done, error
        size = min(2 * size, count - position)
    return done, None
