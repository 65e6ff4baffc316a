"""Replace a directory's files all at once, so that readers never see half an update.

Upstream: pkg/volume/util/atomic_writer.go. Layout:

    <target>/..2026_01_02_03_04_05.1234567/<path>   the payload
    <target>/..data -> ..2026_01_02_03_04_05.1234567
    <target>/<first element> -> ..data/<first element>

An update writes a new dated directory and renames a new `..data` link over the old one.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kapi import env

_DATA = "..data"
_DATA_NEW = "..data_tmp"
_PATH_MAX, _ELEMENT_MAX = 4096, 255


@dataclass(frozen=True, slots=True)
class ProjectedFile:
    """`owner` is a user id, or None for root."""

    data: bytes
    mode: int
    owner: int | None = None


Payload = Mapping[str, ProjectedFile]


class InvalidPath(ValueError):
    """A payload path that would leave the volume."""


def check_path(path: str) -> None:
    """Raises InvalidPath."""
    if not path:
        raise InvalidPath("invalid path: must not be empty")
    if path.startswith("/"):
        raise InvalidPath(f"invalid path: must be relative path: {path}")
    if len(path) > _PATH_MAX:
        raise InvalidPath(f"invalid path: must be less than or equal to {_PATH_MAX} characters")
    elements = path.split("/")
    if ".." in elements:
        raise InvalidPath(f"invalid path: must not contain dots only paths: {path}")
    if elements[0].startswith(".."):
        raise InvalidPath(f"invalid path: must not start with dots: {path}")
    if any(len(element) > _ELEMENT_MAX for element in elements):
        raise InvalidPath(f"invalid path: filenames must be at most {_ELEMENT_MAX} characters")


def write_payload(target: Path, payload: Payload, *, group: int | None = None) -> bool:
    """Make the directory show exactly `payload`; False when it already did.

    `group` becomes the files' group, with group permissions as for a read-only volume.
    """
    for path in payload:
        check_path(path)
    old = _current(target)
    if old is not None and not _differs(old, payload):
        _link_visible(target, payload)
        return False
    stamp = env.now().strftime("..%Y_%m_%d_%H_%M_%S.") + str(env.random().randrange(10**9, 10**10))
    fresh = target / stamp
    fresh.mkdir(mode=0o755)
    fresh.chmod(0o755)
    try:
        _write_files(fresh, payload)
        if group is not None:
            give_to_group(fresh, group, read_only=True)
        link = target / _DATA_NEW
        link.unlink(missing_ok=True)
        link.symlink_to(stamp)
        os.replace(link, target / _DATA)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _link_visible(target, payload)
    _unlink_stale(target, payload)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _current(target: Path) -> Path | None:
    try:
        return target / os.readlink(target / _DATA)
    except FileNotFoundError:
        return None


def _differs(current: Path, payload: Payload) -> bool:
    """By content only, as upstream: a changed mode alone is not an update."""
    present = {
        str(found.relative_to(current)) for found in current.rglob("*") if not found.is_dir()
    }
    wanted = {str(PurePosixPath(path)) for path in payload}
    if present != wanted:
        return True
    return any((current / path).read_bytes() != file.data for path, file in payload.items())


def _write_files(root: Path, payload: Payload) -> None:
    for path, file in payload.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        # Created closed, then opened up: the data may be a key.
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(file.data)
        if file.owner is not None:
            os.chown(place, file.owner, -1)
        place.chmod(file.mode)


def _visible(payload: Payload) -> set[str]:
    return {PurePosixPath(path).parts[0] for path in payload}


def _link_visible(target: Path, payload: Payload) -> None:
    for name in _visible(payload):
        place = target / name
        if not place.is_symlink() and not place.exists():
            place.symlink_to(f"{_DATA}/{name}")


def _unlink_stale(target: Path, payload: Payload) -> None:
    wanted = _visible(payload)
    for place in target.iterdir():
        if place.is_symlink() and not place.name.startswith("..") and place.name not in wanted:
            place.unlink()


def give_to_group(root: Path, group: int, *, read_only: bool) -> None:
    """fsGroup: change the group of a tree and let the group read (and write)."""
    extra = 0o440 if read_only else 0o660
    for place in (root, *root.rglob("*")):
        os.chown(place, -1, group, follow_symlinks=False)
        if place.is_symlink():
            continue
        mode = stat.S_IMODE(place.stat().st_mode) | extra
        if place.is_dir():
            mode |= 0o110 | stat.S_ISGID
        place.chmod(mode)
