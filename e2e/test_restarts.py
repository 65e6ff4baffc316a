"""`kapi up` again: after `kapi down`, and after its processes were killed."""

import os
import signal
import threading
from collections.abc import Callable

import pytest
from harness import Client, Cluster, eventually, run, tool
from tour import (
    Asking,
    container_id,
    containers,
    deploy,
    docker,
    expose,
    http_get,
    pod,
    pod_names,
    pods,
    rolled_out,
    until_answered_by,
)


def _running(kubectl: Client) -> dict[str, set[str]]:
    return {item["metadata"]["uid"]: containers(item["metadata"]["uid"]) for item in pods(kubectl)}


def _kill(cluster: Cluster, name: str) -> None:
    """kill -9 of one of the cluster's daemons; back when it is gone."""
    pid = cluster.pids()[name]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not _is_there(pid), what=f"{name} is gone")


def _is_there(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _node_agent(cluster: Cluster) -> str:
    (name,) = [name for name in cluster.pids() if name.startswith("node-")]
    return name


def test_down_and_up_resumes(cluster: Cluster, kubectl: Client) -> None:
    deploy(kubectl)
    address = expose(kubectl)
    until_answered_by(address, pod_names(kubectl))
    before = _running(kubectl)
    kubectl("create", "configmap", "kept", "--from-literal=colour=red")
    version = kubectl("get", "configmap", "kept", "-o", "jsonpath={.metadata.resourceVersion}")
    with Asking(address) as asking:
        cluster.down()
        assert cluster.pids() == {}
        assert kubectl.run("get", "pods", check=False).returncode == 1
        cluster.up()
        rolled_out(kubectl)
    assert asking.failures == []
    assert _running(kubectl) == before
    counts = [item["status"]["containerStatuses"][0]["restartCount"] for item in pods(kubectl)]
    assert counts == [0, 0, 0]
    kept = kubectl.json("get", "configmap", "kept")
    assert (kept["data"], kept["metadata"]["resourceVersion"]) == ({"colour": "red"}, version)
    kubectl("scale", "deployment", "web", "--replicas=4")
    rolled_out(kubectl)
    until_answered_by(address, pod_names(kubectl))


def test_what_happens_while_it_is_down_is_made_good(cluster: Cluster, kubectl: Client) -> None:
    deploy(kubectl, 2)
    address = expose(kubectl)
    hurt, whole = pods(kubectl)
    cluster.down()
    docker("kill", container_id(hurt))
    cluster.up()
    name = hurt["metadata"]["name"]
    eventually(lambda: _restarts(kubectl, name) == 1)
    rolled_out(kubectl)
    assert _restarts(kubectl, whole["metadata"]["name"]) == 0
    assert pod_names(kubectl) == {name, whole["metadata"]["name"]}
    until_answered_by(address, pod_names(kubectl))


def _restarts(kubectl: Client, name: str) -> int:
    return int(pod(kubectl, name)["status"]["containerStatuses"][0]["restartCount"])


@pytest.mark.parametrize(
    "victim", [lambda _: "control-plane", _node_agent], ids=["control-plane", "node"]
)
def test_a_killed_daemon_comes_back_with_up(
    victim: Callable[[Cluster], str], cluster: Cluster, kubectl: Client
) -> None:
    deploy(kubectl, 2)
    address = expose(kubectl)
    until_answered_by(address, pod_names(kubectl))
    before = _running(kubectl)
    _kill(cluster, victim(cluster))
    assert http_get(address).startswith("v1 ")
    cluster.up()
    kubectl("scale", "deployment", "web", "--replicas=3")
    rolled_out(kubectl)
    until_answered_by(address, pod_names(kubectl))
    after = _running(kubectl)
    assert {uid: after[uid] for uid in before} == before


def test_a_kill_loses_no_acknowledged_write(cluster: Cluster, kubectl: Client) -> None:
    acknowledged: list[str] = []
    enough = threading.Event()

    def write(writer: int) -> None:
        for number in range(1000):
            name = f"w{writer}-{number}"
            if kubectl.run("create", "configmap", name, check=False).returncode != 0:
                return
            acknowledged.append(f"configmap/{name}")
            if len(acknowledged) >= 40:
                enough.set()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    assert enough.wait(30)
    _kill(cluster, "control-plane")
    for writer in writers:
        writer.join()
    cluster.up()
    found = set(kubectl("get", "configmaps", "-o", "name").split())
    assert set(acknowledged) <= found
    # At most the writes that were under way when it was killed are there unacknowledged.
    assert len(found - set(acknowledged) - {"configmap/kube-root-ca.crt"}) <= len(writers)


def test_down_with_delete_leaves_nothing_on_the_machine(cluster: Cluster) -> None:
    """The last of the file, as it takes the file's cluster away."""
    kubectl = cluster.kubectl
    deploy(kubectl, 2)
    address = expose(kubectl)
    until_answered_by(address, pod_names(kubectl))
    uids = [item["metadata"]["uid"] for item in pods(kubectl)]
    pids = cluster.pids().values()
    cluster.delete()
    assert not any(_is_there(pid) for pid in pids)
    assert not any(containers(uid, every=True) for uid in uids)
    assert "kapi" not in docker("network", "ls", "--format", "{{.Name}}").split()
    nft = tool("nft", hint="apt-get install nftables")
    assert "kapi" not in run([nft, "list", "ruleset"]).stdout
    ip = tool("ip", hint="apt-get install iproute2")
    assert "kapi" not in run([ip, "link"]).stdout + run([ip, "route"]).stdout
    assert not cluster.data_dir.exists()
    assert "kapi" not in cluster.kubeconfig.read_text()
