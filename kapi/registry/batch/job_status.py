"""Validation of a Job's status, which another controller than the cluster's own may write.

A rule about a field applies when the field changes, so that a status that broke it before can
still be written. Source: `ValidateJobStatusUpdate` in k8s.io/kubernetes
`pkg/apis/batch/validation/validation.go`, `getStatusValidationOptions` in
`pkg/registry/batch/job/strategy.go`.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, duplicate, invalid, required
from kapi.api.indexes import parse_indexes
from kapi.api.object import Object, condition_of
from kapi.registry.fields import not_negative
from kapi.registry.internal_form import internal_form

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_TERMINAL = ("Failed", "Complete", "FailureTarget")
_UNCOUNTED = {"UncountedTerminatedPods": "Succeeded:? Failed:?"}


class _Change:
    """The status before and after, and questions about them."""

    def __init__(self, new: Object, old: Object) -> None:
        self.spec: Object = new.get("spec") or {}
        self.new: Object = new.get("status") or {}
        self.old: Object = old.get("status") or {}

    def holds(self, kind: str) -> bool:
        return _holds(self.new, kind)

    def held(self, kind: str) -> bool:
        return _holds(self.old, kind)

    @property
    def finished(self) -> bool:
        return self.holds("Complete") or self.holds("Failed")

    def flipped(self, *kinds: str) -> bool:
        """Did one of these conditions change?"""
        return any(self.holds(kind) != self.held(kind) for kind in kinds)

    def changed(self, *fields: str) -> bool:
        return any(self.new.get(field) != self.old.get(field) for field in fields)

    def finish_or(self, *fields: str) -> bool:
        """Did the Job finish now, or one of these fields change?"""
        was_finished = self.held("Complete") or self.held("Failed")
        return self.finished != was_finished or self.changed(*fields)


def job_status(job: Object, old: Object) -> list[FieldError]:
    """Complaints about a write through the status subresource."""
    change = _Change(job, old)
    errors: list[FieldError] = []
    for name in _COUNTS:
        errors += not_negative(change.new.get(name), f"status.{name}")
    return [
        *errors,
        *_uncounted(change.new.get("uncountedTerminatedPods") or {}),
        *_completion(change),
        *_ends(change),
        *_finished(change),
        *_indexes(change),
        *_pod_counts(change),
        *_success_criteria(change),
        *_backwards(change),
    ]


def _holds(status: Object, kind: str) -> bool:
    return (condition_of(status.get("conditions"), kind) or {}).get("status") == "True"


def _conditions(text: str) -> FieldError:
    """A complaint about the conditions, which it does not quote."""
    return FieldError("FieldValueInvalid", "status.conditions", f"Invalid value: {text}")


def _uncounted(pods: Object) -> Iterator[FieldError]:
    seen: set[str] = set()
    for kind in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(kind) or ()):
            path = f"status.uncountedTerminatedPods.{kind}[{index}]"
            if not uid:
                yield invalid(path, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(path, uid)
            seen.add(uid)


def _completion(change: _Change) -> Iterator[FieldError]:
    path, status = "status.completionTime", change.new
    done: str = status.get("completionTime") or ""
    complete = change.holds("Complete")
    if change.flipped("Complete", "Failed") and complete and change.holds("Failed"):
        yield _conditions("cannot set Complete=True and Failed=true conditions")
    if change.flipped("Complete", "FailureTarget") and complete and change.holds("FailureTarget"):
        yield _conditions("cannot set Complete=True and FailureTarget=true conditions")
    if change.flipped("Complete") or change.changed("completionTime"):
        if done and not complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            yield invalid(path, done, text)
        if complete and not done:
            yield required(path, "completionTime is required for Complete jobs")
    started: str = status.get("startTime") or ""
    moved = change.changed("startTime", "completionTime") and started and done
    if moved and datetime.fromisoformat(done) < datetime.fromisoformat(started):
        yield invalid(path, done, "completionTime cannot be set before startTime")


def _ends(change: _Change) -> Iterator[FieldError]:
    """The condition that announces an end comes no later than the end."""
    for end, sign in (("Failed", "FailureTarget"), ("Complete", "SuccessCriteriaMet")):
        if change.flipped(end, sign) and change.holds(end) and not change.holds(sign):
            yield _conditions(f"cannot set {end}=True condition without the {sign}=true condition")


def _finished(change: _Change) -> Iterator[FieldError]:
    if not change.finished:
        return
    status = change.new
    if change.finish_or("active") and (status.get("active") or 0) > 0:
        yield invalid("status.active", status["active"], "active>0 is invalid for finished job")
    if change.finish_or("startTime") and not status.get("startTime"):
        yield required("status.startTime", "startTime is required for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    if change.finish_or("uncountedTerminatedPods") and any(uncounted.values()):
        shown = internal_form(uncounted, "UncountedTerminatedPods", _UNCOUNTED)
        text = "uncountedTerminatedPods needs to be empty for finished job"
        yield invalid("status.uncountedTerminatedPods", shown, text)


def _indexes(change: _Change) -> Iterator[FieldError]:
    spec, status = change.spec, change.new
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    limit = spec.get("completions")
    per_index = spec.get("backoffLimitPerIndex") is not None
    new_completed, new_failed = change.changed("completedIndexes"), change.changed("failedIndexes")
    if new_completed and limit is not None:
        yield from _format("completedIndexes", completed, limit)
    if new_failed and limit is not None and per_index and failed is not None:
        yield from _format("failedIndexes", failed, limit)
    if new_completed and completed and spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield invalid("status.completedIndexes", completed, text)
    if failed is None:
        return
    if new_failed and not per_index:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield invalid("status.failedIndexes", failed, text)
    if (new_failed or new_completed) and limit is not None:
        text = _overlap(completed, failed, limit)
        if text:
            yield invalid("status.failedIndexes", failed, text)


def _format(field: str, text: str, limit: int) -> list[FieldError]:
    try:
        parse_indexes(text, limit)
    except ValueError as error:
        return [invalid(f"status.{field}", text, f"error parsing {field}: {error}")]
    return []


def _overlap(completed: str, failed: str, limit: int) -> str:
    """Why the two sets may not stand together; empty if one of them cannot be read."""
    try:
        done = parse_indexes(completed, limit)
        lost = parse_indexes(failed, limit)
    except ValueError:
        return ""
    for low, high in lost:
        for first, last in done:
            if first <= high and low <= last:
                index = max(first, low)
                return f"failedIndexes and completedIndexes overlap at index: {index}"
    return ""


def _pod_counts(change: _Change) -> Iterator[FieldError]:
    status = change.new
    leaving: int = status.get("terminating") or 0
    ready: int | None = status.get("ready")
    if change.finished and change.finish_or("terminating") and leaving > 0:
        text = "terminating>0 is invalid for finished job"
        yield invalid("status.terminating", leaving, text)
    moved = change.changed("ready", "active")
    if moved and ready is not None and ready > (status.get("active") or 0):
        yield invalid("status.ready", ready, "cannot set more ready pods than active")


def _success_criteria(change: _Change) -> Iterator[FieldError]:
    met = change.holds("SuccessCriteriaMet")
    if met and change.holds("Failed"):
        yield _conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if met and change.holds("FailureTarget"):
        yield _conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if change.spec.get("successPolicy") is not None and not met and change.holds("Complete"):
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        yield _conditions(text)


def _backwards(change: _Change) -> Iterator[FieldError]:
    """What may not be taken back once it was written."""
    for kind in _TERMINAL:
        if change.held(kind) and not change.holds(kind):
            yield _conditions(f"cannot disable the terminal {kind}=True condition")
    counters = ["failed"]
    spec = change.spec
    scalable = spec.get("completionMode") == "Indexed" and (
        spec.get("completions") == spec.get("parallelism")
    )
    if not scalable:
        counters.append("succeeded")
    for name in counters:
        value = change.new.get(name) or 0
        if value < (change.old.get(name) or 0):
            yield invalid(f"status.{name}", value, f"cannot decrease the {name} counter")
    yield from _times_kept(change)
    held = change.held("SuccessCriteriaMet")
    if held and not change.holds("SuccessCriteriaMet"):
        yield _conditions("cannot disable the SuccessCriteriaMet=True condition")
    if change.held("Complete") and not held and change.holds("SuccessCriteriaMet"):
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield _conditions(text)


def _times_kept(change: _Change) -> Iterator[FieldError]:
    before, after = change.old.get("completionTime"), change.new.get("completionTime")
    if before and after and before != after:
        yield invalid("status.completionTime", after, "completionTime cannot be mutated")
    started: Any = change.old.get("startTime")
    if started and change.changed("startTime") and not change.spec.get("suspend"):
        yield required("status.startTime", "startTime cannot be removed for unsuspended job")
