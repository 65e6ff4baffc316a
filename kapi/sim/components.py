"""Components that can crash: each runs as one task, and is made anew when it is started again."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from kapi import env

_log = logging.getLogger(__name__)

Run = Callable[[], Coroutine[Any, Any, None]]
"""Makes a fresh component and runs it; cancelled when it crashes."""


class Component:
    """`crash` cancels the component at whatever it is doing; `start` makes a new one."""

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        self.starts = 0
        self.error: BaseException | None = None
        """What ended the component by itself: always a defect."""
        self._run = run
        self._task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        if not self.is_up:
            self.starts += 1
            self._task = env.spawn(self._guarded(), f"{self.name} #{self.starts}")

    async def crash(self) -> None:
        """Stop it; returns when nothing of it is left."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _guarded(self) -> None:
        try:
            await self._run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.error = error
            _log.exception("%s ended by itself", self.name)
        else:
            self.error = RuntimeError(f"{self.name} returned")


class Supervisor:
    """All components of a cluster, in the order of their start."""

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}
        self._scope = env.TaskScope()

    def add(self, name: str, run: Run) -> Component:
        component = self.components[name] = Component(name, run)
        component.start()
        return component

    def crash_one(self, down_seconds: float) -> None:
        """Crash a component by chance; it is back after at most so many seconds."""
        running = [component for component in self.components.values() if component.is_up]
        if running:
            victim = env.random().choice(running)
            down = env.random().random() * down_seconds
            self._scope.spawn(self._crash_and_restart(victim, down), f"crash of {victim.name}")

    async def settle(self) -> None:
        """Have everything up again."""
        await self._scope.close()
        for component in self.components.values():
            component.start()

    async def close(self) -> None:
        await self._scope.close()
        for component in reversed(self.components.values()):
            await component.crash()

    def check(self) -> None:
        """Raises what ended a component by itself, if anything did."""
        for component in self.components.values():
            if component.error is not None:
                raise component.error

    async def _crash_and_restart(self, component: Component, down: float) -> None:
        await component.crash()
        await env.sleep(down)
        component.start()
