"""The SQL of the SQLite backend: one append-only table, read and written in blocking calls.

The row id is the revision. The unique index on (key, previous revision) is the compare-and-swap:
two writers that saw the same previous revision cannot both insert. It is also the only index, and
because the rows of a key have rising previous revisions, its order within a key is the order of
the writes. A delete is a row (a tombstone).

`synchronous=FULL` with the write-ahead log means one fsync per commit, and a commit that returned
survives a power cut; group commit (see `sqlite_writer`) shares that fsync among waiting writes.

The design follows kine (`pkg/drivers/generic`), except that a failed insert is never taken for a
lost race: a race is found by reading before writing, and an error of the file stays an error.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kapi.storage.errors import (
    Compacted,
    FutureRevision,
    KeyExists,
    KeyNotFound,
    RevisionConflict,
    StorageFull,
    StorageUnavailable,
)
from kapi.storage.interface import Event, KeyValue, RangeResult
from kapi.storage.keys import prefix_end

FIRST_REVISION = 1
"""The revision of an empty store, as in etcd; the first write is 2."""

_LAST_KEY = chr(0x10FFFF)
_PAGE_CACHE_KIB = 4096

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    revision        INTEGER PRIMARY KEY,
    key             TEXT NOT NULL,
    prev_revision   INTEGER NOT NULL,
    create_revision INTEGER NOT NULL,
    deleted         INTEGER NOT NULL,
    written_at      INTEGER NOT NULL,
    value           BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS log_key ON log (key, prev_revision);
CREATE TABLE IF NOT EXISTS compaction (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    oldest INTEGER NOT NULL,
    swept  INTEGER NOT NULL
);
INSERT OR IGNORE INTO compaction VALUES (1, 1, 1);
"""

_NEWEST_OF_KEY = """
SELECT revision, create_revision, deleted, value FROM log
WHERE key = ? ORDER BY prev_revision DESC LIMIT 1
"""
_AT_REVISION = """
SELECT revision, create_revision, deleted, value FROM log
WHERE key = ? AND revision <= ? ORDER BY prev_revision DESC LIMIT 1
"""
_HEADS = """
(SELECT max(prev_revision), revision AS head FROM log INDEXED BY log_key
 WHERE key >= ? AND key < ? AND revision <= ? GROUP BY key)
"""
_RANGE = f"""
SELECT l.key, l.value, l.revision, l.create_revision
FROM {_HEADS} CROSS JOIN log l ON l.revision = head
WHERE NOT l.deleted ORDER BY l.key LIMIT ?
"""
_COUNT = f"SELECT count(*) FROM {_HEADS} CROSS JOIN log l ON l.revision = head WHERE NOT l.deleted"
_HISTORY = """
SELECT l.revision, l.key, l.deleted, l.value, p.deleted, p.value
FROM log l LEFT JOIN log p ON p.revision = l.prev_revision
WHERE l.revision >= ? AND l.revision <= ? AND l.key >= ? AND l.key < ?
ORDER BY l.revision LIMIT ?
"""
_INSERT = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Write:
    """One write asked for. `expected_revision` counts for update and delete only."""

    kind: Literal["create", "update", "delete"]
    key: str
    value: bytes = b""
    expected_revision: int = 0


@contextmanager
def translated_errors() -> Iterator[None]:
    """SQLite's errors as storage errors: no room, or the file cannot be used."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise StorageFull(str(error)) from error
        raise StorageUnavailable(f"{type(error).__name__}: {error}") from error


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode; whoever holds it may move between threads."""
    connection = sqlite3.connect(
        path, timeout=10.0, isolation_level=None, check_same_thread=False, cached_statements=32
    )
    try:
        connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
        if create:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.executescript(_SCHEMA)
        else:
            connection.execute("PRAGMA query_only = 1")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """A read transaction; gives (newest revision, oldest revision that can be read)."""
    connection.execute("BEGIN")
    try:
        yield newest_revision(connection), oldest_revision(connection)
    finally:
        connection.execute("COMMIT")


def newest_revision(connection: sqlite3.Connection) -> int:
    """Compaction never removes the newest row, so the highest row id is the last write."""
    row = connection.execute("SELECT max(revision) FROM log").fetchone()
    return max(row[0] or 0, FIRST_REVISION)


def oldest_revision(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT oldest FROM compaction").fetchone()[0])


def apply(connection: sqlite3.Connection, write: Write, revision: int, now: int) -> Event:
    """Insert one row at `revision`, inside the caller's transaction.

    Raises KeyExists, KeyNotFound, RevisionConflict with nothing written, or sqlite3.Error.
    """
    row = connection.execute(_NEWEST_OF_KEY, (write.key,)).fetchone()
    head, create_revision, deleted, value = row or (0, 0, 1, b"")
    if write.kind == "create":
        if not deleted:
            raise KeyExists(write.key)
        create_revision, previous = revision, None
    else:
        if deleted:
            raise KeyNotFound(write.key)
        if head != write.expected_revision:
            raise RevisionConflict(write.key, write.expected_revision, head)
        previous = bytes(value)
    is_delete = write.kind == "delete"
    connection.execute(
        _INSERT, (revision, write.key, head, create_revision, is_delete, now, write.value)
    )
    return Event(write.key, write.value, previous, revision, is_delete)


def read_key(connection: sqlite3.Connection, key: str, revision: int) -> KeyValue | None:
    """The key at `revision` (0 is now). Raises Compacted, FutureRevision."""
    if not revision:
        row = connection.execute(_NEWEST_OF_KEY, (key,)).fetchone()
    else:
        with snapshot(connection) as (newest, oldest):
            _check_readable(revision, newest, oldest)
            row = connection.execute(_AT_REVISION, (key, revision)).fetchone()
    if row is None or row[2]:
        return None
    return KeyValue(key, row[3], row[0], row[1])


def read_range(
    connection: sqlite3.Connection, prefix: str, start: str, limit: int, revision: int
) -> RangeResult:
    """See `Store.range`."""
    first, end = max(prefix, start), prefix_end(prefix) or _LAST_KEY
    with snapshot(connection) as (newest, oldest):
        _check_readable(revision, newest, oldest)
        at = revision or newest
        rows = connection.execute(_RANGE, (first, end, at, limit or -1)).fetchall()
        remaining = 0
        if limit and len(rows) == limit:
            after = rows[-1][0] + "\0"
            remaining = connection.execute(_COUNT, (after, end, at)).fetchone()[0]
    return RangeResult([KeyValue(*row) for row in rows], at, remaining)


def read_events(
    connection: sqlite3.Connection, prefix: str, first: int, last: int, limit: int
) -> list[Event]:
    """Up to `limit` events of revisions first..last, in order. Raises Compacted."""
    with snapshot(connection) as (_, oldest):
        if first < oldest:
            raise Compacted(first, oldest)
        bounds = (first, last, prefix, prefix_end(prefix) or _LAST_KEY, limit)
        rows = connection.execute(_HISTORY, bounds).fetchall()
    return [
        Event(key, value, None if gone or before is None else before, revision, bool(deleted))
        for revision, key, deleted, value, gone, before in rows
    ]


def _check_readable(revision: int, newest: int, oldest: int) -> None:
    if revision > newest:
        raise FutureRevision(revision, newest)
    if revision and revision < oldest:
        raise Compacted(revision, oldest)


def set_oldest(connection: sqlite3.Connection, revision: int) -> None:
    """Declare history before `revision` unreadable; `sweep` then removes it bit by bit."""
    newest = newest_revision(connection)
    if revision > newest:
        raise FutureRevision(revision, newest)
    connection.execute("UPDATE compaction SET oldest = max(oldest, ?)", (revision,))


def sweep(connection: sqlite3.Connection, limit: int) -> bool:
    """Remove what the next `limit` revisions made superfluous; True when there is more to do.

    A row goes when a write before `oldest` superseded it, or when it is itself a tombstone before
    `oldest`. The row that the write at `oldest` replaced stays: it is that event's previous value.
    Must run in a transaction; progress is kept in the same one.
    """
    swept, oldest = connection.execute("SELECT swept, oldest FROM compaction").fetchone()
    rows = connection.execute(
        "SELECT revision, prev_revision, deleted FROM log"
        " WHERE revision > ? AND revision < ? ORDER BY revision LIMIT ?",
        (swept, oldest, limit),
    ).fetchall()
    doomed = [(previous,) for _, previous, _ in rows if previous]
    doomed += [(revision,) for revision, _, deleted in rows if deleted]
    connection.executemany("DELETE FROM log WHERE revision = ?", doomed)
    more = len(rows) == limit
    progress = rows[-1][0] if more else max(swept, oldest - 1)
    connection.execute("UPDATE compaction SET swept = ?", (progress,))
    return more


def newest_revision_before(connection: sqlite3.Connection, moment: int) -> int:
    """The last revision written before `moment` (seconds since the epoch); 0 if there is none.

    Revisions and times rise together, so this is a binary search on the row id. A clock that
    jumped back makes the answer imprecise, which moves only the moment of a compaction.
    """
    with snapshot(connection) as (newest, oldest):
        low, high = oldest - 1, newest
        while low < high:
            middle = (low + high + 1) // 2
            row = connection.execute(
                "SELECT written_at FROM log WHERE revision >= ? ORDER BY revision LIMIT 1",
                (middle,),
            ).fetchone()
            if row is not None and row[0] < moment:
                low = middle
            else:
                high = middle - 1
        return low if low >= oldest else 0
