"""A cluster in one loop: API server, controllers, scheduler, nodes, each as its own user."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kapi import env
from kapi.api.user import UserInfo
from kapi.client.client import Client
from kapi.controllers.manager import ControllerManager
from kapi.scheduler.scheduler import Scheduler
from kapi.server.api_server import ApiServer
from kapi.sim.components import Supervisor
from kapi.sim.faults import CALM, Faults, FaultSwitch, FaultyTransport, chaos
from kapi.sim.identities import (
    ADMIN,
    SCHEDULER,
    api_server_config,
    controller_user,
    in_process,
    node_user,
)
from kapi.sim.invariants import NoOvercommitment, Pods, bound_once
from kapi.sim.loop import SimClock
from kapi.sim.nodes import SimNode
from kapi.sim.store import ObservedStore


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    nodes: int = 3
    node_cpu: str = "4"
    faults: Faults = CALM


@dataclass(slots=True)
class SimCluster:
    """A running cluster. `admin` is a client that nothing goes wrong with."""

    clock: SimClock
    store: ObservedStore
    server: ApiServer
    switch: FaultSwitch
    admin: Client
    pods: Pods
    supervisor: Supervisor = field(default_factory=Supervisor)
    tasks: env.TaskScope = field(default_factory=env.TaskScope)

    def client_for(self, user: UserInfo) -> Client:
        """A component's client, with the faults in force on its way."""
        transport = FaultyTransport(in_process(self.server, user), self.switch)
        return Client(transport, user.name.rpartition(":")[2])

    async def calm_down(self) -> None:
        """No more faults, and everything up again."""
        self.switch.faults = CALM
        await self.supervisor.settle()

    def check(self) -> None:
        """Raises if an invariant was broken or a component ended by itself."""
        if self.pods.broken is not None:
            raise self.pods.broken
        self.supervisor.check()


@asynccontextmanager
async def running_cluster(clock: SimClock, options: ClusterOptions) -> AsyncIterator[SimCluster]:
    """Start everything, in the order in which a real cluster starts; stop it all on the way out."""
    store = ObservedStore()
    server = ApiServer(store, api_server_config())
    await server.start()
    names = [f"node-{number}" for number in range(options.nodes)]
    pods = Pods()
    pods.checks += [bound_once, NoOvercommitment(dict.fromkeys(names, options.node_cpu))]
    store.observers.append(pods)
    admin = Client(in_process(server, ADMIN))
    cluster = SimCluster(clock, store, server, FaultSwitch(options.faults), admin, pods)
    try:
        _start_components(cluster, names, options)
        down = options.faults.down_seconds
        cluster.tasks.spawn(
            chaos(cluster.switch, lambda: cluster.supervisor.crash_one(down), clock.jump), "chaos"
        )
        yield cluster
    finally:
        await cluster.tasks.close()
        await cluster.supervisor.close()
        await server.stop()
        await store.close()


def _start_components(cluster: SimCluster, names: list[str], options: ClusterOptions) -> None:
    async def run_controllers() -> None:
        await ControllerManager(lambda name: cluster.client_for(controller_user(name))).run()

    async def run_scheduler() -> None:
        await Scheduler(cluster.client_for(SCHEDULER)).run()

    cluster.supervisor.add("controller-manager", run_controllers)
    cluster.supervisor.add("scheduler", run_scheduler)
    for name in names:
        client = cluster.client_for(node_user(name))
        cluster.supervisor.add(name, SimNode(name, client, options.node_cpu).run)
