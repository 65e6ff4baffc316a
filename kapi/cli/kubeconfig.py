"""`kapi kubeconfig`: prints the administrator's kubeconfig."""

from dataclasses import dataclass, field

import typer

from kapi import env
from kapi.cli.options import DataDirOption, command_of, default_data_dir, existing_file
from kapi.cli.settings import DataDir


@dataclass(frozen=True, slots=True)
class KubeconfigOptions:
    """The command line of `kapi kubeconfig`."""

    data_dir: DataDirOption = field(default_factory=default_data_dir)


def run(options: KubeconfigOptions) -> None:
    """Print a kubeconfig with administrator rights."""
    path = existing_file(DataDir(options.data_dir.absolute()).kubeconfig)
    typer.echo(env.read_text(path), nl=False)


command = command_of(KubeconfigOptions, run)
