"""The scheduler against a real API server, in one loop under a virtual clock."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from scheduler_objects import node, pod

from kapi import env
from kapi.api.errors import NotFound
from kapi.api.object import Object, condition_of, is_deleting
from kapi.api.user import UserInfo
from kapi.client.client import EVENTS, NODES, PODS, SERVICES, Client
from kapi.client.in_process import InProcessTransport
from kapi.scheduler.scheduler import Scheduler
from kapi.server.api_server import ApiServer
from kapi.sim.identities import ADMIN, SCHEDULER, api_server_config
from kapi.sim.loop import SimClock, run
from kapi.storage.memory import MemoryStore

CLUSTER_CRITICAL = "system-cluster-critical"
NODE_CRITICAL = "system-node-critical"


class Bench:
    """An API server and a scheduler; no controllers and no kubelets."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.admin = self.client(ADMIN)
        self.scheduler = Scheduler(self.client(SCHEDULER))

    def client(self, user: UserInfo) -> Client:
        return Client(InProcessTransport(self._server.app, user))

    async def add_node(self, name: str, **fields: Any) -> None:
        """A node that is ready: without the taint that every new node gets."""
        made = await self.admin.create(NODES, "", node(name, **fields))
        made["spec"]["taints"] = fields.get("taints", [])
        await self.admin.update(NODES, "", made)

    async def add_pod(self, name: str, **fields: Any) -> None:
        obj = pod(name, **fields)
        del obj["status"], obj["metadata"]["uid"]
        await self.admin.create(PODS, "default", obj)

    async def pod(self, name: str) -> Object:
        return await self.admin.get(PODS, "default", name)

    async def node_of(self, name: str) -> str:
        return str((await self.pod(name))["spec"].get("nodeName") or "")

    async def remove(self, name: str) -> None:
        await self.admin.delete(PODS, "default", name, options={"gracePeriodSeconds": 0})

    async def scheduled_condition(self, name: str) -> Object:
        found = condition_of((await self.pod(name))["status"].get("conditions"), "PodScheduled")
        return found or {}

    async def events(self, name: str) -> list[tuple[str, str]]:
        found = await self.admin.list(EVENTS, "default")
        return [
            (event["reason"], event["message"])
            for event in found["items"]
            if event["involvedObject"]["name"] == name
        ]


def bench(scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def main(clock: SimClock) -> None:
        store = MemoryStore()
        server = ApiServer(store, api_server_config())
        await server.start()
        bench = Bench(server)
        scope = env.TaskScope()
        scope.spawn(bench.scheduler.run(), "scheduler")
        try:
            await env.sleep(0.1)
            await scenario(bench)
        finally:
            await scope.close()
            await server.stop()
            await store.close()

    run(main, 0)


async def eventually(reached: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    end = env.monotonic() + seconds
    while not await reached():
        assert env.monotonic() < end, "not reached in time"
        await env.sleep(0.1)


def test_a_pod_is_bound_and_the_event_says_where() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.add_node("n1")
        await bench.add_pod("a")
        await env.sleep(0.5)
        assert await bench.node_of("a") == "n1"
        assert (await bench.scheduled_condition("a"))["status"] == "True"
        assert await bench.events("a") == [("Scheduled", "Successfully assigned default/a to n1")]

    bench(scenario)


def test_without_nodes_it_waits_for_one() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.add_pod("a")
        await env.sleep(0.5)
        condition = await bench.scheduled_condition("a")
        assert (condition["status"], condition["reason"], condition["message"]) == (
            "False",
            "Unschedulable",
            "no nodes available to schedule pods",
        )
        await bench.add_node("n1")
        await eventually(lambda: is_on(bench, "a", "n1"), 2)

    bench(scenario)


async def is_on(bench: Bench, name: str, where: str) -> bool:
    return await bench.node_of(name) == where


def test_a_full_cluster_says_why_and_goes_on_when_room_is_made() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.add_node("n1", cpu="1")
        await bench.add_node("n2", cpu="1", taints=[{"key": "k", "effect": "NoSchedule"}])
        await bench.add_pod("first", requests={"cpu": "1"})
        await eventually(lambda: is_on(bench, "first", "n1"))
        await bench.add_pod("second", requests={"cpu": "1"})
        await env.sleep(1)
        expected = (
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). "
            "no new claims to deallocate, preemption: 0/2 nodes are available: "
            "1 No preemption victims found for incoming pod, "
            "1 Preemption is not helpful for scheduling."
        )
        assert (await bench.scheduled_condition("second"))["message"] == expected
        assert await bench.events("second") == [("FailedScheduling", expected)]
        uid = (await bench.pod("second"))["metadata"]["uid"]
        assert bench.scheduler.explain(uid) == {
            "n1": ("Insufficient cpu",),
            "n2": ("node(s) had untolerated taint(s)",),
        }
        # Nothing changes, so nothing is tried again for minutes.
        await env.sleep(120)
        assert len(await bench.events("second")) == 1
        await bench.remove("first")
        await eventually(lambda: is_on(bench, "second", "n1"), 2)
        assert bench.scheduler.explain(uid) == {}

    bench(scenario)


def test_gates_and_other_schedulers_are_respected() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.add_node("n1")
        await bench.add_pod("gated", schedulingGates=[{"name": "example.org/wait"}])
        await bench.add_pod("foreign", schedulerName="somebody-else")
        await env.sleep(5)
        assert await bench.node_of("gated") == await bench.node_of("foreign") == ""
        assert await bench.events("gated") == []
        await bench.admin.patch(PODS, "default", "gated", {"spec": {"schedulingGates": None}})
        await eventually(lambda: is_on(bench, "gated", "n1"), 2)
        assert await bench.node_of("foreign") == ""

    bench(scenario)


def test_a_node_label_that_appears_later_wakes_the_pod() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.add_node("n1")
        await bench.add_pod("picky", nodeSelector={"disk": "ssd"})
        await env.sleep(1)
        assert (await bench.scheduled_condition("picky"))["message"].startswith(
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
        )
        await bench.admin.patch(NODES, "", "n1", {"metadata": {"labels": {"disk": "ssd"}}})
        await eventually(lambda: is_on(bench, "picky", "n1"), 3)

    bench(scenario)


def test_host_ports_clash_across_addresses() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.add_node("n1")
        everywhere = [{"containerPort": 80, "hostPort": 80}]
        local = [{"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"}]
        await bench.add_pod("first", ports=everywhere)
        await bench.add_pod("second", ports=local)
        await env.sleep(1)
        assert await bench.node_of("first") == "n1"
        assert "didn't have free ports" in (await bench.scheduled_condition("second"))["message"]

    bench(scenario)


async def is_leaving(bench: Bench, name: str) -> bool:
    try:
        return is_deleting(await bench.pod(name))
    except NotFound:
        return True


def test_preemption() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.add_node("n1", cpu="1")
        await bench.add_node("n2", cpu="1")
        await bench.add_pod("mid", requests={"cpu": "1"}, priorityClassName=CLUSTER_CRITICAL)
        await bench.add_pod("low", requests={"cpu": "1"})
        await env.sleep(1)
        where = await bench.node_of("low")
        assert where and where != await bench.node_of("mid")
        # A finalizer keeps the victim in sight.
        keep = {"metadata": {"finalizers": ["example.org/keep"]}}
        await bench.admin.patch(PODS, "default", "low", keep)
        await bench.add_pod("vip", requests={"cpu": "1"}, priorityClassName=NODE_CRITICAL)
        await eventually(lambda: is_leaving(bench, "low"), 5)
        await env.sleep(1)
        victim = await bench.pod("low")
        target = condition_of(victim["status"]["conditions"], "DisruptionTarget")
        assert target is not None
        assert (target["status"], target["reason"], target["message"]) == (
            "True",
            "PreemptionByScheduler",
            "default-scheduler: preempting to accommodate a higher priority pod",
        )
        vip = await bench.pod("vip")
        assert vip["status"]["nominatedNodeName"] == where
        uid = vip["metadata"]["uid"]
        assert ("Preempted", f"Preempted by pod {uid} on node {where}") in await bench.events("low")
        assert not is_deleting(await bench.pod("mid"))
        # While the victim is still there the vip waits, and nobody lesser takes its place.
        await bench.add_pod("late", requests={"cpu": "1"})
        await bench.admin.patch(PODS, "default", "low", {"metadata": {"finalizers": None}})
        await bench.remove("low")
        await eventually(lambda: is_on(bench, "vip", where), 5)
        assert await bench.node_of("late") == ""

    bench(scenario)


def test_the_pods_of_a_service_are_spread_evenly() -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(25):
            await bench.add_node(f"n{number}", cpu="32", memory="128Gi")
        service = {"selector": {"app": "a"}, "ports": [{"port": 80}]}
        await bench.admin.create(SERVICES, "default", {"metadata": {"name": "a"}, "spec": service})
        for number in range(500):
            await bench.add_pod(f"p{number}", labels={"app": "a"}, requests={"cpu": "100m"})
        await env.sleep(5)
        pods = (await bench.admin.list(PODS, "default"))["items"]
        per_node: dict[str, int] = {}
        for item in pods:
            where = item["spec"]["nodeName"]
            per_node[where] = per_node.get(where, 0) + 1
        assert per_node == {f"n{number}": 20 for number in range(25)}

    bench(scenario)


def test_a_scheduler_that_starts_again_goes_on() -> None:
    async def main(clock: SimClock) -> None:
        store = MemoryStore()
        server = ApiServer(store, api_server_config())
        await server.start()
        bench = Bench(server)
        await bench.add_node("n1", cpu="2")
        for number in range(4):
            await bench.add_pod(f"p{number}", requests={"cpu": "1"})
        scope = env.TaskScope()
        for _ in range(2):
            scope.spawn(Scheduler(bench.client(SCHEDULER)).run(), "scheduler")
            await env.sleep(1)
            await scope.close()
        pods = (await bench.admin.list(PODS, "default"))["items"]
        assert sum(1 for item in pods if item["spec"].get("nodeName")) == 2
        await server.stop()
        await store.close()

    run(main, 0)


def test_what_was_said_about_a_pod_goes_with_it() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.add_node("n1", cpu="1")
        await bench.add_pod("big", requests={"cpu": "8"})
        await env.sleep(1)
        uid = (await bench.pod("big"))["metadata"]["uid"]
        assert bench.scheduler.explain(uid) == {"n1": ("Insufficient cpu",)}
        await bench.remove("big")
        await env.sleep(1)
        assert bench.scheduler.explain(uid) == {}

    bench(scenario)
