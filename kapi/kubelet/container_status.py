"""The status of each container, from the runtime's view and what was reported before. Pure.

Upstream: pkg/kubelet/kubelet_pods.go convertToAPIContainerStatuses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from kapi import env
from kapi.api.object import Object, is_deleting
from kapi.kubelet import labels
from kapi.kubelet.pod_view import PodView, ProbeResults
from kapi.kubelet.restarts import is_sidecar, should_be_restarted
from kapi.kubelet.runtime.interface import Container

Role = Literal["main", "init", "ephemeral"]
RESTARTING_ALL_REASON = "RestartingAllContainers"
RESTARTING_ALL_MESSAGE = "The container is removed because RestartAllContainers in place"
CONTAINER_STATUS_UNKNOWN = "ContainerStatusUnknown"
_LOST_EXIT_CODE = 137
_LOST_RUNNING = (
    "The container could not be located when the pod was deleted.  The container used to be Running"
)
_LOST_TERMINATED = "The container could not be located when the pod was terminated"
_LOST_INIT = (
    "Unable to get init container status from container runtime and pod has been initialized, "
    "treat it as exited normally"
)
_MESSAGE_BUDGET = 12 * 1024


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the last start of a container failed."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """Everything besides the pod that its status is made of.

    `reasons` by container name; `messages` are termination messages by container id; `resources`
    are what running containers really have, by container id. `now` is a metav1.Time.
    """

    view: PodView
    probes: ProbeResults
    now: str
    runtime_name: str
    host_ips: tuple[str, ...]
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Object] = field(default_factory=dict)
    extra_conditions: Sequence[Object] = ()
    """Conditions of the kubelet's that only hold now and then, without times."""
    terminal: bool = False
    """Containers were stopped for good: the pod may only end."""


def container_statuses(
    pod: Object, role: Role, old: Sequence[Object], facts: StatusFacts
) -> list[Object]:
    """In spec order for init containers, by name for the others."""
    containers = containers_of(pod, role)
    before = {status["name"]: status for status in old}
    initialized = _initialized(pod, facts.view)
    found = []
    for container in containers:
        status = _one_status(pod, container, role, before.get(container["name"]), facts)
        if role == "init":
            _lost_init(container, status, facts, initialized)
        if role != "ephemeral":
            _apply_reason(pod, container, role, status, facts)
        _ready_and_started(container, role, status, facts)
        found.append(status)
    return found if role == "init" else sorted(found, key=lambda status: str(status["name"]))


def containers_of(pod: Object, role: Role) -> list[Object]:
    names = {"main": "containers", "init": "initContainers", "ephemeral": "ephemeralContainers"}
    return pod["spec"].get(names[role]) or []


def _default_waiting(pod: Object) -> Object:
    reason = "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"
    return {"waiting": {"reason": reason}}


def _one_status(
    pod: Object, container: Object, role: Role, before: Object | None, facts: StatusFacts
) -> Object:
    instances = facts.view.instances.get(container["name"], ())
    if not instances:
        return _status_without_instance(pod, container, before)
    newest = instances[0]
    status: Object = {
        "name": container["name"],
        "image": newest.labels.get(labels.IMAGE) or newest.image,
        "imageID": newest.labels.get(labels.IMAGE_REF) or newest.image_id,
        "containerID": f"{facts.runtime_name}://{newest.id}",
        "restartCount": labels.attempt_of(newest.labels),
        "state": _state(newest, facts, _message_limit(pod)),
        "lastState": {},
    }
    if len(instances) > 1:
        last = _state(instances[1], facts, _message_limit(pod))
        if "terminated" in last:
            status["lastState"] = last
    elif before is not None and before["restartCount"] == status["restartCount"]:
        status["lastState"] = before.get("lastState") or {}
    if before is not None:
        status["restartCount"] = max(status["restartCount"], before["restartCount"])
    if role != "ephemeral":
        _describe_resources(container, newest, status, facts)
    _describe_mounts(container, status)
    return status


def _status_without_instance(pod: Object, container: Object, before: Object | None) -> Object:
    status: Object = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "restartCount": 0,
        "state": _default_waiting(pod),
        "lastState": {},
    }
    _describe_mounts(container, status)
    if before is None:
        return status
    if (before.get("state") or {}).get("terminated"):
        return {**before}
    status["restartCount"] = before["restartCount"]
    status["lastState"] = before.get("lastState") or {}
    if "running" in (before.get("state") or {}) and not status["lastState"].get("terminated"):
        status["lastState"] = {"terminated": _lost(before.get("containerID", ""), _LOST_RUNNING)}
        if not is_deleting(pod):
            status["restartCount"] += 1
    return status


def _lost(container_id: str, message: str) -> Object:
    terminated = {
        "exitCode": _LOST_EXIT_CODE,
        "reason": CONTAINER_STATUS_UNKNOWN,
        "message": message,
        "startedAt": None,
        "finishedAt": None,
    }
    return {**terminated, **({"containerID": container_id} if container_id else {})}


def _lost_init(container: Object, status: Object, facts: StatusFacts, initialized: bool) -> None:
    """An ordinary init container that vanished after it had done its work."""
    if is_sidecar(container) or not initialized or facts.view.newest(container["name"]):
        return
    if "terminated" not in status["state"]:
        status["state"] = {
            "terminated": {
                "exitCode": 0,
                "reason": "Completed",
                "message": _LOST_INIT,
                "startedAt": None,
                "finishedAt": None,
            }
        }
        status["lastState"] = {}


def _initialized(pod: Object, view: PodView) -> bool:
    return any(view.newest(container["name"]) for container in pod["spec"]["containers"])


def _state(found: Container, facts: StatusFacts, message_limit: int) -> Object:
    if found.state == "created":
        return {"waiting": {}}
    started = env.format_time(found.started_at) if found.started_at else None
    if found.state == "running":
        return {"running": {"startedAt": started}}
    terminated: Object = {
        "exitCode": found.exit_code,
        "reason": found.reason or ("Completed" if found.exit_code == 0 else "Error"),
        "startedAt": started,
        "finishedAt": env.format_time(found.finished_at) if found.finished_at else None,
        "containerID": f"{facts.runtime_name}://{found.id}",
    }
    parts = [text for text in (found.message, facts.messages.get(found.id, "")) if text]
    if parts:
        terminated["message"] = ": ".join(parts)[:message_limit]
    return {"terminated": terminated}


def _message_limit(pod: Object) -> int:
    """All termination messages of a pod share one budget."""
    spec = pod["spec"]
    count = sum(
        len(spec.get(name) or ())
        for name in ("containers", "initContainers", "ephemeralContainers")
    )
    return _MESSAGE_BUDGET // max(count, 1)


def _describe_resources(
    container: Object, newest: Container, status: Object, facts: StatusFacts
) -> None:
    wanted = container.get("resources") or {}
    if wanted.get("requests"):
        status["allocatedResources"] = {
            name: wanted["requests"][name] for name in wanted["requests"]
        }
    actual = wanted
    if newest.state == "running":
        recorded = newest.labels.get(labels.RESOURCES, "")
        actual = facts.resources.get(newest.id) or (orjson.loads(recorded) if recorded else wanted)
    status["resources"] = {
        name: actual[name] for name in ("limits", "requests", "claims") if actual.get(name)
    }


def _describe_mounts(container: Object, status: Object) -> None:
    mounts = []
    for mount in container.get("volumeMounts") or ():
        shown: dict[str, Any] = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            shown["readOnly"] = True
            # Docker offers no recursive read-only mounts.
            shown["recursiveReadOnly"] = "Disabled"
        mounts.append(shown)
    if mounts:
        status["volumeMounts"] = mounts


def _apply_reason(
    pod: Object, container: Object, role: Role, status: Object, facts: StatusFacts
) -> None:
    """A failed start shows as Waiting, but only where another start is coming."""
    newest = facts.view.newest(container["name"])
    done = newest is not None and newest.state == "exited" and newest.exit_code == 0
    if role == "init" and not is_sidecar(container) and done:
        return
    reason = facts.reasons.get(container["name"])
    if reason is None or facts.terminal or not should_be_restarted(pod, container, newest):
        return
    if "terminated" in status["state"]:
        status["lastState"] = status["state"]
    waiting = {"reason": reason.reason, **({"message": reason.message} if reason.message else {})}
    status["state"] = {"waiting": waiting}


def _ready_and_started(container: Object, role: Role, status: Object, facts: StatusFacts) -> None:
    newest = facts.view.newest(container["name"])
    running = "running" in status["state"] and newest is not None
    if role == "ephemeral":
        status["ready"] = False
        return
    started = running and (
        not container.get("startupProbe") or bool(newest and facts.probes.get(newest.id, "startup"))
    )
    status["started"] = started
    if role == "init" and not is_sidecar(container):
        terminated = status["state"].get("terminated")
        status["ready"] = bool(terminated and terminated["exitCode"] == 0)
        return
    status["ready"] = started and (
        not container.get("readinessProbe")
        or bool(newest and facts.probes.get(newest.id, "readiness"))
    )


def terminate_lost(statuses: Iterable[Object], pod: Object) -> None:
    """After the pod was stopped: what still does not show an end gets one."""
    for status in statuses:
        if "terminated" in status["state"]:
            continue
        if "running" in status["state"] and not is_deleting(pod):
            status["restartCount"] += 1
        status["state"] = {"terminated": _lost(status.get("containerID", ""), _LOST_TERMINATED)}
        status["ready"] = False
        status["started"] = False
