"""`kubectl wait` and `kubectl events`."""

import json
from pathlib import Path

import pytest
from harness import Client, CommandFailed, eventually
from meaning import columns

_IMAGE = "--image=example.com/web:v1"
WAITS = [
    "pod/p --for=condition=Ready",
    "pod/p --for=condition=Ready=true",
    "pods --all --for=condition=PodScheduled",
    "pod -l run=p --for=jsonpath={.status.phase}=Running",
    "pod/p --for=jsonpath={.status.podIP}",
    "pod/p --for=create",
    "deployment/web --for=condition=Available",
    "deployment/web --for=jsonpath={.status.readyReplicas}=1",
    "--all deployments,pods --for=jsonpath={.metadata.name}",
    "pod/none --for=delete",
]


def test_wait_for_what_comes_true(kubectl: Client) -> None:
    kubectl("run", "p", _IMAGE)
    kubectl("create", "deployment", "web", _IMAGE)
    for arguments in WAITS:
        told = kubectl("wait", *arguments.split(), "--timeout=20s")
        assert "none" in arguments or "condition met" in told, arguments


def test_wait_times_out(kubectl: Client) -> None:
    kubectl("run", "p", _IMAGE, '--overrides={"spec":{"nodeSelector":{"no":"where"}}}')
    for condition in ("condition=Ready", "delete", "jsonpath={.status.phase}=Running"):
        with pytest.raises(CommandFailed, match="timed out waiting for the condition on pods/p"):
            kubectl("wait", "pod/p", f"--for={condition}", "--timeout=1s")
    kubectl("wait", "pod/p", "--for=condition=PodScheduled=false", "--timeout=10s")
    with pytest.raises(CommandFailed, match='pods "none" not found'):
        kubectl("wait", "pod/none", "--for=condition=Ready", "--timeout=1s")
    with pytest.raises(CommandFailed, match="no matching resources found"):
        kubectl("wait", "pods", "-l", "no=such", "--for=condition=Ready", "--timeout=1s")


def test_wait_sees_what_happens_meanwhile(kubectl: Client) -> None:
    waiting = kubectl.start("wait", "configmap/late", "--for=create", "--timeout=20s")
    kubectl("create", "configmap", "late")
    out, _err = waiting.communicate(timeout=20)
    assert waiting.returncode == 0 and b"condition met" in out
    waiting = kubectl.start("wait", "configmap/late", "--for=jsonpath={.data.a}=b", "--timeout=20s")
    kubectl("patch", "configmap", "late", "-p", '{"data":{"a":"b"}}')
    assert waiting.wait(timeout=20) == 0
    waiting.communicate()
    waiting = kubectl.start("wait", "configmap/late", "--for=delete", "--timeout=20s")
    kubectl("delete", "configmap", "late")
    assert waiting.wait(timeout=20) == 0
    waiting.communicate()


def test_events(kubectl: Client, tmp_path: Path) -> None:
    kubectl("run", "p", _IMAGE)
    kubectl("run", "q", _IMAGE, '--overrides={"spec":{"nodeSelector":{"no":"where"}}}')

    def of_both() -> bool:
        rows = columns(kubectl("events"))
        return {"Scheduled", "FailedScheduling"} <= {row["REASON"] for row in rows}

    eventually(of_both, timeout_s=15)
    rows = columns(kubectl("events", "--for", "pod/p"))
    assert {row["OBJECT"] for row in rows} == {"Pod/p"}
    assert all(row["TYPE"] == "Normal" for row in rows)
    rows = columns(kubectl("events", "--types=Warning"))
    assert {row["OBJECT"] for row in rows} == {"Pod/q"}
    listed = json.loads(kubectl("events", "-o", "json"))["items"]
    assert all(item["involvedObject"]["namespace"] == kubectl.namespace for item in listed)
    rows = columns(kubectl("events", "-A"))
    assert kubectl.namespace in {row["NAMESPACE"] for row in rows}
    by_time = kubectl("get", "events", "--sort-by=.metadata.creationTimestamp", "-o", "wide")
    assert {"SOURCE", "SUBOBJECT", "COUNT"} <= set(columns(by_time)[0])

    printed = tmp_path / "printed"
    with printed.open("w") as sink:
        watching = kubectl.start("events", "--watch", "--for", "pod/r", stdout=sink)
    try:
        kubectl("run", "r", _IMAGE)
        eventually(lambda: "Scheduled" in printed.read_text(), timeout_s=15)
    finally:
        watching.terminate()
        watching.communicate()
