"""The queue's promises, checked on a fuzzed run and one by one."""

import asyncio
import random

import pytest

from kapi.client.work_queue import QueueShutDown, WorkQueue


async def test_a_waiting_key_is_not_added_twice():
    queue = WorkQueue()
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert len(queue) == 2
    assert await queue.get() == "a"
    assert await queue.get() == "b"
    assert len(queue) == 0


async def test_a_key_added_while_worked_on_comes_again_after_done():
    queue = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert len(queue) == 0
    assert not queue.idle
    queue.done(key)
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_back_off_doubles_and_forget_resets():
    queue = WorkQueue(base_delay=0.001, max_delay=0.004)
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(4):
        began = loop.time()
        queue.add_rate_limited("a")
        queue.done(await queue.get())
        waits.append(loop.time() - began)
    assert queue.retries("a") == 4
    assert waits[1] >= 0.0015
    assert waits[3] >= 0.0035
    queue.forget("a")
    assert queue.retries("a") == 0


async def test_of_two_delays_the_earlier_counts():
    queue = WorkQueue()
    queue.add_after("a", 30)
    queue.add_after("a", 0.001)
    queue.add_after("a", 60)
    async with asyncio.timeout(1):
        assert await queue.get() == "a"
    queue.shut_down()


async def test_pace_keeps_runs_of_one_key_apart_but_not_of_others():
    queue = WorkQueue(pace=0.02)
    loop = asyncio.get_running_loop()
    queue.add("a")
    began = loop.time()
    queue.done(await queue.get())
    queue.add("a")
    queue.add("b")
    assert await queue.get() == "b"
    assert loop.time() - began < 0.015
    assert await queue.get() == "a"
    assert loop.time() - began >= 0.018


async def test_shut_down_lets_waiting_workers_go():
    queue = WorkQueue()
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.shut_down()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, QueueShutDown) for result in results)


async def test_a_cancelled_worker_does_not_swallow_a_wake_up():
    queue = WorkQueue()
    first = asyncio.ensure_future(queue.get())
    second = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(1):
        assert await second == "a"


@pytest.mark.parametrize("seed", range(5))
async def test_fuzz_every_addition_is_worked_on_and_never_by_two(seed):
    """Invariants: one worker per key; after the last addition of a key, a run starts."""
    rng = random.Random(seed)
    queue = WorkQueue(base_delay=0.0001, max_delay=0.001)
    active: set[str] = set()
    added_at: dict[str, int] = {}
    started_at: dict[str, int] = {}
    tick = 0

    async def worker() -> None:
        nonlocal tick
        while True:
            try:
                key = await queue.get()
            except QueueShutDown:
                return
            assert key not in active
            active.add(key)
            tick += 1
            started_at[key] = tick
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            active.discard(key)
            if rng.random() < 0.2:
                queue.add_rate_limited(key)
            else:
                queue.forget(key)
            queue.done(key)

    workers = [asyncio.ensure_future(worker()) for _ in range(3)]
    for _ in range(300):
        key = f"k{rng.randrange(8)}"
        tick += 1
        added_at[key] = tick
        rng.choice([queue.add, lambda k: queue.add_after(k, rng.random() / 1000)])(key)
        if rng.random() < 0.5:
            await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    queue.shut_down()
    await asyncio.gather(*workers)
    assert {key for key in added_at if started_at.get(key, 0) < added_at[key]} == set()
