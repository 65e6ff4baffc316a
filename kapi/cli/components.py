"""Each component as one coroutine: made from a client and settings, runs until cancelled.

Imports are inside the functions, as a process pays only for what it runs.
"""

import logging
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kapi import env
from kapi.cli.settings import DNS_PORT, ClusterSettings
from kapi.client.client import Client

if TYPE_CHECKING:
    from kapi.dns.server import DnsConfig
    from kapi.proxy.service_proxy import ProxyConfig

_log = logging.getLogger(__name__)

_INTERFACES = Path("/sys/class/net")
_BRIDGE_POLL_SECONDS = 0.1
_ADDON_RETRY_SECONDS = 5.0


@cache
def _identity() -> str:
    """This process in leader election, in upstream's form.

    A component that lost its lease (the store was away) and is run again in the same process takes
    it back at once; with a new name it would wait for its own lease to expire.
    """
    return f"{socket.gethostname()}_{env.uuid4()}"


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
        identity=_identity(),
    )
    await ControllerManager(client_for, options).run()


async def run_scheduler(client: Client, *, leader_elect: bool) -> None:
    """The scheduler. Raises LeadershipLost if it loses its lease."""
    from kapi.client.leader_election import LeaderElection, LeaderElectionConfig
    from kapi.scheduler.scheduler import Scheduler

    async def lead() -> None:
        await Scheduler(client).run()

    if not leader_elect:
        await lead()
        return
    config = LeaderElectionConfig(name="kube-scheduler", identity=_identity())
    await LeaderElection(client, config).run(lead)


async def run_proxy(client: Client, config: "ProxyConfig") -> None:
    """Service routing on this machine, from the moment that the pods' bridge exists."""
    from kapi.proxy.service_proxy import ServiceProxy

    await _until_interface(config.bridge)
    await ServiceProxy(client, config).run()


async def run_dns(client: Client, config: "DnsConfig", bridge: str = "") -> None:
    """Cluster DNS on this machine; with `bridge`, from the moment that the device exists."""
    from kapi.dns.server import DnsServer

    await _until_interface(bridge)
    await DnsServer(client, config).run()


async def _until_interface(name: str) -> None:
    while name and not (_INTERFACES / name).exists():
        await env.sleep(_BRIDGE_POLL_SECONDS)


async def ensure_dns_objects(client: Client, settings: ClusterSettings) -> None:
    """The kube-dns Service and the rights of cluster DNS; tries until it works."""
    from kapi.api.errors import ApiError
    from kapi.dns.service import ensure_access, ensure_service

    while True:
        try:
            await ensure_access(client)
            await ensure_service(client, settings.bridge_address, DNS_PORT, settings.dns_service_ip)
            return
        except (ApiError, ConnectionError) as error:
            _log.warning("the Service kube-dns: %s", error)
        await env.sleep(_ADDON_RETRY_SECONDS)
