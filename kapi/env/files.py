"""Files. Writes are atomic (temporary file, fsync, rename) so a crash leaves old or new."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def read_text(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8")


def read_bytes(path: str | Path) -> bytes:
    return Path(path).read_bytes()


def read_tail(path: str | Path, limit: int) -> bytes:
    """At most the last `limit` bytes, however long the file is."""
    with Path(path).open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - limit, 0))
        return stream.read(limit)


def make_dir(path: str | Path, mode: int = 0o755) -> Path:
    """Create the directory and its parents; an existing one keeps its mode."""
    directory = Path(path)
    directory.mkdir(mode=mode, parents=True, exist_ok=True)
    return directory


def write_bytes(path: str | Path, data: bytes, mode: int = 0o644) -> None:
    """Replace the file's content atomically."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str, mode: int = 0o644) -> None:
    write_bytes(path, text.encode(), mode)


def write_private(path: str | Path, data: bytes) -> None:
    """For keys and tokens: readable by the owner only, from the first byte on."""
    write_bytes(path, data, 0o600)


@contextmanager
def private_file(data: bytes) -> Iterator[Path]:
    """A file only the owner can read that exists for the length of the block.

    For libraries that take secrets by path only (the ssl module's key pairs).
    """
    with tempfile.NamedTemporaryFile() as stream:
        stream.write(data)
        stream.flush()
        yield Path(stream.name)


def append_text(path: str | Path, text: str) -> None:
    with Path(path).open("a", encoding="utf-8") as stream:
        stream.write(text)


_locks: list[int] = []


def hold_lock(path: str | Path) -> bool:
    """Lock the file for the rest of this process's life; False if another process holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _locks.append(handle)
    return True
