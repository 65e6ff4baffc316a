"""The reconcile loop, expectations and slow start."""

import asyncio

from kapi.api.errors import Conflict
from kapi.client.reconcile import (
    Expectations,
    LoopOptions,
    ReconcileLoop,
    TerminalError,
    slow_start,
)


async def _run_until(loop: ReconcileLoop, check) -> None:
    task = asyncio.ensure_future(loop.run())
    async with asyncio.timeout(5):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_errors_are_retried_and_outcomes_counted():
    runs = []

    async def reconcile(key):
        runs.append(key)
        if runs.count(key) == 1:
            raise Conflict("changed") if key == "a" else RuntimeError("bug")
        if key == "terminal":
            raise TerminalError("never")
        return 0.001 if runs.count(key) == 2 else None

    loop = ReconcileLoop("test", reconcile)
    loop.queue.add("a")
    loop.queue.add("b")
    await _run_until(loop, lambda: loop.counts.done == 2)
    assert sorted(runs) == ["a"] * 3 + ["b"] * 3
    assert (loop.counts.conflicts, loop.counts.errors, loop.counts.requeued) == (1, 1, 2)


async def test_a_terminal_error_is_not_retried():
    async def reconcile(key):
        raise TerminalError("no")

    loop = ReconcileLoop("test", reconcile)
    loop.queue.add("a")
    await _run_until(loop, lambda: loop.counts.errors == 1)
    assert loop.queue.counts.retries == 0


async def test_retries_end_after_the_limit():
    async def reconcile(key):
        raise RuntimeError("always")

    loop = ReconcileLoop("test", reconcile, LoopOptions(max_retries=3, base_delay=0.0001))
    loop.queue.add("a")
    await _run_until(loop, lambda: loop.counts.given_up == 1)
    assert loop.counts.errors == 4


def test_expectations_hold_until_seen():
    expectations = Expectations()
    assert expectations.satisfied("rs")
    expectations.expect_creations("rs", 2)
    expectations.creation_seen("rs")
    assert not expectations.satisfied("rs")
    assert 299 < expectations.remaining("rs") <= 301
    expectations.creation_seen("rs")
    assert expectations.satisfied("rs")
    expectations.expect_deletions("rs", ["p1", "p2"])
    expectations.deletion_seen("rs", "p1")
    expectations.deletion_seen("rs", "p1")
    assert not expectations.satisfied("rs")
    expectations.deletion_seen("rs", "p2")
    assert expectations.satisfied("rs")


async def test_slow_start_stops_after_the_first_failing_batch():
    calls = []

    async def act(index):
        calls.append(index)
        if index >= 3:
            raise RuntimeError(f"no {index}")

    done, error = await slow_start(100, act)
    assert done == 3
    assert str(error) == "no 3"
    assert calls == list(range(7))


async def test_slow_start_does_all_when_nothing_fails():
    calls = []

    async def act(index):
        calls.append(index)

    assert await slow_start(11, act) == (11, None)
    assert sorted(calls) == list(range(11))
    assert await slow_start(0, act) == (0, None)
