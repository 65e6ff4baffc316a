"""A scope that is closed leaves nothing behind, and lets its tasks clean up."""

import asyncio

from kapi import env


async def test_cleaning_up_is_not_interrupted() -> None:
    cleaned: list[str] = []

    async def worker() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("worker")

    async def owner() -> None:
        scope = env.TaskScope()
        tasks = [scope.spawn(worker(), "worker") for _ in range(3)]
        try:
            # Cancelling the owner cancels these through `gather`, before `close` does.
            await asyncio.gather(*tasks)
        finally:
            await scope.close()

    outer = env.TaskScope()
    outer.spawn(owner(), "owner")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await outer.close()
    assert cleaned == ["worker"] * 3


async def test_close_waits_for_every_task() -> None:
    scope = env.TaskScope()
    ended: list[int] = []

    async def slow(number: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01 * number)
            ended.append(number)

    for number in range(3):
        scope.spawn(slow(number), f"slow {number}")
    await asyncio.sleep(0)
    await scope.close()
    assert ended == [0, 1, 2]
    await scope.close()
