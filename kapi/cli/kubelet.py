"""`kapi kubelet`: the node agent as a process of its own."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

import typer

from kapi.cli.errors import CliError
from kapi.cli.options import (
    DataDirOption,
    KubeconfigOption,
    command_of,
    default_data_dir,
    existing_file,
)
from kapi.cli.process import run_component, run_until_signalled, set_up_logging
from kapi.cli.settings import ClusterSettings, DataDir


@dataclass(frozen=True, slots=True)
class KubeletOptions:
    """The command line of `kapi kubelet`."""

    kubeconfig: KubeconfigOption
    data_dir: DataDirOption = field(default_factory=default_data_dir)
    node_name: Annotated[str, typer.Option(help="Name of the node [host name].")] = ""
    cluster_cidr: Annotated[str, typer.Option(help="Addresses of pods.")] = "10.244.0.0/16"
    service_cidr: Annotated[str, typer.Option(help="Addresses of Services.")] = "10.96.0.0/16"
    cluster_id: Annotated[
        str, typer.Option(help="Marks this cluster's containers on a shared Docker engine.")
    ] = "kapi"


def run(options: KubeletOptions) -> None:
    """Run pods in Docker. The data dir needs the certificates that `kapi apiserver` makes."""
    set_up_logging()
    existing_file(options.kubeconfig)
    data = DataDir(options.data_dir.absolute())
    settings = ClusterSettings(
        cluster_id=options.cluster_id,
        cluster_cidr=options.cluster_cidr,
        service_cidr=options.service_cidr,
    )

    async def main(shutdown: asyncio.Event) -> None:
        from kapi.cli.kubelets import host_name
        from kapi.cli.node_agent import run_docker_node

        node_name = options.node_name or host_name()
        if not (data.pki / f"kubelet-{node_name}.crt").exists():
            raise CliError(
                f"{data.pki} has no certificate for node {node_name}: "
                f"start `kapi apiserver` with --node-name {node_name}"
            )
        running = run_docker_node(data, settings, node_name, options.kubeconfig)
        await run_component(running, shutdown)

    run_until_signalled(main)


command = command_of(KubeletOptions, run)
