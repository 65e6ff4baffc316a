"""Every component as a process of its own, and what a kill -9 of each of them does: nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Daemons, Etcd
from harness import Client, eventually, kapi_command, run
from tour import (
    BUSYBOX,
    Asking,
    container_id,
    containers,
    deploy,
    docker,
    expose,
    pod_names,
    pods,
    rolled_out,
    until_answered_by,
    wait_for_phase,
)

_COMPONENTS = ("controller-manager", "scheduler", "kubelet", "proxy", "dns")


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    started = Etcd(tmp_path_factory.mktemp("etcd"))
    started.start()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def daemons(
    tmp_path_factory: pytest.TempPathFactory, images: None, etcd: Etcd
) -> Iterator[Daemons]:
    started = Daemons(tmp_path_factory.mktemp("daemons"), ("--etcd-servers", etcd.url))
    try:
        started.start("apiserver", *_COMPONENTS)
        yield started
    finally:
        started.stop()
        _clean(started.data)


def _clean(data: Path) -> None:
    """Takes off the machine what only `kapi down --delete` would: rules, containers, network."""
    proxy = ("--kubeconfig", data / "kubeconfigs" / "proxy.kubeconfig", "--cleanup")
    run([*kapi_command(), "proxy", *proxy])
    if left := docker("ps", "-aq", "--filter", "label=kapi.scope=kapi").split():
        docker("rm", "-f", *left)
    run(["docker", "network", "rm", "kapi"], check=False)


@pytest.fixture(scope="module")
def kubectl(daemons: Daemons) -> Client:
    """The administrator in one namespace for the whole file, with a Deployment and a Service."""
    daemons.kubectl("create", "namespace", "apart")
    kubectl = daemons.kubectl.within("apart")
    eventually(lambda: " Ready " in kubectl("get", "nodes"), timeout_s=60, what=daemons.logs())
    deploy(kubectl)
    expose(kubectl)
    return kubectl


@pytest.fixture
def address(kubectl: Client) -> str:
    return kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")


def _running(kubectl: Client) -> dict[str, set[str]]:
    """The running containers of every Pod of the Deployment."""
    return {item["metadata"]["name"]: containers(item["metadata"]["uid"]) for item in pods(kubectl)}


def test_a_deployment_is_reached_by_address_and_name(kubectl: Client, address: str) -> None:
    until_answered_by(address, pod_names(kubectl))
    ask = ("wget", "-q", "-O", "-", "http://web.apart.svc.cluster.local/")
    kubectl("run", "asker", f"--image={BUSYBOX}", "--restart=Never", "--", *ask)
    wait_for_phase(kubectl, "asker", "Succeeded")
    assert kubectl("logs", "asker").split()[1] in pod_names(kubectl)
    assert kubectl("exec", "deploy/web", "--", "cat", "/version") == "v1\n"


def _scaled(kubectl: Client, address: str, replicas: int) -> None:
    kubectl("scale", "deployment", "web", f"--replicas={replicas}")
    rolled_out(kubectl)
    eventually(lambda: len(pod_names(kubectl)) == replicas, what=f"{replicas} pods")
    until_answered_by(address, pod_names(kubectl))
    ask = ("exec", "deploy/web", "--", "wget", "-q", "-O", "-", "http://web/")
    eventually(lambda: kubectl(*ask, check=False).startswith("v1 "), what="an answer by name")


@pytest.mark.parametrize("victim", ["apiserver", *_COMPONENTS])
def test_a_killed_component_comes_back_to_the_same_cluster(
    victim: str, daemons: Daemons, kubectl: Client, address: str
) -> None:
    _scaled(kubectl, address, 3)
    before = _running(kubectl)
    with Asking(address) as asking:
        daemons.kill(victim)
        eventually(lambda: len(asking.answers) > 20)
        daemons.start(victim)
        eventually(lambda: kubectl.run("get", "nodes", check=False).returncode == 0)
        # It takes up its work: what is wanted now needs all of them.
        _scaled(kubectl, address, 4)
        after = _running(kubectl)
    assert asking.failures == []
    assert {name: after[name] for name in before} == before
    restarts = [item["status"]["containerStatuses"][0]["restartCount"] for item in pods(kubectl)]
    assert restarts == [0, 0, 0, 0]


def test_what_happens_while_a_component_is_dead_is_made_good(
    daemons: Daemons, kubectl: Client, address: str
) -> None:
    _scaled(kubectl, address, 2)
    hurt, whole = pods(kubectl)
    daemons.kill("kubelet")
    docker("kill", container_id(hurt))
    kubectl("delete", "pod", whole["metadata"]["name"], "--wait=false")
    daemons.start("kubelet")
    eventually(lambda: not containers(whole["metadata"]["uid"], every=True), timeout_s=40)
    rolled_out(kubectl)
    (name,) = {item["metadata"]["name"] for item in pods(kubectl)} & {hurt["metadata"]["name"]}
    found = kubectl.json("get", "pod", name)["status"]["containerStatuses"][0]
    assert found["restartCount"] == 1
    until_answered_by(address, pod_names(kubectl))


def test_a_killed_etcd_comes_back(
    daemons: Daemons, etcd: Etcd, kubectl: Client, address: str
) -> None:
    _scaled(kubectl, address, 2)
    before = _running(kubectl)
    etcd.kill()
    etcd.start()
    eventually(lambda: kubectl.run("create", "configmap", "new", check=False).returncode == 0)
    _scaled(kubectl, address, 3)
    after = _running(kubectl)
    assert {name: after[name] for name in before} == before


def test_everything_is_killed_at_once(
    daemons: Daemons, etcd: Etcd, kubectl: Client, address: str
) -> None:
    _scaled(kubectl, address, 2)
    before = _running(kubectl)
    with Asking(address) as asking:
        for victim in (*_COMPONENTS, "apiserver"):
            daemons.kill(victim)
        etcd.kill()
        eventually(lambda: len(asking.answers) > 20)
        etcd.start()
        daemons.start("apiserver", *_COMPONENTS)
        _scaled(kubectl, address, 3)
    assert asking.failures == []
    after = _running(kubectl)
    assert {name: after[name] for name in before} == before
    kubectl("delete", "deployment", "web")
    eventually(lambda: not kubectl("get", "pods", "-l", "app=web", "-o", "name"))
