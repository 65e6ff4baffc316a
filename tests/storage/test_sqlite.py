"""What only the SQLite backend promises: durability, room, errors of the file, compaction."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kapi.storage import sqlite_log
from kapi.storage.errors import Compacted, StorageFull, StorageUnavailable
from kapi.storage.sqlite import SqliteStore

_WRITER = """
import asyncio, sys
from kapi.storage.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(sys.argv[1])
    async def write(worker):
        number = 0
        while True:
            key = f"/r/{worker}-{number}"
            revision = await store.create(key, key.encode() * 50)
            print(key, revision, flush=True)
            number += 1
    await asyncio.gather(*(write(worker) for worker in range(8)))

asyncio.run(main())
"""


async def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    acknowledged: dict[str, int] = {}
    for round_ in range(3):
        if round_:
            # Keys of the round before make room, or the worker's first create would fail.
            store = await SqliteStore.open(path)
            for item in (await store.range("/r/")).items:
                await store.delete(item.key, item.revision)
            await store.close()
        acknowledged = await asyncio.to_thread(_write_until_killed, path, 60 + 70 * round_)
        store = await SqliteStore.open(path)
        held = {item.key: item for item in (await store.range("/r/")).items}
        for key, revision in acknowledged.items():
            assert held[key].revision == revision
            assert held[key].value == key.encode() * 50
        assert await store.create("/after", b"") > max(acknowledged.values())
        await store.delete("/after", await store.current_revision())
        await store.close()
        assert _integrity(path) == "ok"


def _write_until_killed(path: Path, lines: int) -> dict[str, int]:
    """Start the writer, kill it in the middle of its work; what it had said was written."""
    argv = [sys.executable, "-c", _WRITER, str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read().splitlines(keepends=True)
    whole = [line.split() for line in said if line.endswith("\n")]
    assert len(whole) >= lines
    return {key: int(revision) for key, revision in whole}


def _integrity(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


async def test_reopening_resumes_revisions_and_history(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db")
    first = await store.create("/r/a", b"one")
    second = await store.update("/r/a", b"two", first)
    await store.close()
    store = await SqliteStore.open(tmp_path / "state.db")
    assert await store.current_revision() == second
    async with store.watch("/r/", from_revision=first) as batches:
        events = await anext(batches)
        assert [event.revision for event in events] == [first, second]
        third = await store.delete("/r/a", second)
        assert third == second + 1
        assert [event.revision for event in await anext(batches)] == [third]
    await store.close()


async def test_a_full_disk_refuses_writes_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite_log.connect
    monkeypatch.setattr(sqlite_log, "connect", lambda *a, **k: _small(connect(*a, **k)))
    store = await SqliteStore.open(tmp_path / "state.db")
    kept = [await store.create(f"/r/{number}", b"x" * 4000) for number in range(20)]
    before = await store.current_revision()
    results = await asyncio.gather(
        store.create("/r/huge", b"x" * 400_000),
        store.create("/r/small", b"fits"),
        store.update("/r/0", b"x" * 400_000, kept[0]),
        return_exceptions=True,
    )
    assert isinstance(results[0], StorageFull)
    assert results[1] == before + 1
    assert isinstance(results[2], StorageFull)
    assert await store.get("/r/huge") is None
    item = await store.get("/r/0")
    assert item is not None and item.revision == kept[0]
    assert await store.delete("/r/1", kept[1]) == before + 2
    await store.close()


def _small(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA max_page_count = 60")
    return connection


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(StorageUnavailable):
        await SqliteStore.open(path)
    with pytest.raises(StorageUnavailable):
        await SqliteStore.open(tmp_path / "missing" / "state.db")


async def test_a_damaged_page_is_unavailable_not_a_conflict(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path)
    for number in range(200):
        await store.create(f"/r/{number:03}", b"x" * 3000)
    await store.close()
    content = path.read_bytes()
    third = len(content) // 3 // 4096 * 4096
    path.write_bytes(content[:third] + b"\xa5" * third + content[2 * third :])
    store = await SqliteStore.open(path)
    with pytest.raises(StorageUnavailable):
        await store.range("/r/")
    outcomes = [
        await asyncio.gather(store.delete(f"/r/{n:03}", n + 2), return_exceptions=True)
        for n in range(200)
    ]
    failed = {type(outcome) for (outcome,) in outcomes if not isinstance(outcome, int)}
    assert failed == {StorageUnavailable}
    await store.close()


async def test_history_is_kept_by_age_and_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    clock = {"now": moment}
    monkeypatch.setattr("kapi.env.now", lambda: clock["now"])
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path, history_seconds=3600, history_revisions=10)
    revision = await store.create("/r/a", b"0")
    revisions = [revision]
    for minute in range(1, 121):
        clock["now"] = moment + timedelta(minutes=minute)
        revision = await store.update("/r/a", b"%d" % minute, revision)
        revisions.append(revision)
    await store._compact_old()
    # At 2:00 the last write before 1:00 is that of 0:59; reads work from there on.
    assert await _oldest(store, revisions) == revisions[59]
    clock["now"] = moment + timedelta(days=1)
    await store._compact_old()
    assert await _oldest(store, revisions) == revisions[-11]
    await store.close()


async def _oldest(store: SqliteStore, revisions: list[int]) -> int:
    for revision in revisions:
        try:
            await store.get("/r/a", revision=revision)
        except Compacted:
            continue
        return revision
    raise AssertionError("nothing can be read")


async def test_compaction_removes_rows_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path)
    revision = await store.create("/r/a", b"0")
    for number in range(1200):
        revision = await store.update("/r/a", b"%d" % number, revision)
    for number in range(600):
        made = await store.create(f"/r/{number}", b"")
        await store.delete(f"/r/{number}", made)
    last = await store.current_revision()
    # One piece only, as if the process had been killed after it.
    connection = sqlite3.connect(path, isolation_level=None)
    sqlite_log.set_oldest(connection, last)
    assert sqlite_log.sweep(connection, 500)
    connection.close()
    await store.close()
    store = await SqliteStore.open(path)
    await store.compact(0)
    await store.close()
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT count(*), max(revision) FROM log").fetchone()
    connection.close()
    # /r/a as it is now, and the newest tombstone with what it deleted.
    assert rows == (3, last)


async def test_a_cancelled_writer_does_not_harm_its_group(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db")
    impatient = asyncio.ensure_future(store.create("/r/a", b"one"))
    others = [asyncio.ensure_future(store.create(f"/r/{n}", b"")) for n in range(10)]
    await asyncio.sleep(0)
    impatient.cancel()
    assert len(set(await asyncio.gather(*others))) == 10
    item = await store.get("/r/a")
    assert item is not None and item.value == b"one"
    await store.close()
