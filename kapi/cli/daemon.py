"""`python -m kapi.cli.daemon ROLE DATA_DIR [NODE]`: the processes that `kapi up` starts.

No command-line library here: a daemon takes its settings from `<data-dir>/cluster.json`.
"""

import asyncio
import gc
import logging
import sys
from pathlib import Path

from kapi.cli.errors import CliError
from kapi.cli.process import run_until_signalled, set_up_logging
from kapi.cli.settings import ClusterSettings, DataDir, load_settings

_log = logging.getLogger("kapi")


def main(arguments: list[str]) -> int:
    """Run one daemon; returns its exit code."""
    # Nothing that is made while modules load is garbage; `calm_collector` turns it on again.
    gc.disable()
    set_up_logging()
    try:
        role, root, *names = arguments
        data = DataDir(Path(root))
        settings = load_settings(data)
        if settings is None:
            raise CliError(f"there is no cluster in {root}")
        _run(role, data, settings, names)
    except CliError as error:
        _log.error("%s", error)
        return 1
    except Exception:
        _log.exception("the daemon ends")
        return 1
    return 0


def _run(role: str, data: DataDir, settings: ClusterSettings, names: list[str]) -> None:
    if role == "control-plane":
        from kapi.cli.control_plane_daemon import run_control_plane

        async def control_plane(shutdown: asyncio.Event) -> None:
            await run_control_plane(data, settings, shutdown)

        run_until_signalled(control_plane, fast=True)
        return
    if role == "node":
        from kapi.cli.node_agent import run_node_agent

        (node_name,) = names

        async def node(shutdown: asyncio.Event) -> None:
            await run_node_agent(data, settings, node_name, shutdown)

        run_until_signalled(node)
        return
    raise CliError(f"unknown daemon {role!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
