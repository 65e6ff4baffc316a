"""How many pods to create, which to delete, and what the status says. Pure.

Source: k8s.io/kubernetes `pkg/controller/replicaset` and `ActivePodsWithRanks` of
`pkg/controller/controller_utils.go`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi import env
from kapi.api.object import Object, condition_of, uid_of
from kapi.controllers.pods import (
    available_in,
    deletion_cost,
    has_labels,
    is_active,
    is_ready,
    is_terminating,
    node_of,
    phase_of,
    ready_since,
)

# Creates or deletes in one go, as upstream's BurstReplicas.
BURST = 500
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """`create` many pods, or delete these; never both. `missing` is negative for surplus pods."""

    missing: int
    create: int
    delete: tuple[Object, ...]


def plan_replicas(
    desired: int, pods: Sequence[Object], related: Sequence[Object], now: datetime
) -> ReplicaPlan:
    """`pods` are owned by the owner; `related` are all pods of its siblings, owner included."""
    active = [pod for pod in pods if is_active(pod)]
    missing = desired - len(active)
    if missing >= 0:
        return ReplicaPlan(missing, min(missing, BURST), ())
    surplus = min(-missing, BURST)
    if surplus < len(active):
        active = rank_for_deletion(active, related, now)
    return ReplicaPlan(missing, 0, tuple(active[:surplus]))


def rank_for_deletion(
    pods: Sequence[Object], related: Sequence[Object], now: datetime
) -> list[Object]:
    """The pods whose loss hurts least come first."""
    crowd = Counter(node_of(pod) for pod in related if is_active(pod))

    def rank(pod: Object) -> tuple[Any, ...]:
        ready = is_ready(pod)
        restarts, sidecar_restarts = _restarts(pod)
        return (
            bool(node_of(pod)),
            _PHASE_RANK.get(phase_of(pod), 1),
            ready,
            deletion_cost(pod),
            -crowd[node_of(pod)],
            _age_bucket(ready_since(pod), now) if ready else 0,
            -restarts,
            -sidecar_restarts,
            _age_bucket(_created(pod), now),
            uid_of(pod),
        )

    return sorted(pods, key=rank)


def _age_bucket(since: datetime | None, now: datetime) -> int:
    """Ages compare by their base-2 logarithm in nanoseconds, so that small differences do not
    decide; the newest first, an unknown age before all."""
    if since is None:
        return -1
    return max(0, int((now - since).total_seconds() * 1e9)).bit_length()


def _created(pod: Object) -> datetime | None:
    text = pod["metadata"].get("creationTimestamp")
    return env.parse_time(text) if text else None


def _restarts(pod: Object) -> tuple[int, int]:
    """The highest restart count of a container, and of a sidecar (restartable init container)."""
    status = pod.get("status") or {}
    containers = [s.get("restartCount", 0) for s in status.get("containerStatuses") or ()]
    sidecars = {
        container["name"]
        for container in (pod.get("spec") or {}).get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    inits = [
        s.get("restartCount", 0)
        for s in status.get("initContainerStatuses") or ()
        if s.get("name") in sidecars
    ]
    return max(containers, default=0), max(inits, default=0)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last attempt to create or delete pods did not work."""

    reason: str
    message: str


def plan_status(
    owner: Object, pods: Sequence[Object], failure: Failure | None, now: datetime
) -> Object:
    """The status that follows from `pods`, as they were before this round's writes.

    Only ReplicaSets report `terminatingReplicas`.
    """
    spec, old = owner["spec"], owner.get("status") or {}
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    min_ready = spec.get("minReadySeconds") or 0
    active = [pod for pod in pods if is_active(pod)]
    status: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(has_labels(pod, template_labels) for pod in active),
        "readyReplicas": sum(is_ready(pod) for pod in active),
        "availableReplicas": sum(available_in(pod, min_ready, now) == 0.0 for pod in active),
        "observedGeneration": owner["metadata"].get("generation", 0),
    }
    if owner["kind"] == "ReplicaSet":
        status["terminatingReplicas"] = sum(is_terminating(pod) for pod in pods)
    conditions = _conditions(list(old.get("conditions") or ()), failure, now)
    if conditions:
        status["conditions"] = conditions
    return status


def _conditions(
    conditions: list[dict[str, Any]], failure: Failure | None, now: datetime
) -> list[dict[str, Any]]:
    present = condition_of(conditions, "ReplicaFailure")
    if failure is None:
        return [condition for condition in conditions if condition is not present]
    if present is not None:
        return conditions
    return [
        *conditions,
        {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": failure.reason,
            "message": failure.message,
            "lastTransitionTime": env.format_time(now),
        },
    ]


def next_availability(owner: Object, pods: Sequence[Object], now: datetime) -> float | None:
    """Seconds until the next ready pod becomes available; None if there is none to wait for."""
    min_ready = owner["spec"].get("minReadySeconds") or 0
    waits = [available_in(pod, min_ready, now) for pod in pods if is_active(pod)]
    return min((wait for wait in waits if wait), default=None)
