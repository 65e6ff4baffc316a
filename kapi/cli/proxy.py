"""`kapi proxy`: service routing as a process of its own."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

import typer

from kapi.cli.options import KubeconfigOption, command_of, existing_file
from kapi.cli.process import run_component, run_until_signalled, set_up_logging


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """The command line of `kapi proxy`."""

    kubeconfig: KubeconfigOption
    node_name: Annotated[
        list[str], typer.Option(help="A node of this machine [host name]; may be repeated.")
    ] = field(default_factory=list)
    cluster_cidr: Annotated[str, typer.Option(help="Addresses of pods.")] = "10.244.0.0/16"
    service_cidr: Annotated[str, typer.Option(help="Addresses of Services.")] = "10.96.0.0/16"
    bridge: Annotated[str, typer.Option(help="The device that pods are attached to.")] = "kapi0"
    cleanup: Annotated[bool, typer.Option("--cleanup", help="Remove the packet rules and end.")] = (
        False
    )


def run(options: ProxyOptions) -> None:
    """Route Services on this machine."""
    set_up_logging()
    existing_file(options.kubeconfig)

    async def main(shutdown: asyncio.Event) -> None:
        from kapi.cli.components import run_proxy
        from kapi.cli.kubelets import host_name
        from kapi.client.client import Client
        from kapi.client.https import HttpsTransport
        from kapi.proxy.service_proxy import ProxyConfig, ServiceProxy

        config = ProxyConfig(
            node_names=tuple(options.node_name) or (host_name(),),
            cluster_cidr=options.cluster_cidr,
            service_cidrs=(options.service_cidr,),
            bridge=options.bridge,
        )
        client = Client(HttpsTransport.from_kubeconfig(options.kubeconfig), "kube-proxy")
        if options.cleanup:
            await ServiceProxy(client, config).cleanup()
            return
        await run_component(run_proxy(client, config), shutdown)

    run_until_signalled(main)


command = command_of(ProxyOptions, run)
