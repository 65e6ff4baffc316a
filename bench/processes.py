"""Memory and CPU time of a cluster's processes, from /proc."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def with_children(roots: Iterable[int]) -> list[int]:
    """The processes and everything they started that still runs."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        stat = _stat(int(path.name))
        if stat:
            parents.setdefault(int(stat[1]), []).append(int(path.name))
    found: list[int] = []
    pending = list(roots)
    while pending:
        pid = pending.pop()
        found.append(pid)
        pending += parents.get(pid, [])
    return sorted(set(found))


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def rss_bytes(pids: Iterable[int]) -> int:
    """Resident memory, shared pages counted once per process."""
    stats = (_stat(pid) for pid in pids)
    return sum(int(stat[21]) * _PAGE_BYTES for stat in stats if stat)


def pss_bytes(pids: Iterable[int]) -> int:
    """Resident memory, shared pages divided among those that share them."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
        total += int(line.split()[1]) * 1024
    return total


def cpu_share(pids: Iterable[int], seconds: float) -> float:
    """The share of one core that the processes use, measured over so many seconds."""
    pids = list(pids)
    before = _cpu_seconds(pids)
    started = time.monotonic()
    time.sleep(seconds)
    return (_cpu_seconds(pids) - before) / (time.monotonic() - started)


def _cpu_seconds(pids: Iterable[int]) -> float:
    stats = (_stat(pid) for pid in pids)
    return sum((int(stat[11]) + int(stat[12])) / _TICKS_PER_S for stat in stats if stat)
