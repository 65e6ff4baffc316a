"""Random histories: SQLite must be indistinguishable from the memory store."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kapi.storage.errors import StorageError
from kapi.storage.interface import Event, Store
from kapi.storage.memory import MemoryStore
from kapi.storage.sqlite import SqliteStore

KEYS = st.sampled_from(["/r/a", "/r/b", "/r/b/c", "/r/é", "/s/a"])
PREFIXES = st.sampled_from(["/r/", "/r/b", "/s/", ""])
BACK = st.integers(0, 25)
"""How many revisions before the present; some are before the beginning or compacted."""


class SameAsMemory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.memory = MemoryStore()
        self.sqlite: SqliteStore = self.runner.run(self._open())
        self.written = 0

    def _open(self) -> Any:
        return SqliteStore.open(self.folder / "state.db")

    def both(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call both stores; they must give or raise the same."""

        async def call(store: Store) -> Any:
            try:
                return await getattr(store, method)(*args, **kwargs)
            except StorageError as error:
                return type(error), vars(error)

        expected, found = (self.runner.run(call(s)) for s in (self.memory, self.sqlite))
        assert found == expected, method
        return expected

    def present(self) -> int:
        return int(self.both("current_revision"))

    def expected_revision(self, key: str, stale: int) -> int:
        held = self.both("get", key)
        return (held.revision if held is not None else self.present()) - stale

    def value(self) -> bytes:
        self.written += 1
        return b"%d" % self.written

    @rule(key=KEYS)
    def create(self, key: str) -> None:
        self.both("create", key, self.value())

    @rule(key=KEYS, stale=st.sampled_from([0, 0, 0, 1, 3]))
    def update(self, key: str, stale: int) -> None:
        self.both("update", key, self.value(), self.expected_revision(key, stale))

    @rule(key=KEYS, stale=st.sampled_from([0, 0, 0, 1]))
    def delete(self, key: str, stale: int) -> None:
        self.both("delete", key, self.expected_revision(key, stale))

    @rule(back=BACK)
    def compact(self, back: int) -> None:
        self.both("compact", self.present() - back)

    @rule(key=KEYS, back=BACK)
    def read_the_past(self, key: str, back: int) -> None:
        self.both("get", key, revision=max(self.present() - back, 0))

    @rule(prefix=PREFIXES, start=KEYS, limit=st.integers(0, 4), back=BACK)
    def read_a_page(self, prefix: str, start: str, limit: int, back: int) -> None:
        revision = max(self.present() - back, 0)
        self.both("range", prefix, start=start, limit=limit, revision=revision)

    @rule(prefix=PREFIXES, back=BACK)
    def watch(self, prefix: str, back: int) -> None:
        since = max(self.present() - back, 0)
        expected, found = (
            self.runner.run(self._history(store, prefix, since))
            for store in (self.memory, self.sqlite)
        )
        assert found == expected

    async def _history(self, store: Store, prefix: str, since: int) -> list[Event] | type:
        """Every event up to now; a write of our own at the end shows where that is."""
        found: list[Event] = []
        marker = f"{prefix}marker"
        try:
            async with store.watch(prefix, from_revision=since) as batches:
                made = await store.create(marker, b"")
                while not found or found[-1].revision < made:
                    found += await asyncio.wait_for(anext(batches), 5)
        except StorageError as error:
            return type(error)
        await store.delete(marker, made)
        return found

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.sqlite.close())
        self.sqlite = self.runner.run(self._open())

    @invariant()
    def the_present_is_the_same(self) -> None:
        self.both("range", "")

    def teardown(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.run(self.memory.close())
        self.runner.close()
        shutil.rmtree(self.folder)


TestSameAsMemory = SameAsMemory.TestCase
TestSameAsMemory.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
