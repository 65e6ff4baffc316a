"""`kapi scheduler`: the scheduler as a process of its own."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from kapi.cli.options import KubeconfigOption, command_of, existing_file
from kapi.cli.process import run_component, run_until_signalled, set_up_logging


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """The command line of `kapi scheduler`."""

    kubeconfig: KubeconfigOption
    leader_elect: Annotated[bool, typer.Option(help="Be one of several, of which one acts.")] = True


def run(options: SchedulerOptions) -> None:
    """Run the scheduler."""
    set_up_logging()
    existing_file(options.kubeconfig)

    async def main(shutdown: asyncio.Event) -> None:
        from kapi.cli.components import run_scheduler
        from kapi.client.client import Client
        from kapi.client.https import HttpsTransport

        client = Client(HttpsTransport.from_kubeconfig(options.kubeconfig), "kube-scheduler")
        await run_component(run_scheduler(client, leader_elect=options.leader_elect), shutdown)

    run_until_signalled(main, fast=True)


command = command_of(SchedulerOptions, run)
