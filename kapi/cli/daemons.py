"""The daemons of a cluster: started in the background, found again by process id and start time.

A process id alone proves nothing, as the kernel gives it to somebody else after a reboot or a
crash; together with the start time it names one process for good.
"""

import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from kapi import env
from kapi.cli.settings import DataDir

CONTROL_PLANE = "control-plane"
_TERM_SECONDS = 15.0
_KILL_SECONDS = 5.0
_TAIL_BYTES = 16384
_LOG_MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon as its pid file names it. `started` is in clock ticks since boot; `log_start` is
    how long its log was before."""

    name: str
    pid: int
    started: int
    boot_id: str
    log_start: int = 0


def node_agent(node_name: str) -> str:
    """The daemon's name for a node."""
    return f"node-{node_name}"


def start(data: DataDir, name: str, arguments: list[str]) -> Daemon:
    """Start `python -m kapi.cli.daemon ARGUMENTS` and remember it under `name`."""
    env.make_dir(data.root / "logs", 0o700)
    env.make_dir(data.root / "run", 0o700)
    argv = [sys.executable, "-m", "kapi.cli.daemon", *arguments]
    log = data.log_file(name)
    log_start = log.stat().st_size if log.exists() else 0
    if log_start > _LOG_MAX_BYTES:
        log.replace(log.with_suffix(".log.1"))
        log_start = 0
    pid = env.start_process(argv, log_path=log)
    state = _process(pid)
    daemon = Daemon(name, pid, state[1] if state else 0, _boot_id(), log_start)
    env.write_bytes(data.pid_file(name), orjson.dumps(asdict(daemon)))
    return daemon


def find(data: DataDir, name: str) -> Daemon | None:
    """The running daemon of that name; None if it is not running any more."""
    daemon = _remembered(data, name)
    return daemon if daemon is not None and is_alive(daemon) else None


def _remembered(data: DataDir, name: str) -> Daemon | None:
    try:
        return Daemon(**orjson.loads(env.read_bytes(data.pid_file(name))))
    except (OSError, ValueError, TypeError):
        return None


def known(data: DataDir) -> list[str]:
    """Names of all daemons that were ever started and not taken down, control plane last."""
    names = [path.stem for path in sorted((data.root / "run").glob("*.json"))]
    return sorted(names, key=lambda name: name == CONTROL_PLANE)


def is_alive(daemon: Daemon) -> bool:
    state = _process(daemon.pid)
    if state is None or daemon.boot_id != _boot_id():
        return False
    letter, started = state
    return letter not in "ZX" and started == daemon.started


async def stop(data: DataDir, name: str) -> bool:
    """Ask the daemon to end, make it end if it does not; True if it was running."""
    daemon = find(data, name)
    stopped = daemon is not None
    if daemon is not None:
        _signal(daemon, signal.SIGTERM)
        if not await _wait_for_end(daemon, _TERM_SECONDS):
            _signal(daemon, signal.SIGKILL)
            await _wait_for_end(daemon, _KILL_SECONDS)
    data.pid_file(name).unlink(missing_ok=True)
    return stopped


def log_tail(data: DataDir, name: str, lines: int = 20) -> str:
    """The end of what the daemon has logged since it was last started, for a person to read."""
    path = data.log_file(name)
    if not path.exists():
        return ""
    daemon = _remembered(data, name)
    written = env.read_bytes(path)[daemon.log_start if daemon else 0 :]
    text = written[-_TAIL_BYTES:].decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def _signal(daemon: Daemon, number: signal.Signals) -> None:
    if is_alive(daemon):
        try:
            os.kill(daemon.pid, number)
        except ProcessLookupError:
            return


async def _wait_for_end(daemon: Daemon, seconds: float) -> bool:
    deadline = env.monotonic() + seconds
    while is_alive(daemon):
        if env.monotonic() > deadline:
            return False
        await env.sleep(0.02)
    return True


def _process(pid: int) -> tuple[str, int] | None:
    """State letter and start time of a process, from proc(5)."""
    try:
        text = env.read_text(f"/proc/{pid}/stat")
    except (OSError, UnicodeDecodeError):
        return None
    # The second field is the program's name in parentheses and may hold anything.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return env.read_text(path).strip() if path.exists() else ""
