"""The whole kubelet on the simulated runtime, with a real API server, under a virtual clock."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from kapi import env
from kapi.api.errors import NotFound
from kapi.api.object import Object, condition_of
from kapi.client.client import (
    EVENTS,
    LEASES,
    NODES,
    PODS,
    STRATEGIC_MERGE_PATCH,
    Client,
)
from kapi.client.in_process import InProcessTransport
from kapi.client.informer import Informer
from kapi.kubelet.config import KubeletConfig
from kapi.kubelet.kubelet import Kubelet, KubeletSources
from kapi.kubelet.probes.prober import AssumedHealthy
from kapi.kubelet.runtime.interface import Sandbox
from kapi.kubelet.runtime.simulated import SimulatedRuntime
from kapi.kubelet.sources import SharedSource, node_of_pod
from kapi.server.api_server import ApiServer
from kapi.sim.identities import ADMIN, api_server_config
from kapi.sim.loop import SimClock, run
from kapi.storage.memory import MemoryStore

ROOM = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "10Gi"}


def config(name: str, **fields: Any) -> KubeletConfig:
    return KubeletConfig(
        node_name=name,
        data_dir="/nowhere",
        pod_cidr="10.20.0.0/24",
        manage_volumes=False,
        capacity=ROOM,
        resync_seconds=0,
        cluster_dns=("10.96.0.10",),
        **fields,
    )


class Bench:
    def __init__(self, server: ApiServer) -> None:
        self.client = Client(InProcessTransport(server.app, ADMIN))
        self.scope = env.TaskScope()

    def start(self, kubelet: Kubelet) -> None:
        self.scope.spawn(kubelet.run(), f"kubelet {kubelet.config.node_name}")

    async def node_is(self, name: str, status: str) -> None:
        async def reached() -> bool:
            try:
                node = await self.client.get(NODES, "", name)
            except NotFound:
                return False
            ready = condition_of(node["status"].get("conditions"), "Ready")
            return bool(ready and ready["status"] == status)

        await self.until(reached)

    async def until(self, reached: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        end = env.monotonic() + seconds
        while not await reached():
            assert env.monotonic() < end, "not reached in time"
            await env.sleep(0.1)

    async def add_pod(self, name: str, node: str, **spec: Any) -> Object:
        body = {
            "metadata": {"name": name},
            "spec": {
                "nodeName": node,
                "automountServiceAccountToken": False,
                "containers": [{"name": "main", "image": "app:1"}],
                **spec,
            },
        }
        return await self.client.create(PODS, "default", body)

    async def ready(self, name: str) -> Object:
        found: Object = {}

        async def reached() -> bool:
            nonlocal found
            found = await self.client.get(PODS, "default", name)
            ready = condition_of(found["status"].get("conditions"), "Ready")
            return bool(ready and ready["status"] == "True")

        await self.until(reached)
        return found

    async def gone(self, name: str) -> None:
        async def reached() -> bool:
            try:
                await self.client.get(PODS, "default", name)
            except NotFound:
                return True
            return False

        await self.until(reached)


def simulate(scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def main(clock: SimClock) -> None:
        store = MemoryStore()
        server = ApiServer(store, api_server_config())
        await server.start()
        bench = Bench(server)
        try:
            await scenario(bench)
        finally:
            await bench.scope.close()
            await server.stop()
            await store.close()

    run(main, 7)


def test_a_node_registers_and_lives() -> None:
    async def scenario(bench: Bench) -> None:
        bench.start(Kubelet(bench.client, config("n1"), SimulatedRuntime()))
        await bench.node_is("n1", "True")
        node = await bench.client.get(NODES, "", "n1")
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
        assert node["status"]["capacity"]["cpu"] == "4"
        assert node["status"]["allocatable"]["memory"] == "8092Mi"
        assert node["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
        await env.sleep(1)
        first = await bench.client.get(LEASES, "kube-node-lease", "n1")
        await env.sleep(25)
        later = await bench.client.get(LEASES, "kube-node-lease", "n1")
        assert later["spec"]["renewTime"] > first["spec"]["renewTime"]
        assert first["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
        quiet = await bench.client.get(NODES, "", "n1")
        await env.sleep(60)
        assert (await bench.client.get(NODES, "", "n1"))["metadata"]["resourceVersion"] == (
            quiet["metadata"]["resourceVersion"]
        )
        events = await bench.client.list(EVENTS, "default")
        reasons = [event["reason"] for event in events["items"]]
        assert "Starting" in reasons
        assert "NodeReady" in reasons

    simulate(scenario)


def test_pods_come_and_go() -> None:
    async def scenario(bench: Bench) -> None:
        bench.start(
            Kubelet(bench.client, config("n1"), SimulatedRuntime(), prober=AssumedHealthy())
        )
        await bench.node_is("n1", "True")
        probe = {"httpGet": {"port": 80}}
        await bench.add_pod(
            "a",
            "n1",
            containers=[{"name": "main", "image": "app:1", "readinessProbe": probe}],
        )
        pod = await bench.ready("a")
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["podIP"].startswith("10.20.0.")
        await bench.client.delete(PODS, "default", "a")
        await bench.gone("a")

    simulate(scenario)


def test_many_nodes_share_one_watch() -> None:
    async def scenario(bench: Bench) -> None:
        informer = Informer(bench.client, PODS)
        bench.scope.spawn(informer.run(), "pods")
        shared = SharedSource(informer, node_of_pod)
        for number in range(5):
            name = f"n{number}"
            bench.start(
                Kubelet(
                    bench.client,
                    config(name),
                    SimulatedRuntime(),
                    sources=KubeletSources(pods=shared.part(name)),
                )
            )
        for number in range(5):
            await bench.node_is(f"n{number}", "True")
            await bench.add_pod(f"p{number}", f"n{number}")
        for number in range(5):
            await bench.ready(f"p{number}")

    simulate(scenario)


def test_a_pod_that_is_too_big_fails_at_the_door() -> None:
    async def scenario(bench: Bench) -> None:
        bench.start(Kubelet(bench.client, config("n1"), SimulatedRuntime()))
        await bench.node_is("n1", "True")
        big = {"name": "m", "image": "i:1", "resources": {"requests": {"cpu": "5"}}}
        await bench.add_pod("big", "n1", containers=[big])

        async def failed() -> bool:
            pod = await bench.client.get(PODS, "default", "big")
            return bool(pod["status"].get("reason") == "OutOfcpu")

        await bench.until(failed)
        await bench.client.delete(PODS, "default", "big")
        await bench.gone("big")

    simulate(scenario)


def test_a_crash_loop_waits_longer_each_time() -> None:
    async def scenario(bench: Bench) -> None:
        runtime = SimulatedRuntime()
        bench.start(Kubelet(bench.client, config("n1"), runtime))
        await bench.node_is("n1", "True")
        crash = {"name": "main", "image": "app:1", "command": ["sh", "-c", "sleep 1; exit 1"]}
        pod = await bench.add_pod("loop", "n1", containers=[crash])
        starts: dict[str, datetime] = {}
        end = env.monotonic() + 400
        while env.monotonic() < end:
            for sandbox in await runtime.list_sandboxes(pod["metadata"]["uid"]):
                for found in sandbox.containers:
                    if found.started_at is not None:
                        starts.setdefault(found.id, found.started_at)
            await env.sleep(0.2)
        moments = sorted(starts.values())
        pauses = [
            round((after - before).total_seconds() - 1) for before, after in pairwise(moments)
        ]
        assert pauses == [0, 10, 20, 40, 80, 160]
        status = (await bench.client.get(PODS, "default", "loop"))["status"]
        assert status["containerStatuses"][0]["restartCount"] == len(pauses)

    simulate(scenario)


def test_an_idle_pod_costs_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        runtime = CountingRuntime()
        bench.start(Kubelet(bench.client, config("n1"), runtime))
        await bench.node_is("n1", "True")
        await bench.add_pod("quiet", "n1")
        await bench.ready("quiet")
        await env.sleep(5)
        looked = runtime.looked
        await env.sleep(600)
        assert runtime.looked == looked
        patch = {"status": {"conditions": [{"type": "example.com/x", "status": "True"}]}}
        await bench.client.patch(
            PODS,
            "default",
            "quiet",
            patch,
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="status",
        )
        await env.sleep(5)
        assert runtime.looked == looked

    simulate(scenario)


class CountingRuntime(SimulatedRuntime):
    """Counts how often it is asked what runs."""

    looked = 0

    async def list_sandboxes(self, pod_uid: str = "") -> Sequence[Sandbox]:
        self.looked += 1
        return await super().list_sandboxes(pod_uid)


def test_a_resize_that_does_not_fit_waits_for_room() -> None:
    async def scenario(bench: Bench) -> None:
        bench.start(Kubelet(bench.client, config("n1"), SimulatedRuntime()))
        await bench.node_is("n1", "True")

        def main(cpu: str) -> Object:
            return {"name": "main", "image": "i:1", "resources": {"requests": {"cpu": cpu}}}

        await bench.add_pod("grows", "n1", containers=[main("1")])
        await bench.add_pod("full", "n1", containers=[main("2")])
        await bench.ready("grows")
        await bench.ready("full")
        await bench.client.patch(
            PODS,
            "default",
            "grows",
            {"spec": {"containers": [main("3")]}},
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="resize",
        )

        async def shown() -> tuple[str, str]:
            status = (await bench.client.get(PODS, "default", "grows"))["status"]
            pending = condition_of(status["conditions"], "PodResizePending") or {}
            allocated = status["containerStatuses"][0]["allocatedResources"]["cpu"]
            return str(pending.get("reason", "")), str(allocated)

        async def deferred() -> bool:
            return await shown() == ("Deferred", "1")

        async def given() -> bool:
            return await shown() == ("", "3")

        await bench.until(deferred)
        await bench.client.delete(PODS, "default", "full")
        await bench.until(given)

    simulate(scenario)
