"""The status of a deployment and its conditions. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kapi import env
from kapi.api.object import Object, condition_of, name_of
from kapi.controllers.deployment.limits import deadline_seconds, surge_and_unavailable, wanted

NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
Condition = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over the statuses of ReplicaSets."""

    replicas: int
    updated: int
    ready: int
    available: int

    @classmethod
    def of_status(cls, status: Object) -> "Counts":
        names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        return cls(*(int(status.get(name) or 0) for name in names))


def sum_of(replica_sets: Sequence[Object], field: str) -> int:
    return sum(int((rs.get("status") or {}).get(field) or 0) for rs in replica_sets)


def sum_of_specs(replica_sets: Sequence[Object]) -> int:
    return sum(int(rs["spec"].get("replicas", 1)) for rs in replica_sets)


def calculate(
    deployment: Object, replica_sets: Sequence[Object], new: Object | None, now: datetime
) -> Object:
    """The counters and the Available condition; other conditions are kept as they are."""
    old = deployment.get("status") or {}
    available = sum_of(replica_sets, "availableReplicas")
    status: Object = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": sum_of(replica_sets, "replicas"),
        "updatedReplicas": sum_of([new] if new else [], "replicas"),
        "readyReplicas": sum_of(replica_sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum_of_specs(replica_sets) - available),
        "conditions": list(old.get("conditions") or ()),
    }
    if "collisionCount" in old:
        status["collisionCount"] = old["collisionCount"]
    synced = [rs for rs in replica_sets if (rs.get("status") or {}).get("observedGeneration")]
    if all("terminatingReplicas" in rs["status"] for rs in synced):
        status["terminatingReplicas"] = sum_of(synced, "terminatingReplicas")
    _, unavailable = surge_and_unavailable(deployment)
    if available >= wanted(deployment) - unavailable:
        condition = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        condition = (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    set_condition(status, new_condition("Available", *condition, now))
    return status


def new_condition(kind: str, state: str, reason: str, message: str, now: datetime) -> Condition:
    moment = env.format_time(now)
    return {
        "type": kind,
        "status": state,
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }


def set_condition(status: Object, condition: Condition) -> None:
    """Put last, unless status and reason are what they were."""
    conditions = status.get("conditions") or []
    current = condition_of(conditions, condition["type"])
    if current is not None and current.get("status") == condition["status"]:
        if current.get("reason") == condition["reason"]:
            return
        condition = {**condition, "lastTransitionTime": current.get("lastTransitionTime")}
    rest = [other for other in conditions if other.get("type") != condition["type"]]
    status["conditions"] = [*rest, condition]


def remove_condition(status: Object, kind: str) -> None:
    conditions = status.get("conditions") or ()
    status["conditions"] = [other for other in conditions if other.get("type") != kind]


def is_complete(deployment: Object, status: Object) -> bool:
    counts, size = Counts.of_status(status), wanted(deployment)
    return (
        counts.updated == size
        and counts.replicas == size
        and counts.available == size
        and int(status.get("observedGeneration") or 0)
        >= int(deployment["metadata"].get("generation", 0))
    )


def progressed(old: Counts, new: Counts) -> bool:
    """More of the new or fewer of the old, or more that work."""
    return (
        new.updated > old.updated
        or new.replicas - new.updated < old.replicas - old.updated
        or new.ready > old.ready
        or new.available > old.available
    )


def _moment(text: str | None, now: datetime) -> datetime:
    return env.parse_time(text) if text else now


def timed_out(deployment: Object, status: Object, now: datetime) -> bool:
    seconds = deadline_seconds(deployment)
    condition = condition_of(status.get("conditions"), "Progressing")
    if seconds is None or condition is None or condition.get("reason") == NEW_AVAILABLE:
        return False
    if condition.get("reason") == TIMED_OUT:
        return True
    since = _moment(condition.get("lastUpdateTime"), now)
    return since + timedelta(seconds=seconds) < now


def rollout_status(
    deployment: Object, replica_sets: Sequence[Object], new: Object | None, now: datetime
) -> Object:
    """`calculate` with Progressing and ReplicaFailure."""
    status = calculate(deployment, replica_sets, new, now)
    if deadline_seconds(deployment) is None:
        remove_condition(status, "Progressing")
    else:
        _set_progressing(deployment, status, new, now)
    failures = [
        failure
        for rs in ([new] if new else []) + list(replica_sets)
        if (failure := condition_of((rs.get("status") or {}).get("conditions"), "ReplicaFailure"))
    ]
    if failures:
        first = failures[0]
        texts = (first.get("status", "True"), first.get("reason", ""), first.get("message", ""))
        set_condition(status, new_condition("ReplicaFailure", *texts, now))
    else:
        remove_condition(status, "ReplicaFailure")
    return status


def _set_progressing(deployment: Object, status: Object, new: Object | None, now: datetime) -> None:
    current = condition_of(status["conditions"], "Progressing")
    if (
        current is not None
        and current.get("reason") == NEW_AVAILABLE
        and status["replicas"] == status["updatedReplicas"]
    ):
        # A finished rollout is not judged again until the next one begins.
        return
    subject = f'Deployment "{name_of(deployment)}"'
    if new is not None:
        subject = f'ReplicaSet "{name_of(new)}"'
    old = Counts.of_status(deployment.get("status") or {})
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        set_condition(status, new_condition("Progressing", "True", NEW_AVAILABLE, message, now))
    elif progressed(old, Counts.of_status(status)):
        message = f"{subject} is progressing."
        condition = new_condition("Progressing", "True", "ReplicaSetUpdated", message, now)
        if current is not None and current.get("status") == "True":
            condition["lastTransitionTime"] = current.get("lastTransitionTime")
        remove_condition(status, "Progressing")
        status["conditions"].append(condition)
    elif timed_out(deployment, status, now):
        message = f"{subject} has timed out progressing."
        set_condition(status, new_condition("Progressing", "False", TIMED_OUT, message, now))


def seconds_to_deadline(deployment: Object, status: Object, now: datetime) -> float | None:
    """When to look again at a rollout that may get stuck; None if it cannot."""
    seconds = deadline_seconds(deployment)
    condition = condition_of(status.get("conditions"), "Progressing")
    if seconds is None or condition is None or is_complete(deployment, status):
        return None
    if condition.get("reason") in (TIMED_OUT, NEW_AVAILABLE):
        return None
    since = _moment(condition.get("lastUpdateTime"), now)
    left = (since + timedelta(seconds=seconds) - now).total_seconds()
    return max(0.0, left) + 1.0


def paused_condition(deployment: Object, now: datetime) -> Condition | None:
    """The condition that a pause or its end asks for; None if there is nothing to change."""
    if deadline_seconds(deployment) is None:
        return None
    conditions = (deployment.get("status") or {}).get("conditions")
    current = condition_of(conditions, "Progressing")
    if current is not None and current.get("reason") == TIMED_OUT:
        return None
    known = current is not None and current.get("reason") == PAUSED
    paused = bool(deployment["spec"].get("paused"))
    if paused and not known:
        return new_condition("Progressing", "Unknown", PAUSED, "Deployment is paused", now)
    if known and not paused:
        text = "Deployment is resumed"
        return new_condition("Progressing", "Unknown", "DeploymentResumed", text, now)
    return None
