"""What a container's command would do, guessed without running it.

Enough of a shell is understood for the commands that tests and examples use: `sleep 5`, `true`,
`sh -c 'echo hello; sleep 2; exit 3'`. Everything else is taken for a server: it runs until it is
stopped. Two environment variables decide instead of the command:

    KAPI_SIMULATED_RUN_SECONDS   how long the process runs (absent: see KAPI_SIMULATED_EXIT_CODE)
    KAPI_SIMULATED_EXIT_CODE     how it ends; without a time to run, at once
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

RUN_SECONDS = "KAPI_SIMULATED_RUN_SECONDS"
EXIT_CODE = "KAPI_SIMULATED_EXIT_CODE"

_SHELLS = ("sh", "bash", "ash", "dash")
_SEPARATORS = re.compile(r"\s*(;|&&|\|\||\n)\s*")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`run_seconds` None: for ever. `output`: lines with the seconds after the start."""

    run_seconds: float | None = None
    exit_code: int = 0
    output: tuple[tuple[float, str], ...] = ()


FOREVER = Behaviour()


@dataclass(slots=True)
class _Shell:
    """A script being walked through: time passed, status of the last command, what was printed."""

    clock: float = 0.0
    status: int = 0
    endless: bool = False
    exited: bool = False
    output: list[tuple[float, str]] = field(default_factory=list)

    def result(self) -> Behaviour:
        seconds = None if self.endless else self.clock
        return Behaviour(seconds, self.status, tuple(self.output))


def behaviour_of(command: Sequence[str], environment: Sequence[tuple[str, str]] = ()) -> Behaviour:
    """What a process with this command line and environment does."""
    settings = dict(environment)
    if RUN_SECONDS in settings or EXIT_CODE in settings:
        seconds = _number(settings.get(RUN_SECONDS, "0"))
        code = int(_number(settings.get(EXIT_CODE, "0")) or 0)
        return Behaviour(seconds, code)
    shell = _Shell()
    _run(shell, list(command))
    return shell.result()


def _run(shell: _Shell, words: list[str]) -> None:
    """One command with its arguments."""
    if not words:
        shell.endless = True
        return
    name, arguments = words[0].rpartition("/")[2], words[1:]
    if name in _SHELLS and len(arguments) >= 2 and "c" in arguments[0].lstrip("-"):
        _run_script(shell, arguments[1])
    elif name in ("true", ":"):
        shell.status = 0
    elif name == "false":
        shell.status = 1
    elif name == "echo":
        shell.output.append((shell.clock, " ".join(arguments)))
        shell.status = 0
    elif name == "exit":
        shell.status = int(_number(arguments[0]) or 0) & 255 if arguments else shell.status
        shell.exited = True
    elif name == "sleep" and arguments:
        _sleep(shell, arguments)
    elif name == "exec" and arguments:
        _run(shell, arguments)
        shell.exited = True
    else:
        shell.endless = True


def _sleep(shell: _Shell, arguments: list[str]) -> None:
    for text in arguments:
        seconds = _number(text)
        if seconds is None:
            shell.endless = True
            return
        shell.clock += seconds
    shell.status = 0


def _run_script(shell: _Shell, script: str) -> None:
    parts = _SEPARATORS.split(script.strip())
    joiner = ";"
    for part in parts:
        if part in (";", "&&", "||", "\n"):
            joiner = part
            continue
        skipped = (joiner == "&&" and shell.status != 0) or (joiner == "||" and shell.status == 0)
        if not part or skipped:
            continue
        _run(shell, _words(part))
        if shell.exited or shell.endless:
            return


def _words(text: str) -> list[str]:
    """The words of a simple command; empty for one this guesser cannot read."""
    if any(mark in text for mark in ("|", ">", "<", "`", "$(", "&")):
        return []
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _number(text: str) -> float | None:
    """Seconds, with sleep's units; None for `infinity` and everything that is no number."""
    factor = _UNITS.get(text[-1:], 0.0)
    try:
        value = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
