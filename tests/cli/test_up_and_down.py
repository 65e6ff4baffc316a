"""`kapi up` in real processes, with simulated nodes: start, resume, crash, stop."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kapi.api.object import condition_of
from kapi.cli import daemons
from kapi.cli.settings import DataDir
from kapi.client.client import DEPLOYMENTS, NODES, PODS, Client
from kapi.client.https import HttpsTransport

ROOT = Path(__file__).parents[2]
LABELS = {"app": "web"}
DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "c", "image": "none"}]},
        },
    },
}


def _environment(directory: Path) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    return {**os.environ, "PYTHONPATH": paths, "KUBECONFIG": str(directory / "kubeconfig")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Kapi = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kapi(tmp_path: Path) -> Iterator[Kapi]:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        name, *options = arguments
        argv = [sys.executable, "-m", "kapi.cli", name, "--data-dir", str(tmp_path / "data")]
        return subprocess.run(
            [*argv, *options],
            env=_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    yield run
    run("down")


def _ask(kubeconfig: Path, what: Callable[[Client], Any]) -> Any:
    async def ask() -> Any:
        client = Client(HttpsTransport.from_kubeconfig(kubeconfig))
        try:
            return await what(client)
        finally:
            await client.close()

    return asyncio.run(ask())


async def _until_running(client: Client) -> list[str]:
    async with asyncio.timeout(20):
        while True:
            pods = (await client.list(PODS, "default"))["items"]
            if [pod["status"].get("phase") for pod in pods] == ["Running"] * 2:
                return sorted(pod["metadata"]["uid"] for pod in pods)
            await asyncio.sleep(0.05)


def test_a_cluster_starts_resumes_and_survives_a_crash(kapi: Kapi, tmp_path: Path) -> None:
    port, data = _free_port(), DataDir(tmp_path / "data")
    first = kapi("up", "--runtime", "simulated", "--nodes", "2", "--secure-port", str(port))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "2 nodes Ready" in first.stdout
    context = tmp_path / "kubeconfig"
    assert context.stat().st_mode & 0o777 == 0o600

    async def create(client: Client) -> list[str]:
        await client.create(DEPLOYMENTS, "default", DEPLOYMENT)
        return await _until_running(client)

    pods = _ask(context, create)
    again = kapi("up")
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert "no effect" not in again.stdout
    assert "no effect" in kapi("up", "--nodes", "3").stdout

    second = kapi("apiserver", "--secure-port", str(_free_port()))
    assert second.returncode == 1
    assert second.stderr.endswith(f"another process uses {data.root}\n")

    control_plane = daemons.find(data, daemons.CONTROL_PLANE)
    assert control_plane is not None
    os.kill(control_plane.pid, signal.SIGKILL)
    assert kapi("status").returncode == 3
    resumed = kapi("up")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert _ask(context, _until_running) == pods
    assert kapi("status").returncode == 0

    stopped = kapi("down")
    assert "Stopped control-plane" in stopped.stdout
    assert kapi("up").returncode == 0
    assert _ask(context, _until_running) == pods
    deleted = kapi("down", "--delete")
    assert deleted.returncode == 0, deleted.stderr
    assert not data.root.exists()
    assert "kapi" not in context.read_text().split()


def test_a_control_plane_that_cannot_start_says_why(kapi: Kapi) -> None:
    options = ("--runtime", "simulated", "--secure-port", str(_free_port()))
    failed = kapi("up", *options, "--token-auth-file", "/does/not/exist")
    assert failed.returncode == 1
    assert "token file /does/not/exist cannot be read" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_control_plane_as_separate_processes(tmp_path: Path) -> None:
    data, port = DataDir(tmp_path / "data"), _free_port()
    running = [
        _start(tmp_path, "apiserver", "--data-dir", str(data.root), "--secure-port", str(port))
    ]
    try:
        _ask_until_ready(data.kubeconfig)
        for name in ("controller-manager", "scheduler"):
            kubeconfig = str(data.component_kubeconfig(name))
            running.append(_start(tmp_path, name, "--kubeconfig", kubeconfig))
        bound = _ask(data.kubeconfig, _bind_a_deployment)
        assert bound == ["by-hand", "by-hand"]
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            assert process.wait(timeout=20) == 0


def _start(directory: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    with (directory / f"{arguments[0]}.log").open("wb") as log:
        argv = [sys.executable, "-m", "kapi.cli", *arguments]
        return subprocess.Popen(argv, env=_environment(directory), stdout=log, stderr=log)


def _ask_until_ready(kubeconfig: Path) -> None:
    async def ready(client: Client) -> None:
        await client.request("GET", "/readyz", accept="*/*")

    async def wait() -> None:
        async with asyncio.timeout(20):
            while True:
                if os.path.exists(kubeconfig):  # noqa: ASYNC240
                    client = Client(HttpsTransport.from_kubeconfig(kubeconfig))
                    try:
                        return await ready(client)
                    except ConnectionError:
                        pass
                    finally:
                        await client.close()
                await asyncio.sleep(0.05)

    asyncio.run(wait())


async def _bind_a_deployment(client: Client) -> list[str]:
    """A node that no kubelet stands behind takes pods all the same, as its status says Ready."""
    size = {"cpu": "4", "memory": "8Gi", "pods": "20"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    node = {"metadata": {"name": "by-hand"}}
    await client.create(NODES, "", node)
    status = {"status": {"capacity": size, "allocatable": size, "conditions": [ready]}}
    await client.patch(NODES, "", "by-hand", status, subresource="status")
    await client.create(DEPLOYMENTS, "default", DEPLOYMENT)
    async with asyncio.timeout(25):
        while True:
            pods = (await client.list(PODS, "default"))["items"]
            scheduled = [
                condition_of(pod["status"].get("conditions"), "PodScheduled") for pod in pods
            ]
            if len(pods) == 2 and all(item and item["status"] == "True" for item in scheduled):
                return [pod["spec"]["nodeName"] for pod in pods]
            await asyncio.sleep(0.1)
