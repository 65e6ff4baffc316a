"""mount(2) and umount(2), for tmpfs and for sub-paths."""

import ctypes
import os
from pathlib import Path

_MS_NOSUID, _MS_NODEV, _MS_BIND = 2, 4, 4096
_MNT_DETACH = 2


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(target: Path, size_bytes: int, mode: int) -> None:
    """Size 0 means the kernel's default (half of memory). Raises OSError."""
    options = f"mode={mode:o}" + (f",size={size_bytes}" if size_bytes else "")
    result = _libc().mount(b"tmpfs", bytes(target), b"tmpfs", 0, options.encode())
    _check(result, f"mounting tmpfs on {target}")


def bind(source: str, target: Path) -> None:
    """Make `source` (a path, or /proc/self/fd/N) appear at `target`. Raises OSError."""
    result = _libc().mount(source.encode(), bytes(target), b"none", _MS_BIND, None)
    _check(result, f"binding {target}")


def unmount(target: Path) -> None:
    """At once, even if used; nothing mounted is fine. Raises OSError."""
    if os.path.ismount(target) or is_mounted(target):
        _check(_libc().umount2(bytes(target), _MNT_DETACH), f"unmounting {target}")


def is_mounted(target: Path) -> bool:
    """Also for a file or a bind mount from the same file system, where ismount is blind."""
    return str(target) in mount_points(target)


def mount_points(below: Path) -> list[str]:
    """Mounts at or below a directory, deepest first."""
    prefix = str(below)
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point = line.split(" ")[4].replace("\\040", " ")
        if point == prefix or point.startswith(prefix + "/"):
            found.append(point)
    return sorted(found, key=len, reverse=True)
