"""Judgements about pods that several controllers share. Pure.

Source: k8s.io/kubernetes `pkg/api/v1/pod` and `pkg/controller/controller_utils.go`.
"""

from datetime import datetime, timedelta
from typing import Any

from kapi import env
from kapi.api.object import (
    Object,
    annotations_of,
    condition_of,
    is_deleting,
    labels_of,
    name_of,
    owner_reference,
)

TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})


def phase_of(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def node_of(pod: Object) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def is_terminal(pod: Object) -> bool:
    return phase_of(pod) in TERMINAL_PHASES


def is_active(pod: Object) -> bool:
    """Counts as a replica: not finished and not on its way out."""
    return not is_terminal(pod) and not is_deleting(pod)


def is_terminating(pod: Object) -> bool:
    return not is_terminal(pod) and is_deleting(pod)


def ready_condition(pod: Object) -> dict[str, Any] | None:
    return condition_of((pod.get("status") or {}).get("conditions"), "Ready")


def is_ready(pod: Object) -> bool:
    condition = ready_condition(pod)
    return condition is not None and condition.get("status") == "True"


def ready_since(pod: Object) -> datetime | None:
    """When the Ready condition last changed; None if unknown or not ready."""
    condition = ready_condition(pod)
    if condition is None or condition.get("status") != "True":
        return None
    text = condition.get("lastTransitionTime")
    return env.parse_time(text) if text else None


def is_available(pod: Object, min_ready_seconds: int, now: datetime) -> bool:
    """Ready for at least `min_ready_seconds`."""
    return available_in(pod, min_ready_seconds, now) == 0.0


def available_in(pod: Object, min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until the pod counts as available if it stays ready; None while not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds <= 0:
        return 0.0
    since = ready_since(pod)
    if since is None:
        return None
    return max(0.0, (since + timedelta(seconds=min_ready_seconds) - now).total_seconds())


def pod_from_template(template: Object, owner: Object) -> Object:
    """A pod to create for `owner`. Shares the template's parts: do not change them."""
    metadata: Object = {
        "generateName": generate_name_prefix(name_of(owner)),
        "ownerReferences": [owner_reference(owner)],
    }
    for field in ("labels", "annotations", "finalizers"):
        value = (template.get("metadata") or {}).get(field)
        if value:
            metadata[field] = value
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def generate_name_prefix(owner_name: str) -> str:
    """`<owner>-`; upstream drops the dash where the result would not be a valid prefix, which
    can only be for length."""
    prefix = f"{owner_name}-"
    return prefix if len(prefix) <= 253 else owner_name


def deletion_cost(pod: Object) -> int:
    """The pod-deletion-cost annotation; 0 if absent or not an int32."""
    text = annotations_of(pod).get("controller.kubernetes.io/pod-deletion-cost", "")
    try:
        value = int(text)
    except ValueError:
        return 0
    return value if -(2**31) <= value < 2**31 else 0


def has_labels(pod: Object, wanted: dict[str, str]) -> bool:
    labels = labels_of(pod)
    return all(labels.get(key) == value for key, value in wanted.items())
