"""What can go wrong: on the way to the API server, with components, and with the clock.

All chances are drawn from the simulation's seed. Requests are also delayed by chance when nothing
is wrong, which is what makes interleavings differ from seed to seed.
"""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

from kapi import env
from kapi.api.errors import Conflict
from kapi.client.interface import Response, Transport

_WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances are per request, means in virtual seconds; 0 turns a fault off."""

    delay: float = 0.01
    """Longest ordinary delay of a request."""
    refused: float = 0.0
    """The request does not reach the server."""
    answer_lost: float = 0.0
    """The request is carried out, and the client does not learn it."""
    conflict: float = 0.0
    """An update is answered with a conflict that nobody else caused."""
    stall: float = 0.0
    """The request takes up to `stall_seconds`."""
    stall_seconds: float = 5.0
    watch_life: float = 0.0
    """Mean life of a watch before its connection breaks."""
    crash_every: float = 0.0
    """Mean time between crashes of some component."""
    down_seconds: float = 3.0
    """Longest time before a crashed component is started again."""
    clock_jump_every: float = 0.0
    """Mean time between jumps of the wall clock."""
    clock_jump_seconds: float = 30.0


CALM = Faults()
ROUGH = Faults(
    refused=0.03,
    answer_lost=0.02,
    conflict=0.03,
    stall=0.01,
    watch_life=20.0,
    crash_every=15.0,
    clock_jump_every=30.0,
)


@dataclass(slots=True)
class FaultSwitch:
    """What is in force now; a workload turns faults off to see the cluster settle."""

    faults: Faults
    injected: int = 0

    def happens(self, chance: float, rng: random.Random) -> bool:
        """Draw; counts what strikes."""
        if chance and rng.random() < chance:
            self.injected += 1
            return True
        return False


class FaultyTransport:
    """Wraps one component's way to the server."""

    def __init__(self, inner: Transport, switch: FaultSwitch) -> None:
        self._inner = inner
        self._switch = switch

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        rng, switch = env.random(), self._switch
        faults = switch.faults
        delay = rng.random() * faults.delay
        if switch.happens(faults.stall, rng):
            delay += rng.random() * faults.stall_seconds
        await env.sleep(delay)
        if switch.happens(faults.refused, rng):
            raise ConnectionError(f"simulated: {method} {path} was refused")
        if method in ("PUT", "PATCH") and switch.happens(faults.conflict, rng):
            return _conflict(path)
        answer = await self._inner.request(method, path, params=params, body=body, headers=headers)
        if method in _WRITES and switch.happens(faults.answer_lost, rng):
            raise ConnectionError(f"simulated: the answer to {method} {path} was lost")
        return answer

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        rng, switch = env.random(), self._switch
        await env.sleep(rng.random() * switch.faults.delay)
        if switch.happens(switch.faults.refused, rng):
            raise ConnectionError(f"simulated: {method} {path} was refused")
        async with self._inner.stream(method, path, params=params, headers=headers) as opened:
            status, chunks = opened
            yield status, self._breaking(path, chunks)

    async def close(self) -> None:
        await self._inner.close()

    async def _breaking(self, path: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces, each after a delay, until the watch's time is over.

        It breaks at a piece: until one arrives a client cannot tell a broken connection from a
        quiet one.
        """
        rng, switch = env.random(), self._switch
        life = switch.faults.watch_life
        end = env.monotonic() + rng.expovariate(1 / life) if life else float("inf")
        async for chunk in chunks:
            await env.sleep(rng.random() * switch.faults.delay)
            if env.monotonic() > end and switch.faults.watch_life:
                switch.injected += 1
                raise ConnectionError(f"simulated: the watch of {path} broke")
            yield chunk


def _conflict(path: str) -> Response:
    error = Conflict(f"Operation cannot be fulfilled on {path}: simulated conflict")
    return Response(409, {"content-type": "application/json"}, orjson.dumps(error.status()))


async def chaos(
    switch: FaultSwitch, crash: Callable[[], object], jump_clock: Callable[[float], None]
) -> None:
    """Crash components and move the clock at random times, until cancelled.

    `crash` takes some component down; it comes back by itself.
    """
    rng = env.random()
    while True:
        faults = switch.faults
        means = (faults.crash_every, faults.clock_jump_every)
        rates = [1 / mean if mean else 0.0 for mean in means]
        if not any(rates):
            await env.sleep(1.0)
            continue
        await env.sleep(rng.expovariate(sum(rates)))
        if switch.faults is not faults:
            continue
        switch.injected += 1
        if rng.random() * sum(rates) < rates[0]:
            crash()
        else:
            jump_clock(rng.uniform(-1, 1) * faults.clock_jump_seconds)
