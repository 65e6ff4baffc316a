"""Each component as one coroutine: made from a client and settings, runs until cancelled.

Imports are inside the functions, as a process pays only for what it runs.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kapi import env
from kapi.cli.settings import ClusterSettings
from kapi.client.client import Client

if TYPE_CHECKING:
    from kapi.proxy.service_proxy import ProxyConfig

_INTERFACES = Path("/sys/class/net")
_BRIDGE_POLL_SECONDS = 0.1


async def run_controllers(
    client_for: Callable[[str], Client],
    settings: ClusterSettings,
    ca_pem: str,
    *,
    leader_elect: bool,
) -> None:
    """The controller manager. Raises LeadershipLost if it loses its lease."""
    from kapi.controllers.manager import ControllerManager, ControllerManagerOptions

    options = ControllerManagerOptions(
        ca_pem=ca_pem,
        cluster_cidr=settings.cluster_cidr,
        service_cidr=settings.service_cidr,
        leader_elect=leader_elect,
        host=socket.gethostname(),
    )
    await ControllerManager(client_for, options).run()


async def run_scheduler(client: Client, *, leader_elect: bool) -> None:
    """The scheduler. Raises LeadershipLost if it loses its lease."""
    from kapi.client.leader_election import (
        LeaderElection,
        LeaderElectionConfig,
        with_identity,
    )
    from kapi.scheduler.scheduler import Scheduler

    async def lead() -> None:
        await Scheduler(client).run()

    if not leader_elect:
        await lead()
        return
    config = LeaderElectionConfig(name="kube-scheduler", identity="")
    config = with_identity(config, socket.gethostname())
    await LeaderElection(client, config).run(lead)


async def run_proxy(client: Client, config: "ProxyConfig") -> None:
    """Service routing on this machine, from the moment that the pods' bridge exists."""
    from kapi.proxy.service_proxy import ServiceProxy

    while config.bridge and not (_INTERFACES / config.bridge).exists():
        await env.sleep(_BRIDGE_POLL_SECONDS)
    await ServiceProxy(client, config).run()


async def run_dns(client: Client, settings: ClusterSettings) -> None:
    """Cluster DNS on this machine."""
    raise NotImplementedError
