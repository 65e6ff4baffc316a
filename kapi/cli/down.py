"""`kapi down`: stops the daemons. Data and running containers stay until told otherwise."""

import asyncio
import shutil
from dataclasses import dataclass, field
from typing import Annotated

import typer

from kapi.cli import daemons, kubeconfig_file
from kapi.cli.errors import CliError
from kapi.cli.options import DataDirOption, command_of, default_data_dir
from kapi.cli.settings import DataDir, load_settings


@dataclass(frozen=True, slots=True)
class DownOptions:
    """The command line of `kapi down`."""

    data_dir: DataDirOption = field(default_factory=default_data_dir)
    delete: Annotated[
        bool, typer.Option("--delete", help="Also delete its containers, data and context.")
    ] = False


def run(options: DownOptions) -> None:
    """Stop the cluster. Its objects and containers stay; `kapi up` resumes it."""
    data = DataDir(options.data_dir.absolute())
    stopped = asyncio.run(stop_all(data))
    if stopped:
        typer.echo(f"Stopped {', '.join(stopped)}.")
    elif not options.delete:
        typer.echo(f"Nothing runs in {data.root}.")
    if options.delete:
        _delete(data)


command = command_of(DownOptions, run)


async def stop_all(data: DataDir) -> list[str]:
    """Stop every daemon, the control plane last; the names of those that were running."""
    return [name for name in daemons.known(data) if await daemons.stop(data, name)]


def _delete(data: DataDir) -> None:
    settings = load_settings(data)
    if settings is None:
        raise CliError(f"there is no cluster in {data.root}")
    if settings.runtime == "docker":
        from kapi.cli.cleanup import clean_machine

        asyncio.run(clean_machine(settings, data))
    kubeconfig_file.remove_context(kubeconfig_file.user_kubeconfig(), data.kubeconfig)
    shutil.rmtree(data.root)
    typer.echo(f"Deleted {data.root}.")
