"""Child processes. Arguments are lists: nothing here ever passes through a shell."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """How a finished process ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes


async def run_process(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout: float = 60.0,
    environment: Mapping[str, str] | None = None,
) -> ProcessResult:
    """Run to the end and collect the output; `environment` is added to this process's own.

    Raises TimeoutError after `timeout` seconds (the process is killed first) and
    FileNotFoundError if the program does not exist. A cancelled call kills the process, too.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await process.communicate(stdin)
    except BaseException:
        # Too late, or nobody waits for it any more: it must not go on behind our back.
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    return ProcessResult(process.returncode or 0, stdout, stderr)


def start_process(
    argv: Sequence[str], *, log_path: str | Path, environment: Mapping[str, str] | None = None
) -> int:
    """Start a daemon in its own session with output appended to `log_path`; returns its id.

    Nobody waits for it: it is meant to outlive this process. Raises FileNotFoundError if the
    program does not exist.
    """
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawnp(
        argv[0],
        list(argv),
        {**os.environ, **(environment or {})},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log_path), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


async def run_module(module: str, *, stdin: bytes = b"", timeout: float = 60.0) -> ProcessResult:
    """Run a Python module of this very installation (or checkout) to its end."""
    return await run_process(
        [sys.executable, "-m", module],
        stdin=stdin,
        timeout=timeout,
        environment={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
