"""The store of a simulation: every write is shown to observers and goes into the trace."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from kapi.storage.interface import Event, KeyValue, Progress, RangeResult
from kapi.storage.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Write:
    """One write that happened; `value` is None for a delete."""

    key: str
    value: bytes | None
    revision: int


Observer = Callable[[Write], None]


class ObservedStore:
    """A MemoryStore that tells. Observers run inside the write and must not raise."""

    def __init__(self) -> None:
        self._inner = MemoryStore()
        self._digest = hashlib.sha256()
        self.observers: list[Observer] = []
        self.writes = 0

    def trace_digest(self) -> str:
        """Equal for two runs if they wrote the same bytes to the same keys in the same order."""
        return self._digest.hexdigest()

    async def create(self, key: str, value: bytes) -> int:
        return self._wrote(key, value, await self._inner.create(key, value))

    async def update(self, key: str, value: bytes, expected_revision: int) -> int:
        return self._wrote(key, value, await self._inner.update(key, value, expected_revision))

    async def delete(self, key: str, expected_revision: int) -> int:
        return self._wrote(key, None, await self._inner.delete(key, expected_revision))

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        return await self._inner.get(key, revision=revision)

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> RangeResult:
        return await self._inner.range(prefix, start=start, limit=limit, revision=revision)

    def watch(
        self, prefix: str, *, from_revision: int, progress: Progress | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        return self._inner.watch(prefix, from_revision=from_revision, progress=progress)

    async def current_revision(self) -> int:
        return await self._inner.current_revision()

    async def compact(self, revision: int) -> None:
        await self._inner.compact(revision)

    async def close(self) -> None:
        await self._inner.close()

    def _wrote(self, key: str, value: bytes | None, revision: int) -> int:
        self.writes += 1
        self._digest.update(b"%d %s %s\n" % (revision, key.encode(), value or b"-"))
        for observer in self.observers:
            observer(Write(key, value, revision))
        return revision
