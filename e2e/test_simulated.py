"""The tour where there is no Docker: pods that only pretend to run."""

import time
from collections.abc import Iterator

import pytest
from harness import Client, Cluster, eventually
from tour import (
    BUSYBOX,
    WEB_2,
    deploy,
    expose,
    pod_names,
    pods,
    rolled_out,
    wait_for_phase,
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two simulated nodes, no engine, no packet rules."""
    options = ("--runtime", "simulated", "--simulated-nodes", "2")
    started = Cluster(tmp_path_factory.mktemp("cluster"), options)
    try:
        started.up()
        yield started
    finally:
        started.delete()


def test_the_tour_with_simulated_pods(kubectl: Client) -> None:
    assert kubectl("get", "nodes", "--no-headers").count(" Ready ") == 2
    deploy(kubectl)
    address = expose(kubectl)
    assert address in kubectl("describe", "service", "web")
    slices = kubectl.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
    found = {at for item in slices for point in item["endpoints"] for at in point["addresses"]}
    assert found == {item["status"]["podIP"] for item in pods(kubectl)}
    kubectl("scale", "deployment", "web", "--replicas=6")
    rolled_out(kubectl)
    assert {item["spec"]["nodeName"] for item in pods(kubectl)} == {"simulated-0", "simulated-1"}
    before = pod_names(kubectl)
    kubectl("set", "image", "deployment/web", f"web={WEB_2}")
    rolled_out(kubectl)
    eventually(lambda: len(pod_names(kubectl)) == 6)
    assert not pod_names(kubectl) & before
    kubectl("rollout", "undo", "deployment/web")
    rolled_out(kubectl)
    kubectl("delete", "pod", "-l", "app=web", "--wait")
    rolled_out(kubectl)
    (first, *_) = pod_names(kubectl)
    assert "Successfully assigned" in kubectl("describe", "pod", first)
    kubectl("delete", "deployment", "web")
    eventually(lambda: not kubectl("get", "replicasets,pods", "-o", "name"))


def test_what_needs_a_container_has_a_clear_answer(kubectl: Client) -> None:
    deploy(kubectl, 1)
    assert "this container is simulated" in kubectl("logs", "deploy/web")
    refused = kubectl.run("exec", "deploy/web", "--", "hostname", check=False)
    assert refused.returncode == 126
    assert "simulated and cannot run commands" in refused.stderr


def test_pods_that_end_have_the_phase_of_their_command(kubectl: Client) -> None:
    for command, phase in (("true", "Succeeded"), ("false", "Failed")):
        kubectl("run", command, f"--image={BUSYBOX}", "--restart=Never", "--", command)
        wait_for_phase(kubectl, command, phase)


def test_a_hundred_replicas(kubectl: Client) -> None:
    begun = time.monotonic()
    deploy(kubectl, 100)
    assert time.monotonic() - begun < 40
    assert len(pod_names(kubectl)) == 100
    assert len({item["status"]["podIP"] for item in pods(kubectl)}) == 100
    kubectl("set", "image", "deployment/web", f"web={WEB_2}")
    rolled_out(kubectl, timeout_s=110)
    kubectl("delete", "deployment", "web")
    eventually(lambda: not kubectl("get", "replicasets,pods", "-o", "name"))


def test_a_cluster_resumes(cluster: Cluster, kubectl: Client) -> None:
    deploy(kubectl, 4)
    before = {item["metadata"]["uid"] for item in pods(kubectl)}
    cluster.down()
    cluster.up()
    rolled_out(kubectl)
    assert {item["metadata"]["uid"] for item in pods(kubectl)} == before
    kubectl("scale", "deployment", "web", "--replicas=5")
    rolled_out(kubectl)
