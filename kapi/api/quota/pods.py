"""What a pod uses, and what a quota demands that it says.

Source: k8s.io/kubernetes `pkg/quota/v1/evaluator/core/pods.go`.
"""

from datetime import datetime, timedelta
from typing import Any

from kapi.api.object import Object
from kapi.api.quota.resource_list import ResourceList, add, amount, largest

_PREFIXED = ("cpu", "memory", "ephemeral-storage")
_DEMANDED = frozenset(
    ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
)
_HUGE_PAGES = "hugepages-"
_POD_LEVEL = ("cpu", "memory", _HUGE_PAGES)


def pod_usage(pod: Object, now: datetime) -> dict[str, str]:
    """Every quota resource this pod counts for; one that has ended counts as an object only."""
    found = {"count/pods": "1"}
    if _has_ended(pod, now):
        return found
    spec = pod.get("spec") or {}
    compute = _compute(pod_resources(spec, "requests"), pod_resources(spec, "limits"))
    return {**found, "pods": "1", **compute}


def _has_ended(pod: Object, now: datetime) -> bool:
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    meta = pod.get("metadata") or {}
    deleted, grace = meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds")
    if not deleted or grace is None:
        return False
    return now > datetime.fromisoformat(deleted) + timedelta(seconds=int(grace))


def _compute(requests: ResourceList, limits: ResourceList) -> dict[str, str]:
    """Requests count under their own name and with a prefix; limits with a prefix only."""
    found: dict[str, str] = {}
    for name, value in requests.items():
        plain = name in _PREFIXED or name.startswith(_HUGE_PAGES)
        if plain:
            found[name] = value
        if plain or "/" in name:
            found[f"requests.{name}"] = value
    for name in _PREFIXED:
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    return found


def pod_resources(spec: Object, kind: str) -> dict[str, str]:
    """Sum of `requests` or `limits`, or what the pod says of itself, and the overhead.

    Restartable init containers run beside the others; a plain one needs room only while it runs.
    """
    total: dict[str, str] = {}
    for container in spec.get("containers") or ():
        total = add(total, _given(container, kind))
    beside: dict[str, str] = {}
    peak: dict[str, str] = {}
    for container in spec.get("initContainers") or ():
        own = _given(container, kind)
        if container.get("restartPolicy") == "Always":
            total, beside = add(total, own), add(beside, own)
            peak = largest(peak, beside)
        else:
            peak = largest(peak, add(own, beside))
    total = largest(total, peak)
    for name, value in _given(spec, kind).items():
        if name.startswith(_POD_LEVEL):
            total[name] = value
    overhead: dict[str, str] = spec.get("overhead") or {}
    if kind == "limits":
        overhead = {name: value for name, value in overhead.items() if name in total}
    return add(total, overhead)


def _given(owner: Object, kind: str) -> dict[str, str]:
    quantities = (owner.get("resources") or {}).get(kind) or {}
    return {name: str(value) for name, value in quantities.items()}


def missing_demands(hard: ResourceList, pod: Object) -> str:
    """`must specify limits.cpu for: a,b; requests.cpu for: b`; empty if nothing is missing."""
    spec = pod.get("spec") or {}
    demanded = _DEMANDED & set(hard)
    if not demanded or any(_given(spec, kind) for kind in ("requests", "limits")):
        return ""
    lacking: dict[str, set[str]] = {}
    containers: list[Any] = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for container in containers:
        says = _compute(_given(container, "requests"), _given(container, "limits"))
        for name in demanded - set(says):
            lacking.setdefault(name, set()).add(str(container.get("name") or ""))
    parts = [f"{name} for: {','.join(sorted(names))}" for name, names in sorted(lacking.items())]
    return f"must specify {'; '.join(parts)}" if parts else ""


def is_best_effort(pod: Object) -> bool:
    known = (pod.get("status") or {}).get("qosClass")
    if known:
        return bool(known == "BestEffort")
    spec = pod.get("spec") or {}
    owners = [spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return not any(
        name in ("cpu", "memory") and amount(value) > 0
        for owner in owners
        for kind in ("requests", "limits")
        for name, value in _given(owner, kind).items()
    )
