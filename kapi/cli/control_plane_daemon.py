"""The control-plane process of `kapi up`: API server, controllers, scheduler, simulated nodes.

All in one loop. Components reach the API server by calling it in process, each under the identity
it would have as a process of its own, so the same permissions apply.
"""

import asyncio

from kapi import env
from kapi.auth.pki import ClusterPki
from kapi.cli.components import ensure_dns_objects, run_controllers, run_scheduler
from kapi.cli.control_plane import (
    ADDON_MANAGER,
    KUBE_CONTROLLER_MANAGER,
    KUBE_SCHEDULER,
    controller_user,
    running_api_server,
)
from kapi.cli.errors import CliError
from kapi.cli.identities import ensure_identities
from kapi.cli.process import calm_collector, keep_running
from kapi.cli.settings import ClusterSettings, DataDir
from kapi.client.client import Client
from kapi.client.in_process import InProcessTransport
from kapi.controllers.manager import MANAGER
from kapi.server.engine import Application


async def run_control_plane(
    data: DataDir, settings: ClusterSettings, shutdown: asyncio.Event
) -> None:
    """Until `shutdown` is set. Raises CliError if another process uses the data directory."""
    if not env.hold_lock(data.lock_file):
        raise CliError(f"another process uses {data.root}")
    pki = ensure_identities(data, settings)
    async with running_api_server(settings, data, pki) as server:
        scope = env.TaskScope()
        try:
            start_components(scope, server.app, settings, pki)
            calm_collector()
            await shutdown.wait()
        finally:
            await scope.close()


def start_components(
    scope: env.TaskScope, app: Application, settings: ClusterSettings, pki: ClusterPki
) -> None:
    """Start everything that `settings` wants beside the API server `app`, in `scope`."""
    ca_pem = pki.ca.cert_pem
    # With SQLite there is exactly one control plane, so there is nobody to elect among.
    leader_elect = bool(settings.etcd_servers)

    def controller_client(name: str) -> Client:
        user = KUBE_CONTROLLER_MANAGER if name == MANAGER else controller_user(name)
        return Client(InProcessTransport(app, user), name)

    async def controllers() -> None:
        await run_controllers(controller_client, settings, ca_pem, leader_elect=leader_elect)

    async def scheduler() -> None:
        client = Client(InProcessTransport(app, KUBE_SCHEDULER), "kube-scheduler")
        await run_scheduler(client, leader_elect=leader_elect)

    components = {"controller manager": controllers, "scheduler": scheduler}
    if settings.node_names:
        addons = Client(InProcessTransport(app, ADDON_MANAGER), "addon-manager")
        scope.spawn(ensure_dns_objects(addons, settings), "cluster DNS objects")
    if settings.simulated_nodes:
        from kapi.cli.simulated_nodes import run_simulated_nodes

        async def simulated_nodes() -> None:
            await run_simulated_nodes(app, settings, pki)

        components["simulated nodes"] = simulated_nodes
    for name, component in components.items():
        scope.spawn(keep_running(name, component), name)
