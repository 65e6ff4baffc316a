"""The harness itself: faults strike, components come back, invariants see what is wrong."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from kapi import env
from kapi.client.interface import Response
from kapi.sim.components import Supervisor
from kapi.sim.faults import CALM, Faults, FaultSwitch, FaultyTransport
from kapi.sim.invariants import (
    PODS_PREFIX,
    AvailabilityFloor,
    InvariantBroken,
    NoOvercommitment,
    Pods,
    bound_once,
)
from kapi.sim.loop import SimClock, run
from kapi.sim.store import ObservedStore, Write


class Server:
    """Counts what reaches it; a stream of it never ends by itself."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    async def request(self, method: str, path: str, **options: Any) -> Response:
        self.requests.append(method)
        return Response(200, {}, b"{}")

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, **options: Mapping[str, str] | None
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                await env.sleep(1)
                yield b"x"

        yield 200, chunks()

    async def close(self) -> None: ...


def through(faults: Faults, method: str) -> tuple[Server, Response | None, int]:
    """One request on its way through these faults: server, answer or None, faults counted."""
    server, switch = Server(), FaultSwitch(faults)

    async def main(clock: SimClock) -> Response | None:
        try:
            return await FaultyTransport(server, switch).request(method, "/x")
        except ConnectionError:
            return None

    return server, run(main, 0), switch.injected


def test_without_faults_everything_passes() -> None:
    server, answer, injected = through(CALM, "PUT")
    assert (server.requests, injected) == (["PUT"], 0)
    assert answer is not None and answer.status == 200


def test_a_refused_request_never_arrives() -> None:
    assert through(Faults(refused=1), "POST")[1] is None
    assert through(Faults(refused=1), "POST")[0].requests == []


def test_a_lost_answer_is_a_request_carried_out() -> None:
    server, answer, injected = through(Faults(answer_lost=1), "POST")
    assert (server.requests, answer, injected) == (["POST"], None, 1)
    assert through(Faults(answer_lost=1), "GET")[1] is not None


def test_conflicts_strike_updates_only() -> None:
    server, answer, _ = through(Faults(conflict=1), "PUT")
    assert server.requests == []
    assert answer is not None and answer.status == 409
    assert orjson.loads(answer.body)["reason"] == "Conflict"
    assert through(Faults(conflict=1), "POST")[0].requests == ["POST"]


def test_watches_break() -> None:
    async def main(clock: SimClock) -> int:
        transport = FaultyTransport(Server(), FaultSwitch(Faults(watch_life=30)))
        seen = 0
        with pytest.raises(ConnectionError, match="broke"):
            async with transport.stream("GET", "/x") as (_, chunks):
                async for _ in chunks:
                    seen += 1
        return seen

    assert len({run(main, seed) for seed in range(5)}) > 1


def test_a_crashed_component_is_made_anew() -> None:
    async def main(clock: SimClock) -> None:
        lives: list[str] = []

        async def live() -> None:
            lives.append("born")
            try:
                await env.sleep(10_000)
            finally:
                lives.append("gone")

        supervisor = Supervisor()
        component = supervisor.add("c", live)
        await env.sleep(1)
        supervisor.crash_one(down_seconds=5)
        await env.sleep(6)
        assert (lives, component.is_up, component.starts) == (["born", "gone", "born"], True, 2)
        supervisor.check()
        await supervisor.close()
        assert lives == ["born", "gone"] * 2

    run(main, 0)


def test_a_component_that_dies_by_itself_is_a_defect() -> None:
    async def main(clock: SimClock) -> None:
        async def die() -> None:
            raise KeyError("oops")

        supervisor = Supervisor()
        supervisor.add("c", die)
        await env.sleep(1)
        with pytest.raises(KeyError, match="oops"):
            supervisor.check()
        await supervisor.close()

    run(main, 0)


def pod(node: str = "", cpu: str = "1", ready: bool = True) -> bytes:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    resources = {"requests": {"cpu": cpu}}
    return orjson.dumps(
        {
            "metadata": {"name": "p", "uid": "u", "labels": {"app": "a"}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "resources": resources}]},
            "status": {"phase": "Running", "conditions": conditions},
        }
    )


def broken_by(check: Any, *writes: tuple[str, bytes | None]) -> InvariantBroken | None:
    pods = Pods()
    pods.checks.append(check)
    for revision, (name, value) in enumerate(writes):
        pods(Write(f"{PODS_PREFIX}default/{name}", value, revision))
    return pods.broken


def test_a_pod_that_moves_is_noticed() -> None:
    assert broken_by(bound_once, ("a", pod("")), ("a", pod("n1")), ("a", pod("n1"))) is None
    moved = broken_by(bound_once, ("a", pod("n1")), ("a", pod("n2")))
    assert moved is not None and "moved from n1 to n2" in str(moved)


def test_a_node_that_is_promised_twice_is_noticed() -> None:
    room = NoOvercommitment({"n1": "2"})
    fitting = [("a", pod("n1")), ("b", pod("n1"))]
    assert broken_by(room, *fitting) is None
    assert broken_by(room, *fitting, ("c", pod("n1"))) is not None
    assert broken_by(room, *fitting, ("b", None), ("c", pod("n1"))) is None


def test_the_floor_counts_only_while_armed() -> None:
    floor = AvailabilityFloor({"app": "a"}, 1)
    assert broken_by(floor, ("a", pod(ready=False))) is None
    floor.armed = True
    assert broken_by(floor, ("a", pod())) is None
    assert broken_by(floor, ("a", pod()), ("a", pod(ready=False))) is not None


def test_the_trace_tells_every_byte() -> None:
    async def main(clock: SimClock) -> list[str]:
        digests: list[str] = []
        for value in (b"1", b"2", b"1"):
            store = ObservedStore()
            await store.create("/k", value)
            digests.append(store.trace_digest())
            await store.close()
        return digests

    one, two, again = run(main, 0)
    assert one == again != two
