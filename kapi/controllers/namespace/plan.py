"""The conditions of a terminating namespace. Pure.

Source: upstream `pkg/controller/namespace/deletion`.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kapi import env
from kapi.api.object import Object, condition_of
from kapi.client.client import ResourceRef
from kapi.controllers.pods import is_terminal

FINALIZER = "kubernetes"
# How long upstream assumes that other finalizers take.
FINALIZER_ESTIMATE = 15.0


@dataclass(slots=True)
class Content:
    """What one pass over a namespace found and could not do."""

    discovery_failures: dict[str, str] = field(default_factory=dict)
    deletion_errors: list[str] = field(default_factory=list)
    remaining: Counter[str] = field(default_factory=Counter)
    """`<plural>.<group>` to number of objects; the core group leaves a trailing dot."""
    finalizers: Counter[str] = field(default_factory=Counter)
    estimate: float = 0.0
    """Seconds until it is worth looking again; 0 if nothing is known to be under way."""

    @property
    def is_empty(self) -> bool:
        return not (self.discovery_failures or self.deletion_errors or self.remaining)


def resource_name(resource: ResourceRef) -> str:
    return f"{resource.plural}.{resource.group}"


def count_remaining(content: Content, resource: ResourceRef, items: list[Object]) -> None:
    """Enter the objects of one resource that are still there."""
    if not items:
        return
    content.remaining[resource_name(resource)] += len(items)
    for item in items:
        for finalizer in item["metadata"].get("finalizers") or ():
            content.finalizers[finalizer] += 1
            content.estimate = max(content.estimate, FINALIZER_ESTIMATE)


def pods_estimate(pods: list[Object], deleted_at: datetime, now: datetime) -> float:
    """Seconds that running pods may still take: the longest grace period, from the deletion."""
    graces = [
        (pod.get("spec") or {}).get("terminationGracePeriodSeconds") or 0
        for pod in pods
        if not is_terminal(pod)
    ]
    longest = timedelta(seconds=max(graces, default=0))
    return float(longest.total_seconds()) if now <= deleted_at + longest else 0.0


def plan_conditions(
    existing: list[dict[str, Any]] | None, content: Content, now: datetime
) -> list[dict[str, Any]]:
    """All five, in upstream's order; the transition time moves only with the status."""
    failures = "; ".join(f"{gv}: {why}" for gv, why in sorted(content.discovery_failures.items()))
    errors = "; ".join(content.deletion_errors)
    remaining = ", ".join(
        f"{name} has {count} resource instances"
        for name, count in sorted(content.remaining.items())
    )
    finalizers = ", ".join(
        f"{name} in {count} resource instances"
        for name, count in sorted(content.finalizers.items())
    )
    rows = [
        (
            "NamespaceDeletionDiscoveryFailure",
            ("ResourcesDiscovered", "All resources successfully discovered"),
            "DiscoveryFailed",
            failures
            and f"Discovery failed for some groups, {len(content.discovery_failures)} failing: "
            + failures,
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            "GroupVersionParsingFailed",
            "",
        ),
        (
            "NamespaceDeletionContentFailure",
            (
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            "ContentDeletionFailed",
            errors
            and f"Failed to delete all resource types, {len(content.deletion_errors)} remaining: "
            + errors,
        ),
        (
            "NamespaceContentRemaining",
            ("ContentRemoved", "All content successfully removed"),
            "SomeResourcesRemain",
            remaining and f"Some resources are remaining: {remaining}",
        ),
        (
            "NamespaceFinalizersRemaining",
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            "SomeFinalizersRemain",
            finalizers and f"Some content in the namespace has finalizers remaining: {finalizers}",
        ),
    ]
    ours = [_condition(existing, *row, now) for row in rows]
    types = {condition["type"] for condition in ours}
    others = [c for c in existing or () if c.get("type") not in types]
    return [*others, *ours]


def _condition(
    existing: list[dict[str, Any]] | None,
    kind: str,
    fine: tuple[str, str],
    trouble_reason: str,
    trouble: str,
    now: datetime,
) -> dict[str, Any]:
    status = "True" if trouble else "False"
    reason, message = (trouble_reason, trouble) if trouble else fine
    before = condition_of(existing, kind)
    moment = env.format_time(now)
    if before is not None and before.get("status") == status:
        moment = before.get("lastTransitionTime", moment)
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }
