"""`kapi apiserver`: the API server as a process of its own."""

import asyncio
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from kapi import env
from kapi.cli.errors import CliError
from kapi.cli.options import DataDirOption, command_of, default_data_dir
from kapi.cli.process import calm_collector, run_until_signalled, set_up_logging
from kapi.cli.settings import ClusterSettings, DataDir


@dataclass(frozen=True, slots=True)
class ApiServerOptions:
    """The command line of `kapi apiserver`."""

    data_dir: DataDirOption = field(default_factory=default_data_dir)
    etcd_servers: Annotated[
        str, typer.Option(help="etcd v3 URLs, comma separated, instead of SQLite.")
    ] = ""
    secure_port: Annotated[int, typer.Option(help="Port to listen on.")] = 6443
    bind_address: Annotated[
        list[str], typer.Option(help="Address to listen on; may be repeated.")
    ] = field(default_factory=lambda: ["127.0.0.1"])
    advertise_address: Annotated[
        str, typer.Option(help="Where pods reach the server [first bind address].")
    ] = ""
    service_cidr: Annotated[str, typer.Option(help="Addresses of Services.")] = "10.96.0.0/16"
    cluster_cidr: Annotated[str, typer.Option(help="Addresses of pods.")] = "10.244.0.0/16"
    token_auth_file: Annotated[
        str, typer.Option(help='CSV of static tokens: token,user,uid,"group1,group2".')
    ] = ""
    anonymous_auth: Annotated[
        bool, typer.Option(help="Anonymous access to health endpoints and /version.")
    ] = True
    node_name: Annotated[
        list[str], typer.Option(help="Make a kubeconfig for this node; may be repeated.")
    ] = field(default_factory=list)


def run(options: ApiServerOptions) -> None:
    """Run an API server. Certificates and the components' kubeconfigs appear in the data dir."""
    set_up_logging()
    data = DataDir(options.data_dir.absolute())
    settings = _settings(options)

    async def main(shutdown: asyncio.Event) -> None:
        from kapi.cli.components import ensure_dns_objects
        from kapi.cli.control_plane import ADDON_MANAGER, running_api_server
        from kapi.cli.identities import ensure_identities
        from kapi.client.client import Client
        from kapi.client.in_process import InProcessTransport
        from kapi.server.engine import Application

        env.make_dir(data.root, 0o700)
        if not env.hold_lock(data.lock_file):
            raise CliError(f"another process uses {data.root}")
        pki = ensure_identities(data, settings)
        async with running_api_server(settings, data, pki) as server:
            scope = env.TaskScope()
            app: Application = server.app
            addons = Client(InProcessTransport(app, ADDON_MANAGER), "addon-manager")
            scope.spawn(ensure_dns_objects(addons, settings), "cluster DNS objects")
            calm_collector()
            try:
                await shutdown.wait()
            finally:
                await scope.close()

    run_until_signalled(main, fast=True)


command = command_of(ApiServerOptions, run)


def _settings(options: ApiServerOptions) -> ClusterSettings:
    servers = tuple(item.strip() for item in options.etcd_servers.split(",") if item.strip())
    token_file = options.token_auth_file
    return ClusterSettings(
        node_names=tuple(options.node_name) or (socket.gethostname().lower(),),
        secure_port=options.secure_port,
        bind_addresses=tuple(options.bind_address),
        advertise_address=options.advertise_address or options.bind_address[0],
        service_cidr=options.service_cidr,
        cluster_cidr=options.cluster_cidr,
        etcd_servers=servers,
        token_auth_file=str(Path(token_file).absolute()) if token_file else "",
        anonymous_auth=options.anonymous_auth,
    )
