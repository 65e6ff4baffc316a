"""`kapi status`: which daemons run, and which nodes are Ready. Exit code 3 if not all do."""

import asyncio
from dataclasses import dataclass, field

import typer

from kapi.api.errors import ApiError
from kapi.api.object import Object, name_of
from kapi.cli import daemons
from kapi.cli.errors import CliError
from kapi.cli.options import DataDirOption, command_of, default_data_dir
from kapi.cli.readiness import admin_client, is_ready
from kapi.cli.settings import ClusterSettings, DataDir, load_settings
from kapi.client.client import NODES

_NOT_RUNNING = 3


@dataclass(frozen=True, slots=True)
class StatusOptions:
    """The command line of `kapi status`."""

    data_dir: DataDirOption = field(default_factory=default_data_dir)


def run(options: StatusOptions) -> None:
    """Show the cluster's processes and nodes."""
    data = DataDir(options.data_dir.absolute())
    settings = load_settings(data)
    if settings is None:
        raise CliError(f"there is no cluster in {data.root}; `kapi up` makes one")
    complete = _show_daemons(data, settings)
    complete = _show_nodes(asyncio.run(_nodes(data))) and complete
    if not complete:
        raise SystemExit(_NOT_RUNNING)


command = command_of(StatusOptions, run)


def _show_daemons(data: DataDir, settings: ClusterSettings) -> bool:
    agents = [daemons.node_agent(name) for name in settings.node_names]
    rows, complete = [], True
    for name in (daemons.CONTROL_PLANE, *agents):
        daemon = daemons.find(data, name)
        complete = complete and daemon is not None
        state = f"running, pid {daemon.pid}" if daemon else "stopped"
        rows.append([name, state, str(data.log_file(name))])
    _table(["PROCESS", "STATE", "LOG"], rows)
    typer.echo(f"API server: {settings.server_url}")
    store = ", ".join(settings.etcd_servers) or str(data.store_file)
    typer.echo(f"Store: {store}")
    return complete


def _show_nodes(nodes: list[Object] | None) -> bool:
    if nodes is None:
        typer.echo("The API server does not answer.")
        return False
    rows = [
        [
            name_of(node),
            "Ready" if is_ready(node) else "NotReady",
            node.get("status", {}).get("nodeInfo", {}).get("containerRuntimeVersion", ""),
        ]
        for node in nodes
    ]
    _table(["NODE", "STATE", "RUNTIME"], rows)
    return all(is_ready(node) for node in nodes)


async def _nodes(data: DataDir) -> list[Object] | None:
    if not data.kubeconfig.exists():
        return None
    client = admin_client(data.kubeconfig)
    try:
        return list((await client.list(NODES)).get("items") or ())
    except (ApiError, ConnectionError):
        return None
    finally:
        await client.close()


def _table(head: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, soft_wrap=True).print(table)
