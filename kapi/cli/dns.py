"""`kapi dns`: cluster DNS as a process of its own."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from kapi.cli.options import KubeconfigOption, command_of, existing_file
from kapi.cli.process import run_component, run_until_signalled, set_up_logging
from kapi.cli.settings import CLUSTER_DOMAIN, DNS_PORT, ClusterSettings


@dataclass(frozen=True, slots=True)
class DnsOptions:
    """The command line of `kapi dns`."""

    kubeconfig: KubeconfigOption
    listen_address: Annotated[str, typer.Option(help="Where to listen [the pod bridge].")] = ""
    listen_port: Annotated[int, typer.Option(help="Port, for UDP and TCP.")] = DNS_PORT
    cluster_domain: Annotated[str, typer.Option(help="The zone to answer for.")] = CLUSTER_DOMAIN
    cluster_cidr: Annotated[str, typer.Option(help="Addresses of pods.")] = "10.244.0.0/16"
    service_cidr: Annotated[str, typer.Option(help="Addresses of Services.")] = "10.96.0.0/16"
    bridge: Annotated[
        str, typer.Option(help="Wait for this device before listening; empty does not.")
    ] = "kapi0"


def run(options: DnsOptions) -> None:
    """Answer DNS queries for Services, and forward all others."""
    set_up_logging()
    existing_file(options.kubeconfig)
    settings = ClusterSettings(cluster_cidr=options.cluster_cidr, service_cidr=options.service_cidr)
    address = options.listen_address or settings.bridge_address

    async def main(shutdown: asyncio.Event) -> None:
        from kapi.cli.components import run_dns
        from kapi.client.client import Client
        from kapi.client.https import HttpsTransport
        from kapi.dns.server import DnsConfig

        config = DnsConfig(
            cluster_domain=options.cluster_domain,
            listen=((address, options.listen_port),),
            service_ip=settings.dns_service_ip,
        )
        client = Client(HttpsTransport.from_kubeconfig(options.kubeconfig), "kube-dns")
        await run_component(run_dns(client, config, options.bridge), shutdown)

    run_until_signalled(main)


command = command_of(DnsOptions, run)
