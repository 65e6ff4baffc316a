"""What a simulated cluster is used for, each with the promises that must hold all the while."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kapi import env
from kapi.api.object import Object
from kapi.client.client import DEPLOYMENTS, STRATEGIC_MERGE_PATCH, Client
from kapi.sim.cluster import ClusterOptions, SimCluster, running_cluster
from kapi.sim.faults import ROUGH, Faults
from kapi.sim.invariants import AvailabilityFloor
from kapi.sim.loop import SimClock, run

_NAMESPACE = "default"
_NAME = "web"
_LABELS = {"app": "web"}


class DidNotSettle(AssertionError):
    """The cluster did not reach the state asked for, in all the time it was given."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`trace` is equal for equal runs; `lowest` is the fewest pods that were ever available."""

    seed: int
    trace: str
    writes: int
    faults: int
    lowest: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RollingUpdate:
    """A Deployment is updated `rounds` times while things go wrong.

    `floor` None is what the Deployment promises: replicas - max_unavailable. An update may begin
    before the one before it has ended.
    """

    replicas: int = 4
    max_unavailable: int = 1
    max_surge: int = 1
    rounds: int = 2
    faults: Faults = ROUGH
    nodes: int = 3
    floor: int | None = None

    def run(self, seed: int) -> Outcome:
        """Raises InvariantBroken, DidNotSettle, or what ended a component."""
        return run(lambda clock: self._main(clock, seed), seed)

    async def _main(self, clock: SimClock, seed: int) -> Outcome:
        options = ClusterOptions(nodes=self.nodes, faults=self.faults)
        promised = self.replicas - self.max_unavailable
        floor = AvailabilityFloor(_LABELS, promised if self.floor is None else self.floor)
        async with running_cluster(clock, options) as cluster:
            cluster.pods.checks.append(floor)
            await self._use(cluster, floor)
            return Outcome(
                seed,
                cluster.store.trace_digest(),
                cluster.store.writes,
                cluster.switch.injected,
                floor.lowest,
                env.monotonic(),
            )

    async def _use(self, cluster: SimCluster, floor: AvailabilityFloor) -> None:
        admin = cluster.admin
        await until(cluster, "the default service account", lambda: _has_account(admin))
        await admin.create(DEPLOYMENTS, _NAMESPACE, self._deployment())
        await until(cluster, "the first version", lambda: self._is_complete(admin))
        floor.armed = True
        for number in range(self.rounds):
            await admin.patch(
                DEPLOYMENTS,
                _NAMESPACE,
                _NAME,
                {"spec": {"template": {"spec": {"containers": [_container(number + 2)]}}}},
                content_type=STRATEGIC_MERGE_PATCH,
            )
            await env.sleep(env.random().random() * 20)
        await until(cluster, "the last version", lambda: self._is_complete(admin))
        await cluster.calm_down()
        await until(cluster, "calm", lambda: self._is_quiet(cluster))
        cluster.check()

    def _deployment(self) -> Object:
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": _NAME},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": _LABELS},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {
                        "maxUnavailable": self.max_unavailable,
                        "maxSurge": self.max_surge,
                    },
                },
                "template": {
                    "metadata": {"labels": _LABELS},
                    "spec": {"containers": [_container(1)], "terminationGracePeriodSeconds": 1},
                },
            },
        }

    async def _is_complete(self, admin: Client) -> bool:
        deployment = await admin.get(DEPLOYMENTS, _NAMESPACE, _NAME)
        status = deployment.get("status") or {}
        counts = [status.get(n) for n in ("replicas", "updatedReplicas", "availableReplicas")]
        observed = status.get("observedGeneration", 0)
        return counts == [self.replicas] * 3 and observed >= deployment["metadata"]["generation"]

    async def _is_quiet(self, cluster: SimCluster) -> bool:
        """Complete, and exactly the pods of the last version are left."""
        image = _container(self.rounds + 1)["image"]
        pods = cluster.pods.matching(_LABELS)
        return (
            await self._is_complete(cluster.admin)
            and len(pods) == self.replicas
            and all(pod["spec"]["containers"][0]["image"] == image for pod in pods)
        )


def _container(version: int) -> Object:
    return {
        "name": "web",
        "image": f"example.org/web:{version}",
        "resources": {"requests": {"cpu": "500m"}},
    }


async def _has_account(admin: Client) -> bool:
    accounts = await admin.request("GET", f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts")
    return bool(accounts["items"])


async def until(
    cluster: SimCluster,
    what: str,
    reached: Callable[[], Awaitable[bool]],
    *,
    limit: float = 3600.0,
) -> None:
    """Wait in virtual time. Raises DidNotSettle, or what ended a component meanwhile."""
    end = env.monotonic() + limit
    while True:
        cluster.check()
        if await reached():
            return
        if env.monotonic() > end:
            raise DidNotSettle(f"{what} was not reached in {limit:.0f} s")
        await env.sleep(1.0)
