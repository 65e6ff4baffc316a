"""What is above the bound waits; too much of it is sent away."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kapi.api.errors import TooManyRequests
from kapi.api.user import UserInfo
from kapi.server.filters.max_in_flight import with_max_in_flight


def _exchange(method: str = "POST", verb: str = "create", *groups: str) -> Any:
    info = SimpleNamespace(verb=verb, subresource="")
    return SimpleNamespace(method=method, info=info, user=UserInfo("u", groups=groups))


class _Handler:
    def __init__(self) -> None:
        self.running = self.most = self.done = 0
        self.open = asyncio.Event()

    async def __call__(self, exchange: Any) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.open.wait()
        self.running -= 1
        self.done += 1


async def _started(count: int, limited: Any, exchange: Any) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(limited(exchange)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_more_than_the_bound_wait_for_their_turn() -> None:
    handler = _Handler()
    limited = with_max_in_flight(handler, 2, 3)
    writes = await _started(10, limited, _exchange())
    reads = await _started(5, limited, _exchange("GET", "get"))
    assert handler.running == 5
    handler.open.set()
    await asyncio.gather(*writes, *reads)
    assert handler.most == 5
    assert handler.done == 15


async def test_too_many_are_sent_away() -> None:
    handler = _Handler()
    limited = with_max_in_flight(handler, 1, 1)
    tasks = await _started(11, limited, _exchange())
    with pytest.raises(TooManyRequests) as refused:
        await limited(_exchange())
    assert refused.value.retry_after == 1
    # Administrators and watches do not count.
    more = await _started(1, limited, _exchange("POST", "create", "system:masters"))
    more += await _started(1, limited, _exchange("GET", "watch"))
    assert handler.running == 3
    handler.open.set()
    await asyncio.gather(*tasks, *more)


async def test_who_gives_up_waiting_leaves_no_seat_taken() -> None:
    handler = _Handler()
    limited = with_max_in_flight(handler, 1, 1)
    first, second = await _started(2, limited, _exchange())
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    handler.open.set()
    await first
    await asyncio.wait_for(limited(_exchange()), 1)
    assert handler.done == 2
