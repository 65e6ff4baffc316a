"""Background tasks. A task has a name, an owner, and never loses its exception in silence."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from kapi.env.current import threads_allowed

_log = logging.getLogger(__name__)
_CLEAN_UP_SECONDS = 10.0
_alive: set[asyncio.Task[Any]] = set()

P = ParamSpec("P")
T = TypeVar("T")


def spawn(coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start a task. Its reference is kept until it ends; an unhandled exception is logged."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _alive.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _alive.discard(task)
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        _log.error("task %s ended with an error", task.get_name(), exc_info=error)


class TaskScope:
    """A set of tasks that live and die together: `close` cancels all and waits for them."""

    def __init__(self) -> None:
        # In the order of their start: a set would be closed in an order that differs per run.
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = spawn(coroutine, name)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)

    async def close(self) -> None:
        """Cancel every task of the scope and wait until each has ended."""
        pending = list(self._tasks)
        for task in pending:
            # A task that is on its way out already (its owner awaited it with `gather` and was
            # cancelled) must not be torn out of its own cleaning up.
            if not task.cancelling():
                task.cancel()
        if pending:
            _, late = await asyncio.wait(pending, timeout=_CLEAN_UP_SECONDS)
            for task in [task for task in pending if task in late]:
                task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a worker thread (under simulation: here and now)."""
    if not threads_allowed():
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that its owner ends and joins; it does not keep the process alive."""
    if not threads_allowed():
        raise RuntimeError(f"thread {name}: there are no threads under simulation")
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def share_interpreter(switch_interval: float) -> None:
    """Let threads that wait for the interpreter have it after `switch_interval` seconds.

    A busy event loop gives the interpreter up for an instant in every turn and takes it back
    before a waiting thread is awake; only a turn longer than the interval is really interrupted.
    With Python's default of 5 ms a thread was seen to wait for seconds. An interval that is
    shorter already stays as it is.
    """
    sys.setswitchinterval(min(switch_interval, sys.getswitchinterval()))
