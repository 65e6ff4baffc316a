"""The virtual-clock loop: time, order, and the refusal of everything from outside."""

import asyncio
import time

import pytest

from kapi import env
from kapi.sim.loop import START, SimClock, SimulationStuck, run


async def programme(clock: SimClock) -> tuple[list[tuple[float, int, str]], float]:
    """Producers and consumers that draw their pauses and ids from env."""
    trace: list[tuple[float, int, str]] = []
    queue: asyncio.Queue[str] = asyncio.Queue(3)
    scope = env.TaskScope()

    async def produce() -> None:
        for _ in range(20):
            await env.sleep(env.random().random() * 600)
            await queue.put(env.uuid4())

    async def consume(number: int) -> None:
        while True:
            item = await queue.get()
            trace.append((env.monotonic(), number, item))
            await env.sleep(env.random().random())

    for number in range(3):
        scope.spawn(consume(number), f"consumer {number}")
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(produce())
    await scope.close()
    return trace, env.monotonic()


def test_a_seed_decides_everything_and_time_costs_nothing() -> None:
    began = time.monotonic()
    first, second, other = run(programme, 1), run(programme, 1), run(programme, 2)
    assert first == second
    assert first != other
    assert first[1] > 3600
    assert time.monotonic() - began < 5


def test_wall_clock_jumps_and_the_monotonic_clock_does_not() -> None:
    async def main(clock: SimClock) -> tuple[float, float]:
        await env.sleep(10)
        clock.jump(-3600)
        return (env.now() - START).total_seconds(), env.monotonic()

    assert run(main, 0) == (-3590.0, 10.0)


def test_waiting_for_nothing_is_reported() -> None:
    async def main(clock: SimClock) -> None:
        await asyncio.Event().wait()

    with pytest.raises(SimulationStuck, match="no timer"):
        run(main, 0)


def test_blocking_calls_run_in_place_and_threads_are_refused() -> None:
    async def main(clock: SimClock) -> int:
        with pytest.raises(RuntimeError, match="no threads"):
            await asyncio.to_thread(len, "abc")
        with pytest.raises(RuntimeError, match="no threads"):
            env.start_thread(lambda: None, "worker")
        return await env.in_thread(len, "abc")

    assert run(main, 0) == 3


def test_the_real_environment_is_back_afterwards() -> None:
    async def main(clock: SimClock) -> None:
        await env.sleep(1)

    run(main, 0)
    assert env.threads_allowed()
    assert abs(env.now().timestamp() - time.time()) < 5
    assert env.uuid4() != env.uuid4()


def test_sets_of_tasks_are_walked_in_order_of_creation() -> None:
    async def main(clock: SimClock) -> list[str]:
        async def idle() -> None:
            await env.sleep(1)

        tasks = {env.spawn(idle(), f"t{number}") for number in range(50)}
        await asyncio.wait(tasks)
        return [task.get_name() for task in tasks]

    assert run(main, 0) == run(main, 7)
