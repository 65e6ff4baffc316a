"""Whether a Job has come to its end, and how. Pure.

Source: `syncJob` in k8s.io/kubernetes `pkg/controller/job/job_controller.go`; the order of the
questions is upstream's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kapi import env
from kapi.api.object import Object, condition_of
from kapi.controllers.job.pods import is_failed, is_indexed, is_suspended, restarts
from kapi.controllers.job.policies import match_failure, match_success
from kapi.controllers.job.tally import Observed, Tally
from kapi.controllers.pods import phase_of

INTERIM = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}
"""The condition that announces an end."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`end` is Complete or Failed; `announced` if the status says so already."""

    end: str
    reason: str
    message: str
    announced: bool = False

    @property
    def success(self) -> bool:
        return self.end == "Complete"


COMPLETIONS_REACHED = Verdict(
    "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
)


def finished(job: Object) -> str:
    """`Complete` or `Failed`; empty while it is neither."""
    conditions = (job.get("status") or {}).get("conditions")
    for kind in ("Complete", "Failed"):
        if _holds(conditions, kind):
            return kind
    return ""


def judge(observed: Observed, tally: Tally) -> Verdict | None:
    """The verdict before pods are managed."""
    job = observed.job
    for question in (_announced, _fail_job, _limits):
        verdict = question(observed, tally)
        if verdict is not None:
            return verdict
    if is_indexed(job):
        return _indexes(job, tally)
    return None


def reached_completions(job: Object, tally: Tally, active: int) -> bool:
    """Has enough succeeded, now that this many pods are left active?"""
    wanted = job["spec"].get("completions")
    if wanted is None:
        return tally.succeeded > 0 and active == 0
    return bool(tally.succeeded >= wanted) and active == 0


def deadline_in(job: Object, now: datetime) -> float | None:
    """Seconds until activeDeadlineSeconds pass, not positive if they have; None without one."""
    limit = job["spec"].get("activeDeadlineSeconds")
    started = (job.get("status") or {}).get("startTime")
    if limit is None or not started or is_suspended(job):
        return None
    return (env.parse_time(started) + timedelta(seconds=limit) - now).total_seconds()


def _holds(conditions: list[dict[str, Any]] | None, kind: str) -> bool:
    return (condition_of(conditions, kind) or {}).get("status") == "True"


def _announced(observed: Observed, tally: Tally) -> Verdict | None:
    conditions = (observed.job.get("status") or {}).get("conditions")
    for end, interim in INTERIM.items():
        if _holds(conditions, interim):
            found = condition_of(conditions, interim) or {}
            return Verdict(end, found.get("reason") or "", found.get("message") or "", True)
    return None


def _fail_job(observed: Observed, tally: Tally) -> Verdict | None:
    job = observed.job
    if job["spec"].get("podFailurePolicy") is None:
        return None
    for pod in observed.pods:
        if is_failed(pod, job) and (message := match_failure(job, pod).message):
            return Verdict("Failed", "PodFailurePolicy", message)
    return None


def _limits(observed: Observed, tally: Tally) -> Verdict | None:
    job = observed.job
    if tally.failed > job["spec"]["backoffLimit"] or _too_many_restarts(observed):
        text = "Job has reached the specified backoff limit"
        return Verdict("Failed", "BackoffLimitExceeded", text)
    left = deadline_in(job, observed.now)
    if left is not None and left <= 0:
        text = "Job was active longer than specified deadline"
        return Verdict("Failed", "DeadlineExceeded", text)
    return None


def _too_many_restarts(observed: Observed) -> bool:
    """Containers that restart in place count against the limit too."""
    spec = observed.job["spec"]
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    alive = (pod for pod in observed.pods if phase_of(pod) in ("Running", "Pending"))
    total = sum(restarts(pod) for pod in alive)
    limit = spec["backoffLimit"]
    return total > 0 if limit == 0 else bool(total >= limit)


def _indexes(job: Object, tally: Tally) -> Verdict | None:
    spec = job["spec"]
    lost, done = len(tally.failed_indexes), len(tally.succeeded_indexes)
    allowed = spec.get("maxFailedIndexes")
    if allowed is not None and lost > allowed:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict("Failed", "MaxFailedIndexesExceeded", text)
    if lost and lost + done >= spec["completions"]:
        return Verdict("Failed", "FailedIndexes", "Job has failed indexes")
    text = match_success(job, set(tally.succeeded_indexes))
    return Verdict("Complete", "SuccessPolicy", text) if text else None
