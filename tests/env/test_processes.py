"""Child processes: nothing runs on that nobody waits for."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from kapi import env


def written(pid_file: Path) -> str:
    return pid_file.read_text().strip() if pid_file.exists() else ""


async def started(pid_file: Path) -> int:
    async with asyncio.timeout(10):
        while not written(pid_file):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return int(written(pid_file))


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_output_and_exit_code_are_collected() -> None:
    result = await env.run_process(["sh", "-c", "cat; echo oops >&2; exit 3"], stdin=b"in")
    assert (result.exit_code, result.stdout, result.stderr) == (3, b"in", b"oops\n")


async def test_a_process_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    argv = ["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"]
    with pytest.raises(TimeoutError):
        await env.run_process(argv, timeout=0.5)
    assert not runs(await started(tmp_path / "pid"))


async def test_a_cancelled_call_kills_its_process(tmp_path: Path) -> None:
    argv = ["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"]
    call = env.spawn(env.run_process(argv), "call")
    pid = await started(tmp_path / "pid")
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    assert not runs(pid)
