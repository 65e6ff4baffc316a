"""A pod's status, computed from what runs and what was said before."""

from typing import Any

import pytest
from kubelet_objects import NOW, container, created, exited, pod, running, view

from kapi.api.object import Object, condition_of
from kapi.kubelet.container_status import Reason, StatusFacts
from kapi.kubelet.pod_view import PodView, ProbeResults
from kapi.kubelet.status import compute_status, rejected_status

CRASH = Reason("CrashLoopBackOff", "back-off 10s")
SIDE = [container("side", restartPolicy="Always")]


def facts(seen: PodView, **fields: Any) -> StatusFacts:
    ready = fields.pop("ready", ())
    probes = ProbeResults()
    for name in ready:
        found = seen.newest(name)
        assert found is not None
        probes.set(found.id, "readiness", True)
    return StatusFacts(
        view=seen, probes=probes, now=NOW, runtime_name="docker", host_ips=("10.9.9.9",), **fields
    )


def status(spec: Object, seen: PodView, old: Object | None = None, **fields: Any) -> Object:
    return compute_status(spec, old or {}, facts(seen, **fields))


def condition(found: Object, kind: str) -> Object:
    return condition_of(found["conditions"], kind) or {}


PHASES: dict[str, tuple[Object, PodView, dict[str, Any], str]] = {
    "nothing runs yet": (pod(), PodView(), {}, "Pending"),
    "created is not running": (pod(), view(created()), {}, "Pending"),
    "running": (pod(), view(running()), {}, "Running"),
    "one of two was never started": (
        pod(container("a"), container("b")), view(running("a")), {}, "Pending"),
    "one of two ended": (
        pod(container("a"), container("b"), restartPolicy="Never"),
        view(running("a"), exited("b", 1)), {}, "Running"),
    "ended, to be restarted": (pod(), view(exited(code=1)), {}, "Running"),
    "crash loop": (
        pod(), view(exited(code=1)), {"reasons": {"main": CRASH}}, "Running"),
    "ended well, never": (pod(restartPolicy="Never"), view(exited()), {}, "Succeeded"),
    "ended well, on failure": (pod(restartPolicy="OnFailure"), view(exited()), {}, "Succeeded"),
    "one failed, never": (
        pod(container("a"), container("b"), restartPolicy="Never"),
        view(exited("a"), exited("b", 3)), {}, "Failed"),
    "init runs": (pod(initContainers=[container("i")]), view(running("i")), {}, "Pending"),
    "init failed, never": (
        pod(initContainers=[container("i")], restartPolicy="Never"),
        view(exited("i", 1)), {}, "Failed"),
    "init failed, again": (
        pod(initContainers=[container("i")]), view(exited("i", 1)), {}, "Pending"),
    "a sidecar outlives the main container": (
        pod(initContainers=SIDE, restartPolicy="Never"),
        view(running("side"), exited()), {}, "Running"),
    "a sidecar's exit code does not count": (
        pod(initContainers=SIDE, restartPolicy="Never"),
        view(exited("side", 137), exited()), {"terminal": True}, "Succeeded"),
    "stopped while running": (pod(), view(exited(code=137)), {"terminal": True}, "Failed"),
    "stopped before it ran": (pod(), PodView(), {"terminal": True}, "Failed"),
}  # fmt: skip


@pytest.mark.parametrize("case", PHASES)
def test_phase(case: str) -> None:
    spec, seen, fields, expected = PHASES[case]
    assert status(spec, seen, **fields)["phase"] == expected


def test_a_terminal_phase_is_never_left() -> None:
    old = {"phase": "Succeeded", "conditions": []}
    assert status(pod(), view(running()), old)["phase"] == "Succeeded"


def test_a_running_pod_from_head_to_foot() -> None:
    spec = pod(
        container(
            resources={"requests": {"cpu": "1"}},
            volumeMounts=[{"name": "v", "mountPath": "/v", "readOnly": True}],
        )
    )
    found = status(spec, view(running(attempt=2)))
    assert found["podIP"] == "10.0.0.7"
    assert found["podIPs"] == [{"ip": "10.0.0.7"}]
    assert found["hostIPs"] == [{"ip": "10.9.9.9"}]
    assert found["qosClass"] == "Burstable"
    assert found["observedGeneration"] == 3
    assert found["startTime"] == NOW
    assert [c["type"] for c in found["conditions"]] == [
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
    ]  # fmt: skip
    assert {c["status"] for c in found["conditions"]} == {"True"}
    assert {c["observedGeneration"] for c in found["conditions"]} == {3}
    assert found["containerStatuses"] == [
        {
            "name": "main",
            "image": "app:1",
            "imageID": "sha256:" + "a" * 64,
            "containerID": "docker://main-2",
            "restartCount": 2,
            "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
            "lastState": {},
            "allocatedResources": {"cpu": "1"},
            "resources": {"requests": {"cpu": "1"}},
            "volumeMounts": [
                {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "Disabled"}
            ],
            "started": True,
            "ready": True,
        }
    ]


def test_readiness_waits_for_its_probe() -> None:
    spec = pod(container("a", readinessProbe={"periodSeconds": 1}), container("b"))
    seen = view(running("a"), running("b"))
    found = status(spec, seen)
    assert condition(found, "Ready")["status"] == "False"
    assert condition(found, "ContainersReady")["message"] == ("containers with unready status: [a]")
    assert condition(status(spec, seen, ready=("a",)), "Ready")["status"] == "True"


def test_readiness_gates_of_others_count() -> None:
    spec = pod(readinessGates=[{"conditionType": "x/y"}])
    found = status(spec, view(running()))
    assert condition(found, "Ready")["reason"] == "ReadinessGatesNotReady"
    assert condition(found, "Ready")["message"] == (
        'corresponding condition of pod readiness gate "x/y" does not exist.'
    )
    spec["status"] = {"conditions": [{"type": "x/y", "status": "True"}]}
    found = status(spec, view(running()))
    assert condition(found, "Ready")["status"] == "True"
    assert found["conditions"][0]["type"] == "x/y"


def test_before_the_start_the_reason_tells_what_is_waited_for() -> None:
    found = status(pod(initContainers=[container("i")]), PodView())
    for group in ("containerStatuses", "initContainerStatuses"):
        assert found[group][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert condition(found, "Initialized")["message"] == ("containers with incomplete status: [i]")
    found = status(pod(), PodView())
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_a_crash_loop_shows_the_last_end() -> None:
    seen = view(exited(code=1, attempt=1), exited(code=2, attempt=0))
    shown = status(pod(), seen)["containerStatuses"][0]
    assert shown["state"]["terminated"]["exitCode"] == 1
    assert shown["lastState"]["terminated"]["exitCode"] == 2
    shown = status(pod(), seen, reasons={"main": CRASH})["containerStatuses"][0]
    assert shown["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert shown["lastState"]["terminated"]["exitCode"] == 1
    assert shown["restartCount"] == 1


def test_a_reason_does_not_hide_an_end_that_is_final() -> None:
    spec = pod(restartPolicy="Never")
    shown = status(spec, view(exited(code=1)), reasons={"main": CRASH})["containerStatuses"][0]
    assert shown["state"]["terminated"]["exitCode"] == 1


def test_a_container_that_vanished() -> None:
    old = status(pod(), view(running(attempt=1)))
    shown = status(pod(), view(), old)["containerStatuses"][0]
    assert shown["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert shown["lastState"]["terminated"]["exitCode"] == 137
    assert shown["restartCount"] == 2
    again = status(pod(), view(), {**old, "containerStatuses": [shown]})["containerStatuses"][0]
    assert again["restartCount"] == 2
    ended = status(pod(), PodView(), old, terminal=True)["containerStatuses"][0]
    assert ended["state"]["terminated"]["message"] == (
        "The container could not be located when the pod was terminated"
    )


def test_an_address_survives_the_sandbox() -> None:
    old = status(pod(), view(running()))
    found = status(pod(), view(exited(code=137), up=False), old, terminal=True)
    assert found["podIP"] == "10.0.0.7"
    assert condition(found, "PodReadyToStartContainers")["status"] == "False"
    assert condition(found, "Ready")["reason"] == "PodFailed"


def test_times_move_only_when_the_status_does() -> None:
    old = status(pod(), view(running()))
    for entry in old["conditions"]:
        entry["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    found = status(pod(container(readinessProbe={"periodSeconds": 1})), view(running()), old)
    assert condition(found, "Ready")["lastTransitionTime"] == NOW
    assert condition(found, "Initialized")["lastTransitionTime"] == "2020-01-01T00:00:00Z"


def test_lists_are_ordered_as_clients_expect() -> None:
    spec = pod(container("z"), container("a"), initContainers=[container("y"), container("b")])
    found = status(spec, PodView())
    assert [s["name"] for s in found["containerStatuses"]] == ["a", "z"]
    assert [s["name"] for s in found["initContainerStatuses"]] == ["y", "b"]


def test_messages_share_one_budget() -> None:
    seen = view(exited("a", 1), exited("b", 1))
    spec = pod(container("a"), container("b"), restartPolicy="Never")
    found = status(spec, seen, messages={"a-0": "x" * 9000, "b-0": "short"})
    texts = [s["state"]["terminated"]["message"] for s in found["containerStatuses"]]
    assert [len(text) for text in texts] == [6144, 5]


def test_a_rejected_pod_has_no_containers() -> None:
    found = rejected_status(pod(), "OutOfcpu", "too much", NOW)
    assert found["message"] == "Pod was rejected: too much"
    assert "containerStatuses" not in found
    assert "conditions" not in found
