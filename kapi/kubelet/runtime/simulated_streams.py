"""What comes out of a simulated container: log lines, and exec and attach streams."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

from kapi import env
from kapi.kubelet.runtime.interface import LogOptions
from kapi.kubelet.runtime.simulated_process import Behaviour

NOTICE = "kapi: this container is simulated; nothing runs in it\n"
EXEC_REFUSED = "kapi: the runtime of this node is simulated and cannot run commands\n"
EXEC_REFUSED_CODE = 126


class SimulatedStream:
    """A stream with all of its output known beforehand; what is written to it goes nowhere."""

    def __init__(
        self, *, stdout: str = "", stderr: str = "", exit_code: int | None, seconds: float = 0.0
    ) -> None:
        self._pieces: list[tuple[Literal[1, 2], bytes]] = []
        if stdout:
            self._pieces.append((1, stdout.encode()))
        if stderr:
            self._pieces.append((2, stderr.encode()))
        self._exit_code = exit_code
        self._seconds = seconds

    async def output(self) -> AsyncIterator[tuple[Literal[1, 2], bytes]]:
        for piece in self._pieces:
            yield piece
        await self._finish()

    async def write(self, data: bytes) -> None:
        """Nobody reads it."""

    async def close_stdin(self) -> None:
        """Nobody reads it."""

    async def resize(self, width: int, height: int) -> None:
        """There is no terminal."""

    async def exit_code(self) -> int | None:
        await self._finish()
        return self._exit_code

    async def close(self) -> None:
        """Nothing to release."""

    async def _finish(self) -> None:
        seconds, self._seconds = self._seconds, 0.0
        if seconds:
            await env.sleep(seconds)


LogLine = tuple[datetime, str]


def printed_lines(
    behaviour: Behaviour, start: datetime | None, end: datetime | None
) -> list[LogLine]:
    """What a process started at `start` has printed by `end`, or by now."""
    if start is None:
        return []
    end = end or env.now()
    lines = [(start, NOTICE)]
    for seconds, text in behaviour.output:
        moment = start + timedelta(seconds=seconds)
        if moment <= end:
            lines.append((moment, f"{text}\n"))
    return lines


def selected_lines(lines: Sequence[LogLine], options: LogOptions) -> list[bytes]:
    """The lines asked for, in bytes, within the byte limit."""
    if options.since is not None:
        lines = [line for line in lines if line[0] >= options.since]
    if options.tail_lines is not None:
        lines = lines[len(lines) - min(options.tail_lines, len(lines)) :]
    left = options.limit_bytes
    found: list[bytes] = []
    for moment, text in lines:
        data = (f"{_nanoseconds(moment)} {text}" if options.timestamps else text).encode()
        if left is not None:
            data = data[:left]
            left -= len(data)
        if data:
            found.append(data)
    return found


def _nanoseconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def until_next_line(behaviour: Behaviour, start: datetime | None) -> float:
    """Seconds until something can have changed, at most one."""
    if start is None:
        return 1.0
    passed = (env.now() - start).total_seconds()
    waits = [at - passed for at, _ in behaviour.output if at > passed]
    return max(min([*waits, 1.0]), 0.001)
