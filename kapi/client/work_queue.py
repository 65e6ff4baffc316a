"""A queue of keys: each key waits at most once and is worked on by at most one worker.

Follows client-go's workqueue: a key added while it is being worked on is handed out again
afterwards. Delays use timers of the loop, so an idle queue costs nothing.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from kapi import env

# client-go's DefaultTypedControllerRateLimiter, its per-item half.
BASE_DELAY = 0.005
MAX_DELAY = 1000.0


@dataclass(slots=True)
class QueueCounts:
    """Counters since the start."""

    adds: int = 0
    retries: int = 0
    handed_out: int = 0


class QueueShutDown(Exception):
    """`get` was called on, or waiting in, a queue that is shut down."""


class WorkQueue:
    """Keys in arrival order.

    `pace` is the least time in seconds between the end of one run of a key and the start of the
    next: a burst of events about one object then costs a few runs, while a lone event waits for
    nothing.
    """

    def __init__(
        self,
        base_delay: float = BASE_DELAY,
        max_delay: float = MAX_DELAY,
        pace: float = 0.0,
    ) -> None:
        self.counts = QueueCounts()
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._pace = pace
        self._order: deque[str] = deque()
        self._waiting: set[str] = set()
        self._active: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shut_down = False

    def __len__(self) -> int:
        return len(self._order)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being worked on; delayed keys do not count."""
        return not self._waiting and not self._active

    def add(self, key: str) -> None:
        """Coalesces with an addition that still waits."""
        if self._shut_down or key in self._waiting:
            return
        self.counts.adds += 1
        self._waiting.add(key)
        if key not in self._active:
            self._order.append(key)
            self._wake()

    def add_after(self, key: str, seconds: float) -> None:
        """Add later; of several delays for one key the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        if self._shut_down:
            return
        due = env.monotonic() + seconds
        if key in self._timers:
            earlier, timer = self._timers[key]
            if earlier <= due:
                return
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[key] = (due, loop.call_later(seconds, self._due, key))

    def add_rate_limited(self, key: str) -> None:
        """Add after 5 ms doubled for each failure since `forget`, at most the maximum."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.counts.retries += 1
        # 2**40 times the base is past any maximum; larger powers only waste digits.
        self.add_after(key, min(self._base_delay * 2 ** min(failures, 40), self._max_delay))

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)

    def retries(self, key: str) -> int:
        """How often the key was rate limited since `forget`."""
        return self._failures.get(key, 0)

    async def get(self) -> str:
        """The next key; call `done` when it is worked off. Raises QueueShutDown."""
        while not self._order:
            if self._shut_down:
                raise QueueShutDown
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                if getter.done() and not getter.cancelled():
                    self._wake()
                raise
        key = self._order.popleft()
        self._waiting.discard(key)
        self._active.add(key)
        self.counts.handed_out += 1
        return key

    def done(self, key: str) -> None:
        if self._pace > 0 and not self._shut_down:
            asyncio.get_running_loop().call_later(self._pace, self._rested, key)
        else:
            self._rested(key)

    def _rested(self, key: str) -> None:
        self._active.discard(key)
        if key in self._waiting:
            self._order.append(key)
            self._wake()

    def shut_down(self) -> None:
        """Refuse additions, cancel delays, and let waiting workers go once the queue is empty."""
        self._shut_down = True
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._getters:
            self._wake()

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
