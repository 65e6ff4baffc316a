"""`kubectl rollout` of the three kinds that roll out."""

import json
from collections.abc import Callable

import pytest
from harness import Client, CommandFailed, eventually
from meaning import columns

_TEMPLATE = {
    "metadata": {"labels": {"app": "w"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "example.com/web:v1"}],
    },
}


def _workload(kind: str) -> str:
    spec: dict[str, object] = {"selector": {"matchLabels": {"app": "w"}}, "template": _TEMPLATE}
    if kind != "DaemonSet":
        spec["replicas"] = 2
    if kind == "StatefulSet":
        spec["serviceName"] = "w"
    return json.dumps(
        {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "w"}, "spec": spec}
    )


def _revisions(kubectl: Client, target: str) -> list[str]:
    table = kubectl("rollout", "history", target).strip().split("\n", 1)[1]
    return [row["REVISION"] for row in columns(table)]


def _images(kubectl: Client) -> set[str]:
    pods = kubectl.json("get", "pods", "-l", "app=w")["items"]
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return {pod["spec"]["containers"][0]["image"] for pod in alive}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_rollout(kubectl: Client, controlled: Callable[[str], None], kind: str) -> None:
    target = f"{kind.lower()}/w"
    kubectl.apply(_workload(kind))
    controlled(target)
    done = kubectl("rollout", "status", target, "--timeout=40s")
    assert "successfully rolled out" in done or "roll out complete" in done or "rolling" in done
    kubectl("annotate", target, "kubernetes.io/change-cause=first")
    kubectl("set", "image", target, "c=example.com/web:v2")
    kubectl("rollout", "status", target, "--timeout=40s")
    assert _images(kubectl) == {"example.com/web:v2"}
    assert _revisions(kubectl, target) == ["1", "2"]
    assert "example.com/web:v1" in kubectl("rollout", "history", target, "--revision=1")

    assert "rolled back" in kubectl("rollout", "undo", target)
    kubectl("rollout", "status", target, "--timeout=40s")
    assert _images(kubectl) == {"example.com/web:v1"}
    eventually(lambda: _revisions(kubectl, target) == ["2", "3"], timeout_s=10)
    kubectl("rollout", "undo", target, "--to-revision=2")
    kubectl("rollout", "status", target, "--timeout=40s")
    assert _images(kubectl) == {"example.com/web:v2"}
    with pytest.raises(CommandFailed, match="unable to find"):
        kubectl("rollout", "undo", target, "--to-revision=9")

    before = set(kubectl("get", "pods", "-l", "app=w", "-o", "jsonpath={..uid}").split())
    kubectl("rollout", "restart", target)
    kubectl("rollout", "status", target, "--timeout=40s")
    after = set(kubectl("get", "pods", "-l", "app=w", "-o", "jsonpath={..metadata.uid}").split())
    assert not before & after


def test_pause_and_resume(kubectl: Client) -> None:
    kubectl.apply(_workload("Deployment"))
    kubectl("rollout", "status", "deployment/w", "--timeout=30s")
    kubectl("rollout", "pause", "deployment/w")
    kubectl("set", "image", "deployment/w", "c=example.com/web:v2")
    with pytest.raises(CommandFailed, match="paused"):
        kubectl("rollout", "restart", "deployment/w")
    assert _images(kubectl) == {"example.com/web:v1"}
    kubectl("rollout", "resume", "deployment/w")
    kubectl("rollout", "status", "deployment/w", "--timeout=30s")
    assert _images(kubectl) == {"example.com/web:v2"}


def test_status_without_waiting_and_past_the_deadline(kubectl: Client) -> None:
    kubectl.apply(_workload("Deployment"))
    kubectl("rollout", "status", "deployment/w", "--timeout=30s")
    patch = {"spec": {"progressDeadlineSeconds": 1, "minReadySeconds": 0, "template": {"spec": {
        "nodeSelector": {"no": "where"}}}}}  # fmt: skip
    kubectl("patch", "deployment", "w", "-p", json.dumps(patch))
    assert "Waiting for" in kubectl("rollout", "status", "deployment/w", "--watch=false")
    with pytest.raises(CommandFailed, match="exceeded its progress deadline"):
        kubectl("rollout", "status", "deployment/w", "--timeout=20s")
