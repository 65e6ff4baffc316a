"""Files: whole or in part, atomically, and closed to others where they hold secrets."""

import stat
from pathlib import Path

import pytest

from kapi import env


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, b""), (3, b"ghi"), (9, b"abcdefghi"), (100, b"abcdefghi")]
)
def test_only_the_tail_is_read(tmp_path: Path, limit: int, expected: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcdefghi")
    assert env.read_tail(path, limit) == expected


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "file"
    env.write_bytes(path, b"a long first text")
    env.write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"open to all")
    path.chmod(0o644)
    env.write_private(path, b"secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with env.private_file(b"secret") as private:
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert not private.exists()
