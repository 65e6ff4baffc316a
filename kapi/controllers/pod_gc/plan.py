"""Which pods to remove and why. Pure. Source: upstream `pkg/controller/podgc`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi import env
from kapi.api.object import Object, condition_of, is_deleting, name_of, namespace_of
from kapi.controllers.pods import is_terminal, node_of, phase_of

TERMINATED_THRESHOLD = 12500
# A node may be registered moments after its first pods are seen.
NODE_QUARANTINE_SECONDS = 40.0
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


@dataclass(frozen=True, slots=True)
class Removal:
    """A pod to delete at once; `condition` is written first, `fail` sets its phase first."""

    pod: Object
    fail: bool
    condition: dict[str, Any] | None = None


def plan_removals(
    pods: Sequence[Object],
    nodes: Sequence[Object],
    gone_nodes: Collection[str],
    now: datetime,
    threshold: int = TERMINATED_THRESHOLD,
) -> list[Removal]:
    """`gone_nodes` are names that were missing for the quarantine and are confirmed missing."""
    removals = [Removal(pod, fail=False) for pod in _excess(pods, threshold)]
    chosen = {id(removal.pod) for removal in removals}
    out_of_service = {name_of(node) for node in nodes if _is_out_of_service(node)}
    for pod in pods:
        if id(pod) in chosen:
            continue
        fail = not is_terminal(pod)
        if node_of(pod) in out_of_service and is_deleting(pod):
            removals.append(Removal(pod, fail))
        elif node_of(pod) in gone_nodes:
            removals.append(Removal(pod, fail, _orphaned(now) if fail else None))
        elif is_deleting(pod) and not node_of(pod):
            removals.append(Removal(pod, fail))
    return removals


def unknown_nodes(pods: Sequence[Object], nodes: Sequence[Object]) -> list[str]:
    """Names that pods are bound to and no node bears, in a stable order."""
    known = {name_of(node) for node in nodes}
    return sorted({node_of(pod) for pod in pods} - known - {""})


def _excess(pods: Sequence[Object], threshold: int) -> list[Object]:
    """Finished pods beyond the threshold: evicted ones first, then the oldest."""
    finished = [pod for pod in pods if phase_of(pod) not in ("", "Pending", "Running", "Unknown")]
    surplus = len(finished) - threshold
    if threshold <= 0 or surplus <= 0:
        return []

    def order(pod: Object) -> tuple[bool, str, str, str]:
        evicted = phase_of(pod) == "Failed" and pod["status"].get("reason") == "Evicted"
        created = pod["metadata"].get("creationTimestamp") or ""
        return (not evicted, created, namespace_of(pod), name_of(pod))

    return sorted(finished, key=order)[:surplus]


def _is_out_of_service(node: Object) -> bool:
    ready = condition_of((node.get("status") or {}).get("conditions"), "Ready")
    taints = (node.get("spec") or {}).get("taints") or ()
    is_ready = ready is not None and ready.get("status") == "True"
    return not is_ready and any(taint.get("key") == _OUT_OF_SERVICE for taint in taints)


def _orphaned(now: datetime) -> dict[str, Any]:
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
        "lastTransitionTime": env.format_time(now),
    }
