"""What is known about a Job, and what its pods add up to. Pure.

Source: `syncJob` in k8s.io/kubernetes `pkg/controller/job/job_controller.go`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kapi.api.indexes import index_set
from kapi.api.object import Object, uid_of
from kapi.controllers.job.backoff import Backoff
from kapi.controllers.job.pods import (
    all_failures_of,
    failures_of,
    has_limit_per_index,
    is_failed,
    is_indexed,
    is_tracked,
    valid_index,
)
from kapi.controllers.job.policies import match_failure
from kapi.controllers.pods import is_active, is_ready, is_terminating, phase_of


@dataclass(frozen=True, slots=True)
class Observed:
    """`pods` are the Job's own.

    `released` are uids of pods that were let go although they may still show the finalizer.
    `settled` says that all creations and deletions asked for have been seen.
    """

    job: Object
    pods: tuple[Object, ...]
    released: frozenset[str]
    settled: bool
    backoff: Backoff
    now: datetime

    def tracked(self, pod: Object) -> bool:
        """Is the pod still to be counted?"""
        return is_tracked(pod) and uid_of(pod) not in self.released


@dataclass(frozen=True, slots=True)
class Tally:
    """`succeeded` and `failed` include what the status does not count yet.

    `waiting` holds, for every index that failed and may be tried again, its newest failed pod.
    The sets of indexes are empty for Jobs without indexes.
    """

    active: tuple[Object, ...]
    ready: int
    terminating: int
    succeeded: int
    failed: int
    succeeded_before: frozenset[int]
    succeeded_indexes: frozenset[int]
    failed_indexes: frozenset[int]
    waiting: dict[int, Object]
    backoff: Backoff


def uncounted(job: Object, kind: str) -> list[str]:
    """Uids of `succeeded` or `failed` pods that wait to be counted."""
    pending = (job.get("status") or {}).get("uncountedTerminatedPods") or {}
    return list(pending.get(kind) or ())


def take_stock(observed: Observed) -> Tally:
    """Add up the pods."""
    job, status = observed.job, observed.job.get("status") or {}
    active = tuple(pod for pod in observed.pods if is_active(pod))
    known = uncounted(job, "succeeded"), uncounted(job, "failed")
    ended = _uncounted_pods(observed, set(known[0]), lambda pod: phase_of(pod) == "Succeeded")
    lost = _uncounted_pods(observed, set(known[1]), lambda pod: is_failed(pod, job))
    counted = sum(match_failure(job, pod).counts for pod in lost)
    succeeded = (status.get("succeeded") or 0) + len(ended) + len(known[0])
    before: set[int] = set()
    done: set[int] = set()
    dead: set[int] = set()
    waiting: dict[int, Object] = {}
    if is_indexed(job):
        completions = job["spec"].get("completions") or 0
        before = index_set(status.get("completedIndexes") or "", completions)
        done = before | _indexes_of(observed, lambda pod: phase_of(pod) == "Succeeded")
        succeeded = len(done)
        if has_limit_per_index(job):
            dead = index_set(status.get("failedIndexes") or "", completions)
            dead |= _indexes_of(observed, lambda pod: _ends_its_index(job, pod))
            dead -= done
            waiting = _waiting(observed, active, done | dead)
    return Tally(
        active=active,
        ready=sum(is_ready(pod) for pod in active),
        terminating=sum(is_terminating(pod) for pod in observed.pods),
        succeeded=succeeded,
        failed=(status.get("failed") or 0) + counted + len(known[1]),
        succeeded_before=frozenset(before),
        succeeded_indexes=frozenset(done),
        failed_indexes=frozenset(dead),
        waiting=waiting,
        backoff=observed.backoff.after(ended, lost),
    )


def _uncounted_pods(
    observed: Observed, known: set[str], fits: Callable[[Object], bool]
) -> list[Object]:
    """Pods that fit and that no counter holds yet."""
    job = observed.job
    return [
        pod
        for pod in observed.pods
        if observed.tracked(pod)
        and uid_of(pod) not in known
        and (not is_indexed(job) or valid_index(pod, job) is not None)
        and fits(pod)
    ]


def _indexes_of(observed: Observed, fits: Callable[[Object], bool]) -> set[int]:
    return {
        index
        for pod in observed.pods
        if (index := valid_index(pod, observed.job)) is not None and is_tracked(pod) and fits(pod)
    }


def _ends_its_index(job: Object, pod: Object) -> bool:
    if not is_failed(pod, job):
        return False
    match = match_failure(job, pod)
    if match.action == "FailIndex":
        return True
    return match.counts and failures_of(pod) >= job["spec"]["backoffLimitPerIndex"]


def _waiting(
    observed: Observed, active: tuple[Object, ...], settled: set[int]
) -> dict[int, Object]:
    """The newest failed pod of every index that is neither running again nor settled."""
    job = observed.job
    taken = settled | {index for pod in active if (index := valid_index(pod, job)) is not None}
    newest: dict[int, Object] = {}
    for pod in observed.pods:
        index = valid_index(pod, job)
        if index is None or index in taken or not observed.tracked(pod):
            continue
        if not is_failed(pod, job):
            continue
        rival = newest.get(index)
        if rival is None or all_failures_of(rival) <= all_failures_of(pod):
            newest[index] = pod
    return newest
