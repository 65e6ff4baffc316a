"""What an administrator does to nodes: taint, cordon, drain."""

import json
from collections.abc import Callable, Iterator

import pytest
from harness import Client, Cluster, CommandFailed, eventually
from meaning import assert_holds, columns

_NODE = "simulated-0"


@pytest.fixture
def node(cluster: Cluster) -> Iterator[Client]:
    """kubectl; afterwards the node takes pods again."""
    yield cluster.kubectl
    cluster.kubectl("uncordon", _NODE)
    bare = {"spec": {"taints": None}}
    cluster.kubectl("patch", "node", _NODE, "--type=merge", "-p", json.dumps(bare))


def _taints(kubectl: Client) -> list[tuple[str, str | None, str]]:
    spec = kubectl.json("get", "node", _NODE)["spec"]
    return [(item["key"], item.get("value"), item["effect"]) for item in spec.get("taints", ())]


def test_taint(node: Client) -> None:
    node("taint", "node", _NODE, "a=b:NoSchedule", "c:PreferNoSchedule")
    assert _taints(node) == [("a", "b", "NoSchedule"), ("c", None, "PreferNoSchedule")]
    with pytest.raises(CommandFailed, match="already has a taint"):
        node("taint", "node", _NODE, "a=other:NoSchedule")
    node("taint", "node", _NODE, "a=other:NoSchedule", "--overwrite")
    node("taint", "node", _NODE, "a-", "--dry-run=server")
    assert len(_taints(node)) == 2
    node("taint", "nodes", "--all", "a:NoSchedule-", "c-")
    assert _taints(node) == []


def test_cordon(node: Client) -> None:
    assert "cordoned (server dry run)" in node("cordon", _NODE, "--dry-run=server")
    node("cordon", _NODE)
    assert "already cordoned" in node("cordon", _NODE)
    (row,) = [row for row in columns(node("get", "nodes")) if row["NAME"] == _NODE]
    assert row["STATUS"] == "Ready,SchedulingDisabled"
    eventually(lambda: ("node.kubernetes.io/unschedulable", None, "NoSchedule") in _taints(node))
    node("uncordon", _NODE)
    eventually(lambda: _taints(node) == [])


def _pods(kubectl: Client, *names: str) -> None:
    for name in names:
        kubectl("run", name, "--image=example.com/web:v1", "--labels=app=p",
                '--overrides={"spec":{"terminationGracePeriodSeconds":0}}')  # fmt: skip
    kubectl("wait", "pods", "-l", "app=p", "--for=condition=Ready", "--timeout=20s")


def test_drain(node: Client, kubectl: Client) -> None:
    _pods(kubectl, "bare")
    chosen = [_NODE, "--pod-selector=app=p"]
    with pytest.raises(CommandFailed, match="declare no controller"):
        node("drain", *chosen)
    assert "evicting pod" in node("drain", *chosen, "--force", "--dry-run=server")
    assert kubectl("get", "pods", "-o", "name").split() == ["pod/bare"]
    drained = node("drain", *chosen, "--force", "--timeout=30s")
    assert f"node/{_NODE} drained" in drained
    assert not kubectl("get", "pods", "-o", "name")
    assert_holds(node.json("get", "node", _NODE), {"spec": {"unschedulable": True}})


def test_drain_waits_for_disruption_budgets(
    node: Client, kubectl: Client, controlled: Callable[[str], None]
) -> None:
    _pods(kubectl, "a", "b")
    kubectl("create", "pdb", "keep", "--selector=app=p", "--min-available=2")
    controlled("pdb/keep")
    eventually(lambda: kubectl.json("get", "pdb", "keep")["status"].get("currentHealthy") == 2)
    drain = ["drain", _NODE, "--pod-selector=app=p", "--force"]
    with pytest.raises(CommandFailed, match="would violate the pod's disruption budget"):
        node(*drain, "--timeout=1s")
    assert len(kubectl("get", "pods", "-o", "name").split()) == 2
    node(*drain, "--disable-eviction", "--timeout=20s")
    assert not kubectl("get", "pods", "-o", "name")


def test_drain_knows_daemon_sets(
    node: Client, kubectl: Client, controlled: Callable[[str], None]
) -> None:
    template = {
        "metadata": {"labels": {"app": "d"}},
        "spec": {"containers": [{"name": "c", "image": "example.com/web:v1"}]},
    }
    spec = {"selector": {"matchLabels": {"app": "d"}}, "template": template}
    daemon_set = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"}}
    kubectl.apply(json.dumps(daemon_set | {"spec": spec}))
    controlled("daemonset/d")
    kubectl("rollout", "status", "daemonset/d", "--timeout=20s")
    drain = ["drain", _NODE, "--pod-selector=app=d"]
    with pytest.raises(CommandFailed, match="cannot delete DaemonSet-managed Pods"):
        node(*drain)
    told = node.run(*drain, "--ignore-daemonsets", "--timeout=20s")
    assert "ignoring DaemonSet-managed Pods" in told.stderr
    assert len(kubectl("get", "pods", "-o", "name").split()) == 1
