"""The short tour with objects in etcd, and what happens while etcd is dead."""

import time
from collections.abc import Iterator

import pytest
from daemons import Etcd
from harness import Client, Cluster, eventually
from tour import (
    Asking,
    containers,
    deploy,
    expose,
    http_get,
    pod_names,
    pods,
    rolled_out,
    until_answered_by,
)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    started = Etcd(tmp_path_factory.mktemp("etcd"))
    started.start()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, images: None, etcd: Etcd
) -> Iterator[Cluster]:
    """As the other files' cluster, on etcd."""
    options = ("--runtime", "docker", "--etcd-servers", etcd.url)
    started = Cluster(tmp_path_factory.mktemp("cluster"), options)
    try:
        started.up()
        yield started
    finally:
        started.delete()


def test_the_short_tour(kubectl: Client) -> None:
    deploy(kubectl)
    address = expose(kubectl)
    until_answered_by(address, pod_names(kubectl))
    with Asking(address) as asking:
        kubectl("set", "image", "deployment/web", "web=kapi-test/web:v2")
        rolled_out(kubectl)
        asking.heard_since_now("v2")
    assert asking.failures == []
    assert kubectl("exec", "deploy/web", "--", "cat", "/version") == "v2\n"
    pages = kubectl("get", "events", "--chunk-size=5", "-o", "name").split()
    assert len(pages) > 10
    uids = [item["metadata"]["uid"] for item in pods(kubectl)]
    kubectl("delete", "deployment", "web")
    eventually(lambda: not kubectl("get", "replicasets,pods", "-o", "name"))
    assert not any(containers(uid, every=True) for uid in uids)


def test_down_and_up_resumes_from_etcd(cluster: Cluster, kubectl: Client) -> None:
    deploy(kubectl, 2)
    before = {
        item["metadata"]["uid"]: containers(item["metadata"]["uid"]) for item in pods(kubectl)
    }
    cluster.down()
    cluster.up()
    rolled_out(kubectl)
    assert {item["metadata"]["uid"] for item in pods(kubectl)} == before.keys()
    assert {uid: containers(uid) for uid in before} == before


def test_a_dead_etcd_is_reported_and_nothing_acknowledged_is_lost(
    kubectl: Client, etcd: Etcd
) -> None:
    deploy(kubectl, 2)
    address = expose(kubectl)
    until_answered_by(address, pod_names(kubectl))
    before = pod_names(kubectl)
    acknowledged = []
    for number in range(30):
        acknowledged.append(f"configmap/c{number}")
        kubectl("create", "configmap", f"c{number}")
    etcd.kill()
    begun = time.monotonic()
    refused = kubectl.run("create", "configmap", "lost", check=False, timeout_s=30)
    assert refused.returncode == 1
    assert time.monotonic() - begun < 15
    assert "the storage behind configmaps cannot be reached" in refused.stderr
    # The pods do not notice.
    assert http_get(address).startswith("v1 ")

    etcd.start()
    eventually(
        lambda: kubectl.run("create", "configmap", "after", check=False).returncode == 0,
        timeout_s=30,
        what="writes work again",
    )
    found = set(kubectl("get", "configmaps", "-o", "name").split())
    assert found >= {*acknowledged, "configmap/after"}
    assert pod_names(kubectl) == before
    kubectl("scale", "deployment", "web", "--replicas=3")
    rolled_out(kubectl)
    until_answered_by(address, pod_names(kubectl))
