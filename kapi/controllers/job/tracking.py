"""The books: every pod that ended is counted once, whatever fails in between. Pure.

A finished pod's uid is first written to `status.uncountedTerminatedPods` (a finished index to
`completedIndexes`); then the pod loses its finalizer; then the uid becomes part of a counter.
Whoever takes over in the middle finds out from the status and the finalizers what is left to do.
Source: `trackJobStatusAndRemoveFinalizers` in k8s.io/kubernetes
`pkg/controller/job/job_controller.go`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi import env
from kapi.api.indexes import format_indexes
from kapi.api.object import Object, condition_of, is_deleting, uid_of
from kapi.controllers.job.pods import (
    has_limit_per_index,
    index_of,
    is_failed,
    is_indexed,
    is_suspended,
    valid_index,
)
from kapi.controllers.job.policies import match_failure
from kapi.controllers.job.tally import Observed, Tally, uncounted
from kapi.controllers.job.verdict import INTERIM, Verdict
from kapi.controllers.pods import phase_of

MOST_UNCOUNTED = 500
"""Uids in the status at one time, which bounds its size and the work of one round."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a round's creations and deletions have led to, and the verdict if it can stand."""

    active: int
    ready: int
    terminating: int
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Books:
    """`status` is to be written before the pods in `release` lose their finalizer.

    `partial` says that more pods are left for the next round.
    """

    status: Object
    release: tuple[Object, ...]
    partial: bool


def plan_books(observed: Observed, tally: Tally, outcome: Outcome) -> Books:
    """Enter the finished pods into the status."""
    job = observed.job
    held = {uid_of(pod) for pod in observed.pods if observed.tracked(pod)}
    status = settle(dict(job.get("status") or {}), held)
    succeeded, failed = _pending(status, "succeeded"), _pending(status, "failed")
    listed = set(uncounted(job, "succeeded")), set(uncounted(job, "failed"))
    indexes: set[int] = set()
    release: list[Object] = []
    partial = False
    for pod in sorted(observed.pods, key=lambda pod: index_of(pod) or 0):
        if not observed.tracked(pod) or not _may_go(observed, tally, outcome.verdict, pod):
            continue
        if len(indexes) + len(succeeded) + len(failed) >= MOST_UNCOUNTED:
            partial = True
            break
        release.append(pod)
        index = valid_index(pod, job)
        if phase_of(pod) == "Succeeded" and uid_of(pod) not in listed[1]:
            if not is_indexed(job):
                if uid_of(pod) not in listed[0]:
                    succeeded.append(uid_of(pod))
            elif index is not None and index not in tally.succeeded_before:
                indexes.add(index)
        elif uid_of(pod) not in listed[1] and _is_loss(job, pod, outcome.verdict):
            failed.append(uid_of(pod))
    status["uncountedTerminatedPods"] = _without_empty({"succeeded": succeeded, "failed": failed})
    if is_indexed(job):
        done = tally.succeeded_before | indexes
        _put(status, "completedIndexes", format_indexes(done))
        _put(status, "succeeded", len(done))
        if has_limit_per_index(job):
            status["failedIndexes"] = format_indexes(tally.failed_indexes)
    _put(status, "active", outcome.active)
    status["ready"], status["terminating"] = outcome.ready, outcome.terminating
    status = _with_announcement(status, outcome.verdict, observed.now)
    return Books(status, tuple(release), partial)


def settle(status: Object, held: Collection[str]) -> Object:
    """Move uids of pods without finalizer (not among `held`) from the status into its counters."""
    pending = status.get("uncountedTerminatedPods") or {}
    kept: Object = {}
    status = dict(status)
    for kind in ("succeeded", "failed"):
        uids = pending.get(kind) or []
        kept[kind] = [uid for uid in uids if uid in held]
        _put(status, kind, (status.get(kind) or 0) + len(uids) - len(kept[kind]))
    status["uncountedTerminatedPods"] = _without_empty(kept)
    return status


def finish(status: Object, verdict: Verdict, now: datetime) -> Object | None:
    """The status of the ended Job; None while pods are still to be counted or on their way out."""
    if any((status.get("uncountedTerminatedPods") or {}).values()) or status.get("terminating"):
        return None
    moment = env.format_time(now)
    done = _with_condition(status, verdict.end, verdict, moment)
    # A suspended Job has no start time, and a finished one must have one.
    done.setdefault("startTime", moment)
    if verdict.success:
        done["completionTime"] = moment
    return done


def plan_suspension(job: Object, now: datetime) -> tuple[Object, str]:
    """The job with the Suspended condition it should have; and `Suspended`, `Resumed` or
    nothing, as the word of the event."""
    status = job.get("status") or {}
    present = condition_of(status.get("conditions"), "Suspended")
    holds = present is not None and present.get("status") == "True"
    moment = env.format_time(now)
    if is_suspended(job) and not holds:
        changed = _with_suspended(status, "True", "JobSuspended", "Job suspended", moment)
        changed.pop("startTime", None)
        return {**job, "status": changed}, "Suspended"
    if not is_suspended(job) and holds:
        changed = _with_suspended(status, "False", "JobResumed", "Job resumed", moment)
        changed["startTime"] = moment
        return {**job, "status": changed}, "Resumed"
    return job, ""


def _may_go(observed: Observed, tally: Tally, verdict: Verdict | None, pod: Object) -> bool:
    """May the pod lose its finalizer?"""
    job = observed.job
    if is_deleting(job) or verdict is not None or phase_of(pod) == "Succeeded":
        return True
    if not is_failed(pod, job):
        return False
    index = valid_index(pod, job)
    # The newest failed pod of an index keeps the count of failures for its replacement.
    keeper = tally.waiting.get(index) if index is not None else None
    return keeper is None or uid_of(keeper) != uid_of(pod)


def _is_loss(job: Object, pod: Object, verdict: Verdict | None) -> bool:
    """When a Job has failed, whatever still ran counts as failed too."""
    if is_indexed(job) and valid_index(pod, job) is None:
        return False
    lost = is_failed(pod, job) or (verdict is not None and not verdict.success)
    return lost and match_failure(job, pod).counts


def _pending(status: Object, kind: str) -> list[str]:
    return list((status.get("uncountedTerminatedPods") or {}).get(kind) or ())


def _without_empty(lists: Object) -> Object:
    return {kind: uids for kind, uids in lists.items() if uids}


def _put(status: Object, name: str, value: Any) -> None:
    """Zero and empty are left out, as upstream writes them."""
    if value:
        status[name] = value
    else:
        status.pop(name, None)


def _with_announcement(status: Object, verdict: Verdict | None, now: datetime) -> Object:
    if verdict is None or verdict.announced:
        return status
    return _with_condition(status, INTERIM[verdict.end], verdict, env.format_time(now))


def _with_condition(status: Object, kind: str, verdict: Verdict, moment: str) -> Object:
    condition = _condition(kind, "True", verdict.reason, verdict.message, moment)
    return {**status, "conditions": [*(status.get("conditions") or ()), condition]}


def _with_suspended(status: Object, value: str, reason: str, message: str, moment: str) -> Object:
    condition = _condition("Suspended", value, reason, message, moment)
    others = [c for c in status.get("conditions") or () if c["type"] != "Suspended"]
    return {**status, "conditions": [*others, condition]}


def _condition(kind: str, value: str, reason: str, message: str, moment: str) -> Object:
    return {
        "type": kind,
        "status": value,
        "lastProbeTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }
