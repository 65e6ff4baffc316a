"""The Docker runtime by itself: streams, logs, namespaces, and an engine that goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from docker_bench import IMAGE, NETWORK, NODE, RAW_CIDR, SCOPE, Bench, container

from kapi import env
from kapi.api.object import condition_of
from kapi.client.client import NODES
from kapi.kubelet.runtime.docker import DockerRuntime
from kapi.kubelet.runtime.interface import (
    ContainerSpec,
    ContainerStartFailed,
    LogOptions,
    RuntimeUnavailable,
    Sandbox,
    SandboxSpec,
)

pytestmark = pytest.mark.e2e
LABELS = {
    "io.kubernetes.pod.name": "raw",
    "io.kubernetes.pod.namespace": "default",
    "io.kubernetes.pod.uid": "raw-uid",
}


class Machine:
    """A runtime with one sandbox."""

    def __init__(self, runtime: DockerRuntime, sandbox: Sandbox, image_id: str) -> None:
        self.runtime = runtime
        self.sandbox = sandbox
        self._image_id = image_id

    async def create(self, *command: str, name: str = "main", **fields: Any) -> str:
        labels = {**LABELS, "io.kubernetes.container.name": name}
        spec = ContainerSpec(name, self._image_id, labels, command=command, **fields)
        return await self.runtime.create_container(self.sandbox.id, spec)

    async def start(self, *command: str, **fields: Any) -> str:
        container_id = await self.create(*command, **fields)
        await self.runtime.start_container(container_id)
        return container_id

    async def log(self, container_id: str, **options: Any) -> bytes:
        pieces = self.runtime.logs(container_id, LogOptions(**options))
        return b"".join([piece async for piece in pieces])


@pytest_asyncio.fixture
async def machine(engine: Any) -> AsyncIterator[Machine]:
    runtime = DockerRuntime("raw-node", network=NETWORK, scope=SCOPE)
    await runtime.update_pod_cidr(RAW_CIDR)
    image = await runtime.find_image(IMAGE)
    assert image is not None
    sandbox = await runtime.run_sandbox(SandboxSpec("raw", "default", "raw-uid", "raw", LABELS))
    yield Machine(runtime, sandbox, image.id)
    await runtime.stop_sandbox(sandbox.id)
    await runtime.remove_sandbox(sandbox.id)
    assert not await runtime.list_sandboxes()
    runtime.close()


async def test_logs_are_raw_lines(machine: Machine) -> None:
    found = await machine.start("sh", "-c", "for i in 1 2 3 4; do echo line $i; done; echo e >&2")
    follow = await machine.log(found, follow=True)
    assert follow.count(b"\n") == 5
    assert await machine.log(found) == follow
    assert await machine.log(found, tail_lines=0) == b""
    assert (await machine.log(found, tail_lines=2)).count(b"\n") == 2
    assert await machine.log(found, limit_bytes=9) == follow[:9]
    stamped = (await machine.log(found, timestamps=True, tail_lines=1)).split(b" ", 1)[0]
    assert len(stamped) == len("2026-01-02T03:04:05.123456789Z")
    later = env.now().replace(year=2100)
    assert await machine.log(found, since=later) == b""


async def test_following_ends_with_the_reader(machine: Machine) -> None:
    found = await machine.start("sh", "-c", "while true; do echo tick; sleep 0.1; done")
    pieces = machine.runtime.logs(found, LogOptions(follow=True))
    async with asyncio.timeout(5):
        assert (await anext(pieces)).startswith(b"tick")
        await pieces.aclose()  # type: ignore[attr-defined]


async def test_exec_carries_both_ways(machine: Machine) -> None:
    found = await machine.start("sleep", "1000")
    script = "echo out; echo err >&2; cat; exit 9"
    stream = await machine.runtime.exec(found, ["sh", "-c", script], stdin=True, tty=False)
    await stream.write(b"x" * 100_000)
    await stream.close_stdin()
    output: dict[int, bytes] = {1: b"", 2: b""}
    async for number, data in stream.output():
        output[number] += data
    assert output == {1: b"out\n" + b"x" * 100_000, 2: b"err\n"}
    assert await stream.exit_code() == 9
    await stream.close()


async def test_a_terminal_merges_its_streams(machine: Machine) -> None:
    found = await machine.start("sleep", "1000")
    stream = await machine.runtime.exec(found, ["sh"], stdin=True, tty=True)
    await stream.resize(100, 40)
    await stream.write(b"echo $((6*7)); exit 3\n")
    text = b"".join([data async for number, data in stream.output() if number == 1])
    assert b"42" in text
    assert await stream.exit_code() == 3
    await stream.close()


async def test_attaching_to_a_running_container(machine: Machine) -> None:
    found = await machine.start("cat", stdin=True, stdin_once=True)
    stream = await machine.runtime.attach(found, stdin=True, tty=False)
    await stream.write(b"hello\n")
    output = stream.output()
    async with asyncio.timeout(5):
        assert await anext(output) == (1, b"hello\n")
        await stream.close_stdin()
        assert [piece async for piece in output] == []
    await stream.close()


async def test_a_listener_on_loopback_is_reached(machine: Machine) -> None:
    await machine.start("nc", "-ll", "-p", "9090", "-e", "cat")

    async def echoed() -> bytes:
        async with machine.runtime.connect(machine.sandbox.id, 9090) as stream:
            await stream.write(b"ping")
            return await stream.read(10)

    for _ in range(50):
        try:
            assert await echoed() == b"ping"
            break
        except ConnectionError:
            await env.sleep(0.1)
    else:
        pytest.fail("nobody listened")
    with pytest.raises(ConnectionRefusedError):
        async with machine.runtime.connect(machine.sandbox.id, 9999):
            pass


async def test_a_bad_command_is_a_failed_start(machine: Machine) -> None:
    found = await machine.create("/no/such/program")
    with pytest.raises(ContainerStartFailed, match="no such file or directory"):
        await machine.runtime.start_container(found)
    (sandbox,) = await machine.runtime.list_sandboxes("raw-uid")
    (broken,) = sandbox.containers
    assert (broken.state, broken.exit_code, broken.reason) == ("exited", 128, "StartError")


async def test_stopping_is_patient_and_then_firm(machine: Machine) -> None:
    deaf = await machine.start("sh", "-c", "trap '' TERM; while true; do sleep 1; done")
    polite = await machine.start("sh", "-c", "trap 'exit 5' TERM; sleep 1000 & wait", name="polite")
    await machine.runtime.stop_container(polite, 10)
    began = env.monotonic()
    await machine.runtime.stop_container(deaf, 1)
    assert env.monotonic() - began >= 1
    (sandbox,) = await machine.runtime.list_sandboxes("raw-uid")
    codes = {found.name: found.exit_code for found in sandbox.containers}
    assert codes == {"main": 137, "polite": 5}
    await machine.runtime.stop_container("0" * 64, 1)
    await machine.runtime.remove_container("0" * 64)


class Door:
    """A socket in front of the engine that can be shut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps = env.TaskScope()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._pass, self.path)

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._pumps.close()
        self.path.unlink(missing_ok=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_unix_connection("/var/run/docker.sock")
        self._writers |= {writer, inner[1]}
        for source, target in ((reader, inner[1]), (inner[0], writer)):
            self._pumps.spawn(self._pump(source, target), "pump")

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()


@asynccontextmanager
async def door(path: Path) -> AsyncIterator[Door]:
    made = Door(path)
    await made.open()
    yield made
    await made.shut()


async def test_an_absent_engine_is_unavailable(tmp_path: Path) -> None:
    runtime = DockerRuntime(NODE, url=f"unix://{tmp_path}/none.sock", network=NETWORK)
    with pytest.raises(RuntimeUnavailable, match="does not answer"):
        await runtime.version()
    with pytest.raises(RuntimeUnavailable):
        await anext(runtime.events())
    runtime.close()


async def test_a_node_says_when_its_engine_is_gone_and_recovers(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.stop()
    async with door(tmp_path / "engine.sock") as engine:
        await bench.start(url=f"unix://{engine.path}")
        await bench.node_ready()
        await bench.create("steady", container("main", "sleep", "1000"))
        before = await bench.wait_ready("steady")
        await engine.shut()

        async def unready() -> bool:
            node = await bench.admin.get(NODES, "", NODE)
            ready = condition_of(node["status"]["conditions"], "Ready")
            return bool(
                ready
                and ready["status"] == "False"
                and ready["message"].startswith("container runtime is down: ")
            )

        await bench.until(unready, "the node to say so")
        await bench.create("late", container("main", "sleep", "1000"))
        await env.sleep(0.5)
        await engine.open()
        await bench.node_ready()
        await bench.wait_ready("late", 30)
        after = await bench.wait_ready("steady")
        ids = [pod["status"]["containerStatuses"][0]["containerID"] for pod in (before, after)]
        assert ids[0] == ids[1]
        await bench.stop()
    await bench.start()
    await bench.node_ready()
