"""What every kapi daemon does at start: log to stderr, run on uvloop, end on a signal."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from kapi import env

_log = logging.getLogger(__name__)

_COLLECTOR_THRESHOLDS = (20_000, 20, 50)
_RESTART_SECONDS = 1.0
_RESTART_MAX_SECONDS = 30.0


def set_up_logging() -> None:
    """One line per event, with the time in UTC, on stderr (a file, or systemd's journal)."""
    level = os.environ.get("KAPI_LOG_LEVEL", "INFO").upper()
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = _utc
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _utc(seconds: float | None) -> Any:
    import time

    return time.gmtime(seconds)


def run_until_signalled(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, None]], *, fast: bool = False
) -> None:
    """Run `main(shutdown)`; SIGTERM and SIGINT set `shutdown`, a second one kills.

    `fast` takes uvloop, for what serves many requests. What works on the machine itself stays with
    asyncio's own loop: it is smaller, and netlink sockets do not open on uvloop.
    """

    async def guarded() -> None:
        shutdown = asyncio.Event()
        loop = asyncio.get_running_loop()

        def asked() -> None:
            if shutdown.is_set():
                os._exit(1)
            shutdown.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked)
        await main(shutdown)

    with asyncio.Runner(loop_factory=_fast_loop if fast else None) as runner:
        runner.run(guarded())


def _fast_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def calm_collector() -> None:
    """Let garbage collection pass over what is there now, and run less often.

    To be called once a server is up. The full collections of a large watch cache were the longest
    pauses of the loop, and found nothing: what the server drops, it drops by reference count.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    gc.enable()


async def keep_running(name: str, component: Callable[[], Awaitable[None]]) -> None:
    """Run a component again when it ends: after a second at first, later after half a minute.

    A component that runs for a while before it ends starts over with one second.
    """
    delay = _RESTART_SECONDS
    while True:
        started = env.monotonic()
        try:
            await component()
            _log.warning("%s ended; it is started again in %.0f s", name, delay)
        except Exception:
            _log.exception("%s failed; it is started again in %.0f s", name, delay)
        if env.monotonic() - started > _RESTART_MAX_SECONDS:
            delay = _RESTART_SECONDS
        await env.sleep(delay)
        delay = min(delay * 2, _RESTART_MAX_SECONDS)


async def run_component(component: Coroutine[Any, Any, None], shutdown: asyncio.Event) -> None:
    """Run until `shutdown` is set. If the component ends before, so does this, with its error."""
    scope = env.TaskScope()
    working = scope.spawn(component, "component")
    asked = scope.spawn(shutdown.wait(), "waiting for a signal")
    try:
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        await scope.close()
