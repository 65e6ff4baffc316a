"""The pytest plugin gives a test a cluster that real clients can use."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]

A_TEST = """
import asyncio
from kapi.client.client import DEPLOYMENTS, PODS, Client
from kapi.client.https import HttpsTransport

LABELS = {"app": "web"}
DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "c", "image": "none"}]},
        },
    },
}


async def run_pods(kubeconfig):
    client = Client(HttpsTransport.from_kubeconfig(kubeconfig))
    try:
        await client.create(DEPLOYMENTS, "default", DEPLOYMENT)
        async with asyncio.timeout(20):
            while True:
                pods = (await client.list(PODS, "default"))["items"]
                if [pod["status"]["phase"] for pod in pods] == ["Running"] * 3:
                    return
                await asyncio.sleep(0.05)
    finally:
        await client.close()


def test_pods_run(kapi_cluster):
    asyncio.run(run_pods(kapi_cluster.kubeconfig))


def test_the_cluster_is_shared(kapi_cluster):
    assert kapi_cluster.server.startswith("https://127.0.0.1:")
"""


def _pytest(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(textwrap.dedent(text))
    # As an installed kapi would be loaded by its entry point, which a source tree has not.
    already = "import importlib.metadata as m; print('kapi' in {d.name for d in m.distributions()})"
    installed = subprocess.run(
        [sys.executable, "-c", already], capture_output=True, text=True, check=True
    ).stdout.strip()
    load = [] if installed == "True" else ["-p", "kapi.testing.plugin"]
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *load]
    return subprocess.run(
        [*argv, "--rootdir", str(directory), str(directory)],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_a_deployment_runs_on_the_fixture(tmp_path: Path) -> None:
    result = _pytest(tmp_path, A_TEST)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


def test_loading_the_plugin_costs_nothing(tmp_path: Path) -> None:
    text = """
        import sys

        def test_nothing_of_kapi_is_loaded():
            loaded = {name for name in sys.modules if name.startswith("kapi")}
            assert loaded <= {"kapi", "kapi.testing", "kapi.testing.plugin"}
    """
    result = _pytest(tmp_path, text)
    assert result.returncode == 0, result.stdout + result.stderr
