"""Sub-paths of volumes: found, made and pinned without ever leaving the volume.

A container may swap a directory for a symbolic link between check and mount. So the place is opened
first, the opened file is checked, and what is mounted is the opened file, not its path.
Upstream: pkg/volume/util/subpath/subpath_linux.go.
"""

import os
import stat
from pathlib import Path

from kapi.kubelet.volumes import mounting


class SubPathEscapes(ValueError):
    """The sub-path points outside of its volume."""


def check_sub_path(path: str) -> None:
    """Raises ValueError with upstream's text."""
    if path.startswith("/"):
        raise ValueError(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise ValueError(f"unable to provision SubPath `{path}`: must not contain '..'")


def make_sub_path(volume: Path, path: str) -> None:
    """Create the missing directories with the mode of the volume's root. Raises OSError."""
    root = os.path.realpath(volume)
    place = os.path.join(root, path)
    if os.path.lexists(place):
        return
    mode = stat.S_IMODE(os.stat(root).st_mode)
    current = root
    for element in Path(path).parts:
        following = os.path.realpath(os.path.join(current, element))
        if not _inside(following, root):
            raise SubPathEscapes(f"{path} leaves its volume")
        if not os.path.isdir(following):
            os.mkdir(following, mode)
            os.chmod(following, mode)
        current = following


def pin_sub_path(volume: Path, path: str, target: Path) -> None:
    """Bind the sub-path to `target`, which is made as a file or directory to match.

    Raises OSError, SubPathEscapes.
    """
    root = os.path.realpath(volume)
    handle = os.open(os.path.join(root, path), os.O_PATH | os.O_CLOEXEC)
    try:
        opened = os.readlink(f"/proc/self/fd/{handle}")
        if not _inside(opened, root):
            raise SubPathEscapes(f"{path} leaves its volume")
        mounting.unmount(target)
        _make_like(handle, target)
        mounting.bind(f"/proc/self/fd/{handle}", target)
    finally:
        os.close(handle)


def _make_like(handle: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        if target.exists() and not target.is_dir():
            target.unlink()
        target.mkdir(exist_ok=True)
        return
    if target.is_dir():
        target.rmdir()
    target.touch()


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
