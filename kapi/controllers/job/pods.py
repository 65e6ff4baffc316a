"""What a pod means to its Job. Pure.

Source: k8s.io/kubernetes `pkg/controller/job` (`indexed_job_utils.go`, `job_controller.go`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from kapi import env
from kapi.api.object import Object, annotations_of, condition_of, is_deleting, uid_of
from kapi.controllers.pods import is_ready, node_of, phase_of, ready_since

FINALIZER = "batch.kubernetes.io/job-tracking"
"""On every pod that is not counted yet."""

INDEX = "batch.kubernetes.io/job-completion-index"
"""An annotation and a label."""

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"

_PHASE_RANK = {"Pending": 0, "Unknown": 1, "": 1, "Running": 2}


def is_managed_elsewhere(job: Object) -> bool:
    """Is the Job left to another controller?"""
    return job["spec"].get("managedBy") not in (None, "kubernetes.io/job-controller")


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_suspended(job: Object) -> bool:
    return bool(job["spec"].get("suspend"))


def has_limit_per_index(job: Object) -> bool:
    return is_indexed(job) and job["spec"].get("backoffLimitPerIndex") is not None


def waits_for_the_end(job: Object) -> bool:
    """Is a pod replaced only once it has ended, not as soon as it is being deleted?"""
    spec = job["spec"]
    policy = spec.get("podReplacementPolicy")
    return policy == "Failed" or spec.get("podFailurePolicy") is not None


def is_tracked(pod: Object) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def is_failed(pod: Object, job: Object) -> bool:
    """Does it count as failed? That may be before it has ended."""
    if phase_of(pod) == "Failed":
        return True
    return not waits_for_the_end(job) and is_deleting(pod) and phase_of(pod) != "Succeeded"


def index_of(pod: Object) -> int | None:
    """The completion index of its annotation, if there is a usable one."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def valid_index(pod: Object, job: Object) -> int | None:
    """Its index, if that is below `completions`."""
    index = index_of(pod)
    return index if index is not None and index < (job["spec"].get("completions") or 0) else None


def failures_of(pod: Object) -> int:
    """How often the pod's index had failed before."""
    return _count(pod, FAILURES)


def all_failures_of(pod: Object) -> int:
    """As `failures_of`, with those that the policy ignores."""
    return _count(pod, FAILURES) + _count(pod, IGNORED_FAILURES)


def ignored_failures_of(pod: Object) -> int:
    return _count(pod, IGNORED_FAILURES)


def _count(pod: Object, annotation: str) -> int:
    text = annotations_of(pod).get(annotation, "")
    return int(text) if text.isdigit() else 0


def finish_time(pod: Object) -> datetime:
    """When the pod ended, as well as can be known."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    ends: list[str] = [
        ((container.get("state") or {}).get("terminated") or {}).get("finishedAt") or ""
        for container in _container_statuses(pod)
    ]
    if ends and all(ends):
        return max(env.parse_time(end) for end in ends)
    ready = condition_of(status.get("conditions"), "Ready")
    if ready is not None and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return env.parse_time(ready["lastTransitionTime"])
    if is_deleting(pod):
        grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
        return env.parse_time(metadata["deletionTimestamp"]) - grace
    return env.parse_time(metadata["creationTimestamp"])


def _container_statuses(pod: Object) -> list[Object]:
    """Of the containers and of the sidecars, which end with them."""
    status = pod.get("status") or {}
    sidecars = {
        container.get("name")
        for container in (pod.get("spec") or {}).get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    inits = status.get("initContainerStatuses") or ()
    return [
        *(status.get("containerStatuses") or ()),
        *(item for item in inits if item.get("name") in sidecars),
    ]


def restarts(pod: Object) -> int:
    """Of all its containers together."""
    status = pod.get("status") or {}
    return sum(
        item.get("restartCount") or 0
        for field in ("initContainerStatuses", "containerStatuses")
        for item in status.get(field) or ()
    )


def removal_order(pods: Iterable[Object]) -> list[Object]:
    """The pods whose loss hurts least come first: `ActivePods` of `controller_utils.go`."""

    def rank(pod: Object) -> tuple[Any, ...]:
        since = ready_since(pod)
        created = pod["metadata"].get("creationTimestamp")
        highest = max(
            (s.get("restartCount") or 0 for s in (pod.get("status") or {}).get(
                "containerStatuses") or ()), default=0,
        )  # fmt: skip
        return (
            bool(node_of(pod)),
            _PHASE_RANK.get(phase_of(pod), 1),
            is_ready(pod),
            -since.timestamp() if since else float("-inf"),
            -highest,
            -env.parse_time(created).timestamp() if created else float("-inf"),
            uid_of(pod),
        )

    return sorted(pods, key=rank)


def surplus_of_indexes(pods: Sequence[Object], job: Object) -> tuple[list[Object], list[Object]]:
    """Pods that no index needs, and the others: one for each index."""
    surplus: list[Object] = []
    kept: list[Object] = []
    groups: dict[int, list[Object]] = defaultdict(list)
    for pod in pods:
        index = valid_index(pod, job)
        if index is None:
            surplus.append(pod)
        else:
            groups[index].append(pod)
    for _, group in sorted(groups.items()):
        *spare, best = removal_order(group)
        surplus += spare
        kept.append(best)
    return surplus, kept
