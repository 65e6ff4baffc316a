"""The READY, STATUS and RESTARTS cells of `kubectl get pods`."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kapi.registry.core.pod_table import POD_COLUMNS, pod_row

NOW = datetime(2024, 1, 1, 12, 0, tzinfo=UTC)


def pod(
    *statuses: dict[str, Any],
    phase: str = "Running",
    init: tuple[dict[str, Any], ...] = (),
    sidecars: tuple[str, ...] = (),
    deleting: bool = False,
    **status: Any,
) -> dict[str, Any]:
    init_containers = [
        {"name": item["name"], **({"restartPolicy": "Always"} if item["name"] in sidecars else {})}
        for item in init
    ]
    return {
        "metadata": {
            "name": "p",
            "creationTimestamp": "2024-01-01T11:00:00Z",
            **({"deletionTimestamp": "2024-01-01T12:00:00Z"} if deleting else {}),
        },
        "spec": {
            "containers": [{"name": item["name"]} for item in statuses] or [{"name": "c"}],
            "initContainers": init_containers,
        },
        "status": {
            "phase": phase,
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(init),
            **status,
        },
    }


def running(name: str = "c", *, ready: bool = True, **more: Any) -> dict[str, Any]:
    state = {"running": {"startedAt": "2024-01-01T11:00:00Z"}}
    return {"name": name, "ready": ready, "state": state, **more}


def waiting(reason: str, name: str = "c") -> dict[str, Any]:
    return {"name": name, "ready": False, "state": {"waiting": {"reason": reason}}}


def ended(code: int, name: str = "c", **more: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "state": {"terminated": {"exitCode": code, **more}}}


def cells(obj: dict[str, Any]) -> list[Any]:
    row = pod_row(obj, NOW)
    assert len(row) == len(POD_COLUMNS)
    return row


@pytest.mark.parametrize(
    ("obj", "ready", "status"),
    [
        (pod(phase="Pending"), "0/1", "Pending"),
        (pod(running()), "1/1", "Running"),
        (pod(running("a"), waiting("CrashLoopBackOff", "b")), "1/2", "CrashLoopBackOff"),
        (pod(waiting("ContainerCreating"), phase="Pending"), "0/1", "ContainerCreating"),
        (pod(ended(1, reason="Error"), phase="Failed"), "0/1", "Error"),
        (pod(ended(3), phase="Failed"), "0/1", "ExitCode:3"),
        (pod(ended(0, signal=9), phase="Failed"), "0/1", "Signal:9"),
        (pod(ended(0, reason="Completed"), phase="Succeeded"), "0/1", "Completed"),
        (pod(running("a"), ended(0, "b", reason="Completed")), "1/2", "NotReady"),
        (pod(phase="Failed", reason="Evicted"), "0/1", "Evicted"),
        (pod(running(), deleting=True), "1/1", "Terminating"),
        (pod(ended(0, reason="Completed"), phase="Succeeded", deleting=True), "0/1", "Completed"),
        (pod(running(), deleting=True, reason="NodeLost"), "1/1", "Unknown"),
        (pod(phase="Pending", init=(running("i", ready=False),)), "0/1", "Init:0/1"),
        (
            pod(phase="Pending", init=(ended(0, "i"), waiting("PodInitializing", "j"))),
            "0/1",
            "Init:1/2",
        ),
        (
            pod(phase="Pending", init=(waiting("ImagePullBackOff", "i"),)),
            "0/1",
            "Init:ImagePullBackOff",
        ),
        (pod(phase="Pending", init=(ended(2, "i", reason="Error"),)), "0/1", "Init:Error"),
        (pod(phase="Pending", init=(ended(2, "i"),)), "0/1", "Init:ExitCode:2"),
        (
            pod(running(), init=(running("side", started=True),), sidecars=("side",)),
            "2/2",
            "Running",
        ),
    ],
)
def test_ready_and_status(obj: dict[str, Any], ready: str, status: str) -> None:
    assert cells(obj)[1:3] == [ready, status]


def test_gated_pods_say_so() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    assert cells(pod(phase="Pending", conditions=[condition]))[2] == "SchedulingGated"


def test_completed_beside_running_is_running_when_ready() -> None:
    condition = {"type": "Ready", "status": "True"}
    obj = pod(running("a"), ended(0, "b", reason="Completed"), conditions=[condition])
    assert cells(obj)[2] == "Running"


def test_restarts_tell_when_the_last_one_was() -> None:
    last = {"terminated": {"exitCode": 1, "finishedAt": "2024-01-01T11:55:00Z"}}
    assert cells(pod(running(restartCount=2, lastState=last)))[3] == "2 (5m ago)"
    assert cells(pod(running(restartCount=2)))[3] == "2"


def test_wide_cells() -> None:
    obj = pod(running(), podIPs=[{"ip": "10.1.2.3"}], nominatedNodeName="n2")
    obj["spec"]["nodeName"] = "n1"
    obj["spec"]["readinessGates"] = [{"conditionType": "a"}, {"conditionType": "b"}]
    obj["status"]["conditions"] = [{"type": "a", "status": "True"}]
    assert cells(obj)[4:] == ["60m", "10.1.2.3", "n1", "n2", "1/2"]
