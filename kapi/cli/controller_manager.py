"""`kapi controller-manager`: the controllers as a process of their own."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from kapi.cli.options import KubeconfigOption, command_of, existing_file
from kapi.cli.process import run_component, run_until_signalled, set_up_logging
from kapi.cli.settings import ClusterSettings


@dataclass(frozen=True, slots=True)
class ControllerManagerCommandOptions:
    """The command line of `kapi controller-manager`."""

    kubeconfig: KubeconfigOption
    cluster_cidr: Annotated[str, typer.Option(help="Addresses of pods.")] = "10.244.0.0/16"
    service_cidr: Annotated[str, typer.Option(help="Addresses of Services.")] = "10.96.0.0/16"
    leader_elect: Annotated[bool, typer.Option(help="Be one of several, of which one acts.")] = True


def run(options: ControllerManagerCommandOptions) -> None:
    """Run the controllers."""
    set_up_logging()
    existing_file(options.kubeconfig)
    settings = ClusterSettings(cluster_cidr=options.cluster_cidr, service_cidr=options.service_cidr)

    async def main(shutdown: asyncio.Event) -> None:
        from kapi.cli.components import run_controllers
        from kapi.cli.controller_clients import client_factory
        from kapi.client.kubeconfig import load_kubeconfig
        from kapi.controllers.manager import MANAGER

        config = load_kubeconfig(options.kubeconfig)
        client_for = client_factory(config, MANAGER)
        elect = options.leader_elect
        running = run_controllers(client_for, settings, config.ca_pem, leader_elect=elect)
        await run_component(running, shutdown)

    run_until_signalled(main, fast=True)


command = command_of(ControllerManagerCommandOptions, run)
