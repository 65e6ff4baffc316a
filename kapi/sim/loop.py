"""An event loop under a virtual clock: a day passes in the time its work takes.

Time moves only when nothing is ready to run, and then straight to the next timer. Nothing from
outside can enter: no threads, no sockets, no processes. Tasks and futures hash by the order in
which they were made, so that sets of them (asyncio keeps some) are walked alike in every run.
"""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from kapi import env

T = TypeVar("T")

START = datetime(2026, 1, 1, tzinfo=UTC)
"""What the wall clock shows when a simulation begins."""

# A loop that turns so often while time stands still waits for something that cannot come.
_MAX_TURNS_PER_INSTANT = 200_000


class SimulationStuck(RuntimeError):
    """Nothing is ready and no timer is set, or time does not move although work is done."""


class _Task(asyncio.Task[Any]):
    """A task that hashes by its number."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._number: int = options["loop"].next_number()
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    """A future that hashes by its number."""

    def __init__(self, *, loop: "SimLoop") -> None:
        self._number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class _ClockSelector(selectors.SelectSelector):
    """Instead of waiting for descriptors, moves the clock. The loop's own pipe is never read."""

    loop: "SimLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise SimulationStuck("nothing is ready to run and no timer is set")
        self.loop.pass_time(timeout)
        return []


class SimLoop(asyncio.SelectorEventLoop):
    """`time` is virtual. Use through `run`."""

    def __init__(self) -> None:
        self._virtual_now = 0.0
        self._turns = 0
        self._numbers = 0
        selector = _ClockSelector()
        selector.loop = self
        super().__init__(selector)
        # Timers due at the same instant must not wait for each other.
        self._clock_resolution = 1e-9
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self._virtual_now

    def pass_time(self, seconds: float) -> None:
        """One turn of the loop is over; nothing is due for so long."""
        if seconds > 0:
            self._virtual_now += seconds
            self._turns = 0
            return
        self._turns += 1
        if self._turns > _MAX_TURNS_PER_INSTANT:
            raise SimulationStuck(f"busy for ever at {self._virtual_now} s")

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def create_future(self) -> "asyncio.Future[Any]":
        return _Future(loop=self)

    def run_in_executor(  # type: ignore[override]  # narrower types than it is called with
        self, executor: Any, func: Any, *args: Any
    ) -> "asyncio.Future[Any]":
        raise RuntimeError("there are no threads under simulation")


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> _Task:
    return _Task(coroutine, loop=loop, **options)


class SimClock:
    """The clocks of a simulation; `jump` moves the wall clock, the monotonic one never jumps."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self._offset = timedelta()

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time()) + self._offset

    def monotonic(self) -> float:
        return self._loop.time()

    def jump(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)


def run(main: Callable[[SimClock], Coroutine[Any, Any, T]], seed: int) -> T:
    """Run to the end under a virtual clock; `env` draws its randomness from the seed."""
    loop = SimLoop()
    clock = SimClock(loop)
    with (
        env.simulated(clock, random.Random(seed)),
        asyncio.Runner(loop_factory=lambda: loop) as runner,
    ):
        return runner.run(main(clock))
