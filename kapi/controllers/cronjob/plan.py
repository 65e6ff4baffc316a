"""Which run is due, which Jobs are too old, and the Job to create. Pure.

Source: k8s.io/kubernetes `pkg/controller/cronjob/utils.go`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kapi import env
from kapi.api.object import Object, name_of, namespace_of, owner_reference, uid_of
from kapi.controllers.cronjob.schedule import Schedule

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"

# A timer that fires a moment early must not find the time still to come.
_AFTER_THE_TIME = timedelta(milliseconds=100)
_MANY_MISSED = 100
# Without a time to come, look again after so long.
_NEVER = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Due:
    """The newest time that has passed since the last run, if one has.

    `earliest` is where the search began; `missed` is an estimate of how many times passed.
    """

    earliest: datetime
    time: datetime | None
    missed: int

    @property
    def too_many(self) -> bool:
        return self.missed > _MANY_MISSED


def find_due(cron_job: Object, schedule: Schedule, now: datetime, *, deadline: bool = True) -> Due:
    """With `deadline`, times before startingDeadlineSeconds ago do not matter.

    However many times passed, only a few are looked at: as upstream, the distance of the first two
    tells where the newest must be.
    """
    last = (cron_job.get("status") or {}).get("lastScheduleTime")
    earliest = env.parse_time(last or cron_job["metadata"]["creationTimestamp"])
    limit = cron_job["spec"].get("startingDeadlineSeconds")
    if deadline and limit is not None:
        earliest = max(earliest, now - timedelta(seconds=limit))
    times = schedule.after(earliest)
    first = next(times, None)
    if first is None or now < first:
        return Due(earliest, None, 0)
    second = next(times, None)
    if second is None or now < second:
        return Due(earliest, first, 1)
    distance = second - first
    missed = (now - first) // distance + 1
    newest: datetime | None = None
    for time in schedule.after(first + (missed - 2) * distance):
        if time > now:
            break
        newest = time
    return Due(earliest, newest, missed)


def seconds_to_next(cron_job: Object, schedule: Schedule, now: datetime) -> float:
    """Until a moment after the next time of the schedule."""
    due = find_due(cron_job, schedule, now, deadline=False)
    since = due.time or (now if due.missed else due.earliest)
    following = schedule.next(since) or now + _NEVER
    return max(0.0, (following + _AFTER_THE_TIME - now).total_seconds())


def job_name(cron_job: Object, time: datetime) -> str:
    """One name for each time, so that no run can be started twice."""
    return f"{name_of(cron_job)}-{int(time.timestamp()) // 60}"


def job_for(cron_job: Object, schedule: Schedule, time: datetime) -> Object:
    """The Job of the run that was due at `time`."""
    template = cron_job["spec"]["jobTemplate"]
    given = template.get("metadata") or {}
    stamp = time.astimezone(schedule.zone).isoformat(timespec="seconds").replace("+00:00", "Z")
    metadata: Object = {
        "name": job_name(cron_job, time),
        "namespace": namespace_of(cron_job),
        "annotations": {**(given.get("annotations") or {}), SCHEDULED_AT: stamp},
        "ownerReferences": [owner_reference(cron_job)],
    }
    if given.get("labels"):
        metadata["labels"] = given["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def finished_as(job: Object) -> str:
    """`Complete` or `Failed`; empty while the Job is neither."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return ""


def plan_history(cron_job: Object, jobs: Iterable[Object]) -> list[Object]:
    """Finished Jobs beyond the limits, the oldest first."""
    spec, surplus = cron_job["spec"], []
    found = list(jobs)
    for end, limit in (
        ("Complete", spec.get("successfulJobsHistoryLimit")),
        ("Failed", spec.get("failedJobsHistoryLimit")),
    ):
        if limit is None:
            continue
        ended = sorted((job for job in found if finished_as(job) == end), key=_by_start)
        surplus += ended[: max(0, len(ended) - limit)]
    return surplus


def _by_start(job: Object) -> tuple[bool, str, str]:
    started = (job.get("status") or {}).get("startTime") or ""
    return not started, started, name_of(job)


def job_reference(job: Object) -> dict[str, Any]:
    return {
        "kind": "Job",
        "namespace": namespace_of(job),
        "name": name_of(job),
        "uid": uid_of(job),
        "apiVersion": "batch/v1",
        "resourceVersion": job["metadata"]["resourceVersion"],
    }


def is_listed(status: Object, uid: str) -> bool:
    return any(entry.get("uid") == uid for entry in status.get("active") or ())


def without(status: Object, uid: str) -> Object:
    """The status with the Job no longer among the active ones."""
    active = [entry for entry in status.get("active") or () if entry.get("uid") != uid]
    rest = {name: value for name, value in status.items() if name != "active"}
    return {**rest, "active": active} if active else rest


def with_success(status: Object, jobs: Sequence[Object]) -> Object:
    """With the newest completion in lastSuccessfulTime."""
    times = [
        (job.get("status") or {}).get("completionTime")
        for job in jobs
        if finished_as(job) == "Complete"
    ]
    newest = max((time for time in times if time), default="")
    if newest <= (status.get("lastSuccessfulTime") or ""):
        return status
    return {**status, "lastSuccessfulTime": newest}


def went_by(due: datetime, cron_job: Object, now: datetime) -> bool:
    """Is it too late for the run that was due then?"""
    limit = cron_job["spec"].get("startingDeadlineSeconds")
    return limit is not None and bool(due + timedelta(seconds=limit) < now)


def was_started(status: Object, cron_job: Object, due: datetime) -> bool:
    """Does the status know the run that was due then?"""
    name, last = job_name(cron_job, due), status.get("lastScheduleTime")
    if last and env.parse_time(last) == due:
        return True
    return any(entry.get("name") == name for entry in status.get("active") or ())
