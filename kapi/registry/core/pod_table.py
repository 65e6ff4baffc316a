"""The cells of `kubectl get pods`.

Source of the rules: `printPod` in k8s.io/kubernetes `pkg/printers/internalversion/printers.go`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi.api.object import Object, condition_of, is_deleting, name_of
from kapi.registry.cells import NONE
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, age, human_duration

POD_COLUMNS = (
    NAME_COLUMN,
    Column("Ready", about="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", about="The aggregate status of the containers in this pod."),
    Column(
        "Restarts",
        about=(
            "The number of times the containers in this pod have been restarted "
            "and when the last container in this pod has restarted."
        ),
    ),
    AGE_COLUMN,
    Column("IP", priority=1, about="=api.core.v1.PodStatus.podIP"),
    Column("Node", priority=1, about="=api.core.v1.PodSpec.nodeName"),
    Column("Nominated Node", priority=1, about="=api.core.v1.PodStatus.nominatedNodeName"),
    Column("Readiness Gates", priority=1, about="=api.core.v1.PodSpec.readinessGates"),
)

_NODE_LOST = "NodeLost"
_FINISHED = ("Succeeded", "Failed")


@dataclass(slots=True)
class _Summary:
    """What the loops over container statuses find out."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""

    def count_restarts(self, status: Object) -> None:
        self.restarts += int(status.get("restartCount") or 0)
        finished = (_terminated(status.get("lastState")) or {}).get("finishedAt") or ""
        self.last_restart = max(self.last_restart, finished)


def pod_row(pod: Object, now: datetime) -> list[Any]:
    """The cells in the order of POD_COLUMNS."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    summary, total = _summarize(pod)
    return [
        name_of(pod),
        f"{summary.ready}/{total}",
        summary.reason,
        _restarts_cell(summary, now),
        age(pod, now),
        _pod_ip(status) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


def _summarize(pod: Object) -> tuple[_Summary, int]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    summary = _Summary(reason=status.get("reason") or status.get("phase") or "")
    conditions = status.get("conditions") or ()
    scheduled = condition_of(conditions, "PodScheduled")
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        summary.reason = "SchedulingGated"
    init_containers = {item.get("name"): item for item in spec.get("initContainers") or ()}
    sidecars = {name for name, item in init_containers.items() if _restarts_always(item)}
    total = len(spec.get("containers") or ()) + len(sidecars)
    init = status.get("initContainerStatuses") or ()
    initializing = _read_init(init, sidecars, len(init_containers), summary)
    initialized = condition_of(conditions, "Initialized")
    if not initializing or (initialized and initialized.get("status") == "True"):
        if not initializing:
            summary.restarts, summary.last_restart = _sidecar_restarts(init, sidecars)
        _read_containers(status.get("containerStatuses") or (), conditions, summary)
    if is_deleting(pod):
        if status.get("reason") == _NODE_LOST:
            summary.reason = "Unknown"
        elif status.get("phase") not in _FINISHED:
            summary.reason = "Terminating"
    return summary, total


def _restarts_always(container: Object) -> bool:
    return container.get("restartPolicy") == "Always"


def _terminated(state: Object | None) -> Object | None:
    return (state or {}).get("terminated")


def _read_init(
    statuses: Sequence[Object], sidecars: set[Any], total: int, summary: _Summary
) -> bool:
    """Account for init containers in order; True while one of them has not done its part."""
    for index, status in enumerate(statuses):
        summary.count_restarts(status)
        sidecar = status.get("name") in sidecars
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and status.get("started"):
            if status.get("ready"):
                summary.ready += 1
            continue
        if terminated is not None:
            summary.reason = f"Init:{_terminated_text(terminated)}"
        elif waiting and waiting.get("reason") not in ("", None, "PodInitializing"):
            summary.reason = f"Init:{waiting['reason']}"
        else:
            summary.reason = f"Init:{index}/{total}"
        return True
    return False


def _terminated_text(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _sidecar_restarts(statuses: Sequence[Object], sidecars: set[Any]) -> tuple[int, str]:
    """Once a pod is initialized, only restartable init containers count."""
    counted = _Summary(reason="")
    for status in statuses:
        if status.get("name") in sidecars:
            counted.count_restarts(status)
    return counted.restarts, counted.last_restart


def _read_containers(
    statuses: Sequence[Object], conditions: Sequence[Object], summary: _Summary
) -> None:
    running = False
    for status in reversed(statuses):
        summary.count_restarts(status)
        state = status.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated is not None:
            summary.reason = _terminated_text(terminated)
        elif status.get("ready") and state.get("running") is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        ready = condition_of(conditions, "Ready")
        is_ready = bool(ready and ready.get("status") == "True")
        summary.reason = "Running" if is_ready else "NotReady"


def _restarts_cell(summary: _Summary, now: datetime) -> str:
    if not summary.restarts or not summary.last_restart:
        return str(summary.restarts)
    since = (now - datetime.fromisoformat(summary.last_restart)).total_seconds()
    return f"{summary.restarts} ({human_duration(since)} ago)"


def _pod_ip(status: Object) -> str:
    addresses = status.get("podIPs") or ()
    return str(addresses[0].get("ip", "")) if addresses else ""


def _readiness_gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    conditions = status.get("conditions") or ()
    true = sum(
        (condition_of(conditions, gate.get("conditionType", "")) or {}).get("status") == "True"
        for gate in gates
    )
    return f"{true}/{len(gates)}"
