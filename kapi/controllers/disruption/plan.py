"""What the status of a budget should be, and which pods were marked for a deletion that never came.

Pure. Source: k8s.io/kubernetes `pkg/controller/disruption/disruption.go`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kapi import env
from kapi.api.disruption import set_disruption_allowed, set_sync_failed
from kapi.api.object import Object, condition_of, controller_of, is_deleting, labels_of, name_of
from kapi.api.selectors import label_selector_from_object
from kapi.controllers.pods import is_ready, is_terminal

DELETION_TIMEOUT = timedelta(minutes=2)
"""For how long an approved eviction counts as done before the pod is seen going."""
STALE_AFTER = timedelta(minutes=2)
"""For how long a pod may carry DisruptionTarget without being deleted."""

_PERCENT = re.compile(r"([0-9]+)%")


class SyncFailed(Exception):
    """The numbers cannot be computed; the budget must allow nothing.

    `transient`: asking again without any change in the cluster may help.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


@dataclass(frozen=True, slots=True)
class ControllerScale:
    """Which controller answers for a pod in the end (a Deployment, not its ReplicaSet), and how
    many pods it is to have.
    """

    uid: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Observed:
    """`pods` are those the budget selects; `scales` is keyed by the uid of their controllers, and
    needed only where `needs_scale` says so.
    """

    budget: Object
    pods: Sequence[Object]
    scales: Mapping[str, ControllerScale]
    now: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """`status` is None if the present one is right; `recheck_in` is in seconds."""

    status: Object | None
    recheck_in: float | None
    not_deleted: tuple[Object, ...]
    """Pods whose eviction was approved long ago, and which are still there."""


def selects(budget: Object, pod: Object) -> bool:
    """Both of one namespace. An empty selector selects every pod, none at all selects none."""
    selector = label_selector_from_object((budget.get("spec") or {}).get("selector"))
    return selector.matches(labels_of(pod))


def needs_scale(budget: Object) -> bool:
    """Is the budget relative to what controllers are to have, rather than to the pods there are?"""
    spec = budget.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def unmanaged(pods: Iterable[Object]) -> list[Object]:
    """Pods without a controller: no budget relative to a scale can count them."""
    return [pod for pod in pods if controller_of(pod) is None]


def expected_and_desired(
    budget: Object, pods: Sequence[Object], scales: Mapping[str, ControllerScale]
) -> tuple[int, int]:
    """How many pods there should be, and how many of them healthy. Raises SyncFailed."""
    spec = budget.get("spec") or {}
    low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
    if high is None and not isinstance(low, str):
        return (0, 0) if low is None else (len(pods), int(low))
    expected = _expected(pods, scales)
    if high is not None:
        return expected, max(0, expected - _scaled(high, expected))
    return expected, _scaled(low, expected)


def _expected(pods: Sequence[Object], scales: Mapping[str, ControllerScale]) -> int:
    """The sum of the scales of the different controllers behind the pods."""
    found: dict[str, int] = {}
    for pod in pods:
        reference = controller_of(pod)
        if reference is None:
            continue
        scale = scales.get(str(reference.get("uid", "")))
        if scale is None:
            raise SyncFailed(f'found no controllers for pod "{name_of(pod)}"')
        found[scale.uid] = scale.replicas
    return sum(found.values())


def _scaled(value: Any, total: int) -> int:
    """An int, or a percentage of `total` rounded up. Raises SyncFailed for anything else.

    Reading nonsense as 0 would let all pods go.
    """
    if not isinstance(value, str):
        return int(value)
    match = _PERCENT.fullmatch(value)
    if match is None:
        raise SyncFailed("invalid value for IntOrString: invalid type: string is not a percentage")
    return -(-int(match[1]) * total // 100)


def plan(observed: Observed) -> Plan:
    """The status from what is there. Raises SyncFailed."""
    budget, now = observed.budget, observed.now
    expected, desired = expected_and_desired(budget, observed.pods, observed.scales)
    disrupted: dict[str, str] = {}
    not_deleted: list[Object] = []
    healthy = 0
    waits: list[float] = []
    approved = (budget.get("status") or {}).get("disruptedPods") or {}
    for pod in observed.pods:
        if is_deleting(pod):
            continue
        since = approved.get(name_of(pod))
        if since is not None:
            left = (env.parse_time(since) + DELETION_TIMEOUT - now).total_seconds()
            if left > 0:
                disrupted[name_of(pod)] = since
                waits.append(left)
                continue
            not_deleted.append(pod)
        healthy += is_ready(pod)
    # Nothing is allowed while no pod is expected: a budget that selects nothing yet must not
    # approve the eviction of the first pods that appear.
    status: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": max(0, healthy - desired) if expected > 0 else 0,
        "observedGeneration": budget["metadata"].get("generation", 0),
        "conditions": (budget.get("status") or {}).get("conditions") or [],
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    set_disruption_allowed(status, env.format_time(now))
    return Plan(_changed(budget, status), min(waits, default=None), tuple(not_deleted))


def failed_status(budget: Object, message: str, now: datetime) -> Object | None:
    """The present status, but allowing nothing; None if it says so already."""
    status = dict(budget.get("status") or {})
    set_sync_failed(status, message, env.format_time(now))
    return _changed(budget, status)


def _changed(budget: Object, status: Object) -> Object | None:
    """`status`, or None if it is what the budget has. Absent fields are zero or empty."""
    before = budget.get("status") or {}
    fields = {*before, *status}
    if all((before.get(field) or 0) == (status.get(field) or 0) for field in fields):
        return None
    return status


def seconds_until_stale(pod: Object, now: datetime) -> float | None:
    """When the pod's DisruptionTarget condition has stood too long without a deletion; 0 if it
    has, None if there is nothing to wait for.

    The kubelet's own condition may stand for as long as the pod takes to end.
    """
    if is_deleting(pod) or is_terminal(pod):
        return None
    condition = condition_of((pod.get("status") or {}).get("conditions"), "DisruptionTarget")
    if condition is None or condition.get("status") != "True":
        return None
    if condition.get("reason") == "TerminationByKubelet":
        return None
    since = condition.get("lastTransitionTime")
    if not since:
        return 0.0
    return max(0.0, (env.parse_time(since) + STALE_AFTER - now).total_seconds())


def without_disruption(pod: Object, now: datetime) -> Object:
    """A copy of the pod whose DisruptionTarget is False; shares the rest."""
    reset = {
        "type": "DisruptionTarget",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": env.format_time(now),
    }
    conditions = [
        reset if condition.get("type") == "DisruptionTarget" else condition
        for condition in pod["status"]["conditions"]
    ]
    return {**pod, "status": {**pod["status"], "conditions": conditions}}


def selector_in_words(selector: Mapping[str, Any] | None) -> str:
    """A label selector as upstream's events print it."""
    if selector is None:
        return "nil"
    labels = "".join(
        f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items())
    )
    requirements = "".join(
        f"LabelSelectorRequirement{{Key:{item.get('key', '')},Operator:{item.get('operator', '')},"
        f"Values:[{' '.join(item.get('values') or ())}],}},"
        for item in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )
