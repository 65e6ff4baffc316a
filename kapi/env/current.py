"""The environment in force: real by default, replaced as a whole by the simulation."""

import asyncio
import random as random_module
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from kapi.env.clock import Clock, SystemClock, format_micro_time, format_time

# Upstream's alphabet for generated names: no vowels and no look-alikes, so no words appear.
# Source: k8s.io/apimachinery/pkg/util/rand.
_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class _Current:
    clock: Clock = SystemClock()
    random: random_module.Random = random_module.SystemRandom()
    threads: bool = True


def install(clock: Clock, rng: random_module.Random) -> None:
    """Replace clock and randomness for this process (the simulation calls this, tests undo it)."""
    _Current.clock = clock
    _Current.random = rng


@contextmanager
def simulated(clock: Clock, rng: random_module.Random) -> Iterator[None]:
    """Replace clock and randomness, and do without threads; all is as before afterwards."""
    before = _Current.clock, _Current.random, _Current.threads
    install(clock, rng)
    _Current.threads = False
    try:
        yield
    finally:
        _Current.clock, _Current.random, _Current.threads = before


def threads_allowed() -> bool:
    """Under simulation blocking calls run in the loop: threads would make runs differ."""
    return _Current.threads


def now() -> datetime:
    """Wall-clock time in UTC."""
    return _Current.clock.now()


def monotonic() -> float:
    """Seconds that only move forward; use for durations and deadlines."""
    return _Current.clock.monotonic()


def timestamp() -> str:
    """The present moment as a metav1.Time."""
    return format_time(now())


def micro_timestamp() -> str:
    """The present moment as a metav1.MicroTime."""
    return format_micro_time(now())


def random() -> random_module.Random:
    """The one source of randomness."""
    return _Current.random


def uuid4() -> str:
    """A random UUID in its canonical spelling."""
    return str(uuid.UUID(int=_Current.random.getrandbits(128), version=4))


def name_suffix(length: int = 5) -> str:
    """The random tail of a generated name."""
    rng = _Current.random
    return "".join(rng.choice(_NAME_ALPHABET) for _ in range(length))


async def sleep(seconds: float) -> None:
    """Sleep on the running loop (virtual under simulation)."""
    await asyncio.sleep(seconds)
