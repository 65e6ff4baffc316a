"""The simulated runtime: life cycles, addresses, exits, logs and exec, under a virtual clock."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from kapi import env
from kapi.kubelet.runtime.interface import (
    Container,
    ContainerSpec,
    ContainerStartFailed,
    LogOptions,
    Runtime,
    RuntimeFailure,
    SandboxSpec,
)
from kapi.kubelet.runtime.simulated import SimulatedRuntime
from kapi.kubelet.runtime.simulated_process import FOREVER, Behaviour, behaviour_of
from kapi.sim.loop import SimClock, run


def simulate(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def clocked(clock: SimClock) -> None:
        await main()

    run(clocked, 0)


def sandbox_spec(uid: str = "u", *, host_network: bool = False) -> SandboxSpec:
    return SandboxSpec(uid, "default", uid, uid, {"uid": uid}, host_network=host_network)


def container_spec(*command: str, env_: Sequence[tuple[str, str]] = ()) -> ContainerSpec:
    return ContainerSpec("main", "sha256:1", {"a": "b"}, command=command, environment=tuple(env_))


async def started(runtime: SimulatedRuntime, *command: str) -> str:
    sandbox = await runtime.run_sandbox(sandbox_spec())
    container = await runtime.create_container(sandbox.id, container_spec(*command))
    await runtime.start_container(container)
    return container


async def only_container(runtime: SimulatedRuntime) -> Container:
    (sandbox,) = await runtime.list_sandboxes()
    (container,) = sandbox.containers
    return container


def test_it_is_a_runtime() -> None:
    runtime: Runtime = SimulatedRuntime()
    assert runtime.name == "simulated"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["true"], Behaviour(0)),
        (["/bin/false"], Behaviour(0, 1)),
        (["sleep", "5"], Behaviour(5)),
        (["sleep", "1m", "2"], Behaviour(62)),
        (["sleep", "infinity"], FOREVER),
        (["sh", "-c", "exit 3"], Behaviour(0, 3)),
        (["/bin/sh", "-ec", "sleep 2; exit 4"], Behaviour(2, 4)),
        (["sh", "-c", "false && sleep 9; exit"], Behaviour(0, 1)),
        (["sh", "-c", "false || sleep 9"], Behaviour(9)),
        (
            ["sh", "-c", "echo one; sleep 1; echo 'two  x'"],
            Behaviour(1, 0, ((0, "one"), (1, "two  x"))),
        ),
        (["sh", "-c", "while true; do sleep 1; done"], FOREVER),
        (["sh", "-c", "exec sleep 3"], Behaviour(3)),
        (["nginx", "-g", "daemon off;"], FOREVER),
        (["sh", "-c", "ls | wc"], FOREVER),
        ([], FOREVER),
    ],
)
def test_commands_are_guessed(command: list[str], expected: Behaviour) -> None:
    assert behaviour_of(command) == expected


def test_environment_variables_decide_over_the_command() -> None:
    environment = [("KAPI_SIMULATED_RUN_SECONDS", "7"), ("KAPI_SIMULATED_EXIT_CODE", "9")]
    assert behaviour_of(["nginx"], environment) == Behaviour(7, 9)
    assert behaviour_of(["nginx"], environment[1:]) == Behaviour(0, 9)


def test_a_container_starts_runs_and_ends_on_the_clock() -> None:
    async def main() -> None:
        runtime = SimulatedRuntime("10.1.0.0/24", start_seconds=0.5)
        await started(runtime, "sh", "-c", "sleep 10; exit 3")
        assert env.monotonic() == 0.5
        running = await only_container(runtime)
        assert (running.state, running.started_at) == ("running", env.now())
        await env.sleep(9.9)
        assert (await only_container(runtime)).state == "running"
        await env.sleep(0.2)
        ended = await only_container(runtime)
        assert (ended.state, ended.exit_code) == ("exited", 3)
        assert ended.finished_at is not None and ended.started_at is not None
        assert (ended.finished_at - ended.started_at).total_seconds() == pytest.approx(10)

    simulate(main)


@pytest.mark.parametrize(("grace", "code"), [(30, 143), (1, 137), (0, 137)])
def test_stopping(grace: int, code: int) -> None:
    async def main() -> None:
        runtime = SimulatedRuntime("10.1.0.0/24", stop_seconds=3)
        container = await started(runtime)
        await runtime.stop_container(container, grace)
        ended = await only_container(runtime)
        assert (ended.state, ended.exit_code) == ("exited", code)

    simulate(main)


def test_addresses_come_from_the_range_and_return_to_it() -> None:
    async def main() -> None:
        runtime = SimulatedRuntime()
        with pytest.raises(RuntimeFailure, match="no pod CIDR"):
            await runtime.run_sandbox(sandbox_spec())
        await runtime.update_pod_cidr("10.1.0.0/29")
        boxes = [await runtime.run_sandbox(sandbox_spec(f"u{i}")) for i in range(5)]
        assert [box.ips for box in boxes] == [(f"10.1.0.{i}",) for i in range(2, 7)]
        with pytest.raises(RuntimeFailure, match="no free address"):
            await runtime.run_sandbox(sandbox_spec("more"))
        await runtime.stop_sandbox(boxes[2].id)
        await runtime.stop_sandbox(boxes[2].id)
        assert (await runtime.run_sandbox(sandbox_spec("more"))).ips == boxes[2].ips
        host = await runtime.run_sandbox(sandbox_spec("host", host_network=True))
        assert host.ips == ()

    simulate(main)


def test_removal_leaves_nothing() -> None:
    async def main() -> None:
        runtime = SimulatedRuntime("10.1.0.0/24", start_seconds=0)
        container = await started(runtime, "sleep", "60")
        (sandbox,) = await runtime.list_sandboxes("u")
        await runtime.remove_sandbox(sandbox.id)
        await runtime.remove_sandbox(sandbox.id)
        assert await runtime.list_sandboxes() == []
        assert await runtime.list_sandboxes("u") == []
        with pytest.raises(ContainerStartFailed):
            await runtime.start_container(container)
        # The timer of the removed container must not fire.
        await env.sleep(120)

    simulate(main)


def test_the_newest_comes_first() -> None:
    async def main() -> None:
        runtime = SimulatedRuntime("10.1.0.0/24")
        old = await runtime.run_sandbox(sandbox_spec())
        new = await runtime.run_sandbox(sandbox_spec())
        first = await runtime.create_container(new.id, container_spec())
        second = await runtime.create_container(new.id, container_spec())
        boxes = await runtime.list_sandboxes("u")
        assert [box.id for box in boxes] == [new.id, old.id]
        assert [container.id for container in boxes[0].containers] == [second, first]

    simulate(main)


def test_events_tell_what_happened() -> None:
    async def main() -> None:
        runtime = SimulatedRuntime("10.1.0.0/24")
        seen: list[str] = []

        async def read() -> None:
            async for event in runtime.events():
                seen.append(f"{event.pod_uid} {event.what}")

        scope = env.TaskScope()
        scope.spawn(read(), "events")
        await started(runtime, "sleep", "1")
        await env.sleep(5)
        await scope.close()
        assert seen == ["u start", "u die"]

    simulate(main)


def test_images_are_always_there_once_pulled() -> None:
    async def main() -> None:
        runtime = SimulatedRuntime()
        assert await runtime.find_image("a:1") is None
        image = await runtime.pull_image("a:1", None)
        assert await runtime.find_image("a:1") == image
        assert await runtime.find_image(image.id) == image
        assert await runtime.list_images() == [image]

    simulate(main)


async def log(runtime: SimulatedRuntime, container: str, **options: Any) -> list[str]:
    return [line.decode() async for line in runtime.logs(container, LogOptions(**options))]


def test_logs() -> None:
    async def main() -> None:
        runtime = SimulatedRuntime("10.1.0.0/24", start_seconds=0)
        container = await started(runtime, "sh", "-c", "echo one; sleep 5; echo two; sleep 5")
        notice = "kapi: this container is simulated; nothing runs in it\n"
        assert await log(runtime, container) == [notice, "one\n"]
        assert await log(runtime, container, follow=True) == [notice, "one\n", "two\n"]
        assert env.monotonic() >= 10
        assert await log(runtime, container, tail_lines=1) == ["two\n"]
        assert await log(runtime, container, tail_lines=0) == []
        assert await log(runtime, container, limit_bytes=4) == ["kapi"]
        stamped = await log(runtime, container, timestamps=True, tail_lines=1)
        assert stamped == ["2026-01-01T00:00:05.000000000Z two\n"]

    simulate(main)


def test_exec_says_that_nothing_can_run() -> None:
    async def main() -> None:
        runtime = SimulatedRuntime("10.1.0.0/24")
        container = await started(runtime)
        stream = await runtime.exec(container, ["hostname"], stdin=False, tty=False)
        pieces = [piece async for piece in stream.output()]
        assert [number for number, _ in pieces] == [2]
        assert b"simulated" in pieces[0][1]
        assert await stream.exit_code() == 126
        probe = await runtime.exec(container, ["true"], stdin=False, tty=False)
        assert [piece async for piece in probe.output()] == []
        assert await probe.exit_code() == 0

    simulate(main)


def test_nothing_listens() -> None:
    async def main() -> None:
        runtime = SimulatedRuntime("10.1.0.0/24")
        with pytest.raises(ConnectionError, match="simulated"):
            async with runtime.connect("x", 80):
                pass

    simulate(main)
