"""Run a command in a container and collect what it prints: for probes and hooks."""

from collections.abc import Sequence
from contextlib import aclosing

from kapi.kubelet.runtime.interface import Runtime

_OUTPUT_MAX = 10 * 1024


async def exec_command(
    runtime: Runtime, container_id: str, command: Sequence[str]
) -> tuple[int, str]:
    """(exit code, first 10 KiB of output). Raises RuntimeFailure."""
    stream = await runtime.exec(container_id, command, stdin=False, tty=False)
    output = b""
    try:
        pieces = stream.output()
        async with aclosing(pieces):  # type: ignore[type-var]
            async for _, data in pieces:
                output += data[: _OUTPUT_MAX - len(output)]
        code = await stream.exit_code()
    finally:
        await stream.close()
    return code or 0, output.decode(errors="replace")
