"""`kapi up`: from nothing to a cluster with Ready nodes, or the one that was here before."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kapi import env
from kapi.cli import daemons, kubeconfig_file
from kapi.cli.down import stop_all
from kapi.cli.errors import CliError
from kapi.cli.identities import ensure_identities
from kapi.cli.options import DataDirOption, command_of, default_data_dir
from kapi.cli.plan import Wishes, check_port_free, make_plan
from kapi.cli.readiness import Readiness, admin_client
from kapi.cli.settings import ClusterSettings, DataDir, load_settings, save_settings

_READY_SECONDS = 120.0
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class RuntimeChoice(StrEnum):
    """What runs pods."""

    AUTO = "auto"
    DOCKER = "docker"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The command line of `kapi up`. What is not given stays as it was, or gets its default."""

    data_dir: DataDirOption = field(default_factory=default_data_dir)
    nodes: Annotated[int | None, typer.Option(help="Nodes that run pods in Docker.")] = None
    simulated_nodes: Annotated[
        int | None, typer.Option(help="Nodes that only pretend to run pods.")
    ] = None
    etcd_servers: Annotated[
        str, typer.Option(help="etcd v3 URLs, comma separated, instead of SQLite.")
    ] = ""
    runtime: Annotated[RuntimeChoice, typer.Option(help="What runs pods.")] = RuntimeChoice.AUTO
    secure_port: Annotated[int | None, typer.Option(help="Port of the API server [6443].")] = None
    bind_address: Annotated[
        list[str], typer.Option(help="Listen here instead of 127.0.0.1; may be repeated.")
    ] = field(default_factory=list)
    token_auth_file: Annotated[
        str, typer.Option(help='CSV of static tokens: token,user,uid,"group1,group2".')
    ] = ""
    anonymous_auth: Annotated[
        bool | None, typer.Option(help="Anonymous access to health endpoints and /version.")
    ] = None
    service_cidr: Annotated[str, typer.Option(help="Addresses of Services.")] = ""
    cluster_cidr: Annotated[str, typer.Option(help="Addresses of pods.")] = ""
    node_name: Annotated[str, typer.Option(help="Name of the first node [host name].")] = ""
    foreground: Annotated[bool, typer.Option(help="Stay, and take the cluster down on Ctrl-C.")] = (
        False
    )


def run(options: UpOptions) -> None:
    """Start a cluster and return when it can be used; a second call resumes it."""
    data = DataDir(options.data_dir.absolute())
    asyncio.run(_up(data, options))


command = command_of(UpOptions, run)


def _wishes(options: UpOptions) -> Wishes:
    servers = tuple(item.strip() for item in options.etcd_servers.split(",") if item.strip())
    token_file = options.token_auth_file
    return Wishes(
        nodes=options.nodes,
        simulated_nodes=options.simulated_nodes,
        etcd_servers=servers,
        runtime=options.runtime.value,
        secure_port=options.secure_port,
        bind_addresses=tuple(options.bind_address),
        token_auth_file=str(Path(token_file).absolute()) if token_file else "",
        service_cidr=options.service_cidr,
        cluster_cidr=options.cluster_cidr,
        node_name=options.node_name,
        anonymous_auth=options.anonymous_auth,
    )


async def _up(data: DataDir, options: UpOptions) -> None:
    progress = Progress()
    before = load_settings(data)
    running = daemons.find(data, daemons.CONTROL_PLANE) is not None
    if before is not None and running:
        typer.echo(f"kapi is already running in {data.root}; `kapi down` stops it.")
        if _wishes(options) != Wishes():
            typer.echo("The options given here have no effect until it is stopped.")
        settings = before
        if any(daemons.find(data, name) is None for name in _agents(settings)):
            typer.echo("Some of its nodes are not; they are started again.")
    else:
        settings = await _prepare(data, options, before)
        progress.done("certificates and settings")
    since = env.now()
    started = _start_missing(data, settings)
    since = since if started else _EARLIEST
    try:
        await _wait(data, settings, since, progress)
    except (CliError, KeyboardInterrupt, asyncio.CancelledError):
        for name in reversed(started):
            await daemons.stop(data, name)
        raise
    _merge_kubeconfig(data, progress)
    typer.echo(f"The cluster is ready after {progress.elapsed():.1f} s. Try: kubectl get nodes")
    if options.foreground:
        await _stay(data, settings)


async def _prepare(
    data: DataDir, options: UpOptions, before: ClusterSettings | None
) -> ClusterSettings:
    plan = await make_plan(_wishes(options), before)
    for note in plan.notes:
        typer.echo(note)
    settings = plan.settings
    for address in settings.bind_addresses:
        if address != settings.bridge_address:
            check_port_free(address, settings.secure_port)
    try:
        env.make_dir(data.root, 0o700)
        save_settings(data, settings)
        ensure_identities(data, settings)
    except OSError as error:
        raise CliError(f"{error.filename or data.root}: {error.strerror}") from None
    except ValueError as error:
        raise CliError(str(error)) from None
    return settings


def _agents(settings: ClusterSettings) -> list[str]:
    return [daemons.node_agent(name) for name in settings.node_names]


def _start_missing(data: DataDir, settings: ClusterSettings) -> list[str]:
    root, started = str(data.root), []
    wanted = {daemons.CONTROL_PLANE: ["control-plane", root]}
    for node_name in settings.node_names:
        wanted[daemons.node_agent(node_name)] = ["node", root, node_name]
    for name, arguments in wanted.items():
        if daemons.find(data, name) is None:
            daemons.start(data, name, arguments)
            started.append(name)
    return started


def _alive_check(data: DataDir, settings: ClusterSettings) -> Callable[[], None]:
    names = [daemons.CONTROL_PLANE, *_agents(settings)]

    def check() -> None:
        for name in names:
            if daemons.find(data, name) is None:
                tail = daemons.log_tail(data, name)
                raise CliError(f"{name} ended. The end of {data.log_file(name)}:\n{tail}")

    return check


async def _wait(
    data: DataDir, settings: ClusterSettings, since: datetime, progress: "Progress"
) -> None:
    client = admin_client(data.kubeconfig)
    try:
        ready = Readiness(client, _alive_check(data, settings), _READY_SECONDS, since)
        await ready.api_server()
        progress.done(f"API server at {settings.server_url}")
        names = {*settings.node_names, *settings.simulated_node_names}
        await ready.nodes(names)
        progress.done(f"{len(names)} node{'' if len(names) == 1 else 's'} Ready")
        await ready.default_service_account()
    finally:
        await client.close()


def _merge_kubeconfig(data: DataDir, progress: "Progress") -> None:
    target = kubeconfig_file.user_kubeconfig()
    try:
        kubeconfig_file.merge(target, kubeconfig_file.read(data.kubeconfig))
    except (CliError, OSError) as error:
        typer.echo(f"The context was not added to {target}: {error}")
        typer.echo(f"Use it with: export KUBECONFIG={data.kubeconfig}")
        return
    progress.done(f"context {kubeconfig_file.NAME} in {target}")


async def _stay(data: DataDir, settings: ClusterSettings) -> None:
    """Until Ctrl-C, or until a daemon ends; then take everything down."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    check = _alive_check(data, settings)
    typer.echo("Press Ctrl-C to take it down.")
    try:
        while not asked.is_set():
            check()
            try:
                await asyncio.wait_for(asked.wait(), 1.0)
            except TimeoutError:
                continue
    finally:
        await stop_all(data)


class Progress:
    """Says what has been reached, and when."""

    def __init__(self) -> None:
        self._started = env.monotonic()

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return env.monotonic() - self._started

    def done(self, what: str) -> None:
        typer.echo(f" {self.elapsed():5.1f} s  {what}")
