"""hostPath: check or make what the type asks for.

Upstream: pkg/volume/hostpath/host_path.go.
"""

import stat
from pathlib import Path

from kapi.kubelet.volumes.payloads import VolumeFailure

_CHECKS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def prepare_host_path(path: str, kind: str) -> None:
    """Raises VolumeFailure, OSError."""
    place = Path(path)
    if kind in ("", "DirectoryOrCreate") and not place.exists():
        # Without a type the runtime is free; Docker makes a directory.
        place.mkdir(parents=True, mode=0o755)
    if kind == "FileOrCreate" and not place.exists():
        place.touch(mode=0o644)
    wanted = {"DirectoryOrCreate": "Directory", "FileOrCreate": "File"}.get(kind, kind)
    if not wanted:
        return
    if wanted not in _CHECKS:
        raise VolumeFailure(f"hostPath type check failed: unknown type {kind}")
    check, text = _CHECKS[wanted]
    if not place.exists() or not check(place.stat().st_mode):
        raise VolumeFailure(f"hostPath type check failed: {path} is not {text}")
