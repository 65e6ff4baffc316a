"""Observes CronJobs and their Jobs; timers bring each back when its next time comes.

Source: k8s.io/kubernetes `pkg/controller/cronjob/cronjob_controllerv2.go`.
"""

from datetime import datetime

from kapi import env
from kapi.api.errors import AlreadyExists, ApiError, NotFound
from kapi.api.object import (
    Object,
    controller_of,
    is_deleting,
    name_of,
    namespace_of,
    uid_of,
)
from kapi.client.client import CRON_JOBS, JOBS
from kapi.client.events import NORMAL, WARNING
from kapi.client.informer import key_of
from kapi.client.reconcile import ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.cronjob.plan import (
    find_due,
    finished_as,
    is_listed,
    job_for,
    job_name,
    job_reference,
    plan_history,
    seconds_to_next,
    was_started,
    went_by,
    with_success,
    without,
)
from kapi.controllers.cronjob.schedule import (
    Schedule,
    UnknownTimeZone,
    UnreadableSchedule,
    parse_schedule,
    time_zone,
)
from kapi.controllers.ownership import namespace_terminating

NAME = "cronjob-controller"


class CronJobController:
    """Starts the runs of every CronJob."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._cron_jobs = context.informers.get(CRON_JOBS)
        self._jobs = context.informers.get(JOBS)
        self._written: dict[str, int] = {}
        self._loop = ReconcileLoop(NAME, self.reconcile)
        self._cron_jobs.add_handler(self._enqueue, self._changed, self._gone)
        self._jobs.add_handler(self._job_seen, self._job_changed, self._job_seen)

    async def run(self) -> None:
        await self._cron_jobs.wait_synced()
        await self._jobs.wait_synced()
        await self._loop.run()

    # Events

    def _enqueue(self, cron_job: Object) -> None:
        self._loop.queue.add(key_of(cron_job))

    def _changed(self, old: Object, new: Object) -> None:
        """Another schedule only sets another timer: what it would have missed was not missed."""
        fields = ("schedule", "timeZone")
        if all(old["spec"].get(name) == new["spec"].get(name) for name in fields):
            self._enqueue(new)
            return
        try:
            schedule = _schedule_of(new)
        except (UnknownTimeZone, UnreadableSchedule) as error:
            text = f"unparseable schedule for cronjob: {new['spec']['schedule']!r} : {error}"
            self._recorder.event(new, WARNING, "UnParseableCronJobSchedule", text)
            return
        self._loop.queue.add_after(key_of(new), seconds_to_next(new, schedule, env.now()))

    def _gone(self, cron_job: Object) -> None:
        """A round that is under way may yet write down a version: the next one forgets it."""
        self._enqueue(cron_job)

    def _job_seen(self, job: Object) -> None:
        reference = controller_of(job)
        if reference is not None and reference.get("kind") == CRON_JOBS.kind:
            key = f"{namespace_of(job)}/{reference['name']}"
            if self._cron_jobs.get(key) is not None:
                self._loop.queue.add(key)

    def _job_changed(self, old: Object, new: Object) -> None:
        self._job_seen(new)
        if controller_of(old) != controller_of(new):
            self._job_seen(old)

    # Reconciling

    async def reconcile(self, key: str) -> float | None:
        """One round for one CronJob; seconds until its next time."""
        cron_job = self._cron_jobs.get(key)
        if cron_job is None:
            self._written.pop(key, None)
            return None
        if int(cron_job["metadata"]["resourceVersion"]) < self._written.get(key, 0):
            # A status newer than this copy is on its way.
            return None
        children = self._children(cron_job)
        status = dict(cron_job.get("status") or {})
        status = await self._clear_history(cron_job, status, children)
        status = await self._follow_children(cron_job, status, children)
        wait: float | None = None
        try:
            status, wait = await self._start_due(cron_job, status)
        finally:
            # What was found out about the children stands, also when starting a run failed.
            await self._write(key, cron_job, status)
        return wait

    def _children(self, cron_job: Object) -> list[Object]:
        """By the owner's name, so that the Jobs of a CronJob that was created anew stay its own."""
        found = []
        for job in self._jobs.in_namespace(namespace_of(cron_job)):
            reference = controller_of(job)
            if (
                reference is not None
                and reference.get("kind") == CRON_JOBS.kind
                and reference["name"] == name_of(cron_job)
            ):
                found.append(job)
        return found

    async def _clear_history(
        self, cron_job: Object, status: Object, children: list[Object]
    ) -> Object:
        for job in plan_history(cron_job, children):
            if not is_deleting(job) and await self._delete_job(cron_job, job):
                status = without(status, uid_of(job))
        return status

    async def _delete_job(self, cron_job: Object, job: Object) -> bool:
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid_of(job)}}
        try:
            await self._client.delete(JOBS, namespace_of(job), name_of(job), options=options)
        except NotFound:
            return True
        except (ApiError, ConnectionError) as error:
            self._recorder.event(cron_job, WARNING, "FailedDelete", f"Deleted job: {error}")
            return False
        self._recorder.event(cron_job, NORMAL, "SuccessfulDelete", f"Deleted job {name_of(job)}")
        return True

    async def _follow_children(
        self, cron_job: Object, status: Object, children: list[Object]
    ) -> Object:
        """The status after what became of the Jobs."""
        for job in children:
            end, listed = finished_as(job), is_listed(status, uid_of(job))
            if listed and end:
                text = f"Saw completed job: {name_of(job)}, condition: {end}"
                self._recorder.event(cron_job, NORMAL, "SawCompletedJob", text)
                status = without(status, uid_of(job))
            elif not listed and not end:
                text = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
                self._recorder.event(cron_job, WARNING, "UnexpectedJob", text)
        status = with_success(status, children)
        known = {uid_of(job) for job in children}
        for entry in list(status.get("active") or ()):
            if entry["uid"] not in known and not await self._exists(cron_job, entry):
                text = f"Active job went missing: {entry['name']}"
                self._recorder.event(cron_job, NORMAL, "MissingJob", text)
                status = without(status, entry["uid"])
        return status

    async def _exists(self, cron_job: Object, entry: Object) -> bool:
        """Asks the server: the copy of Jobs may be behind that of CronJobs."""
        try:
            job = await self._client.get(JOBS, namespace_of(cron_job), entry["name"])
        except NotFound:
            return False
        return bool(uid_of(job) == entry["uid"])

    async def _start_due(self, cron_job: Object, status: Object) -> tuple[Object, float | None]:
        """The status after starting the run that is due, if one is; seconds to the next time."""
        spec = cron_job["spec"]
        if is_deleting(cron_job):
            return status, None
        try:
            schedule = _schedule_of(cron_job)
        except UnknownTimeZone as error:
            text = f'invalid timeZone: "{spec["timeZone"]}": {error}'
            self._recorder.event(cron_job, WARNING, "UnknownTimeZone", text)
            return status, None
        except UnreadableSchedule as error:
            if not spec.get("suspend"):
                text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
                self._recorder.event(cron_job, WARNING, "UnparseableSchedule", text)
            return status, None
        if spec.get("suspend"):
            return status, None
        if "TZ" in spec["schedule"]:
            text = (
                "CRON_TZ or TZ used in schedule is not officially supported, see "
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more "
                "details"
            )
            self._recorder.event(cron_job, WARNING, "UnsupportedSchedule", text)
        now = env.now()
        due = find_due(cron_job, schedule, now)
        if due.too_many:
            text = (
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or "
                "check clock skew"
            )
            self._recorder.event(cron_job, WARNING, "TooManyMissedTimes", text)
        if due.time is not None and self._may_start(cron_job, status, due.time, now):
            status = await self._replace_active(cron_job, status)
            status = await self._start(cron_job, status, schedule, due.time)
        current = {**cron_job, "status": status}
        return status, seconds_to_next(current, schedule, env.now())

    def _may_start(self, cron_job: Object, status: Object, due: datetime, now: datetime) -> bool:
        if went_by(due, cron_job, now):
            stamp = due.strftime("%a, %d %b %Y %H:%M:%S +0000")
            text = f"Missed scheduled time to start a job: {stamp}"
            self._recorder.event(cron_job, WARNING, "MissSchedule", text)
            return False
        if was_started(status, cron_job, due):
            return False
        if cron_job["spec"].get("concurrencyPolicy") == "Forbid" and status.get("active"):
            text = (
                "Not starting job because prior execution is running and concurrency policy is "
                "Forbid"
            )
            self._recorder.event(cron_job, NORMAL, "JobAlreadyActive", text)
            return False
        return True

    async def _replace_active(self, cron_job: Object, status: Object) -> Object:
        """With the policy Replace, what still runs makes way. Raises when it cannot be deleted."""
        if cron_job["spec"].get("concurrencyPolicy") != "Replace":
            return status
        namespace = namespace_of(cron_job)
        for entry in list(status.get("active") or ()):
            try:
                job = await self._client.get(JOBS, namespace, entry["name"])
            except NotFound:
                job = None
            except (ApiError, ConnectionError) as error:
                self._recorder.event(cron_job, WARNING, "FailedGet", f"Get job: {error}")
                raise
            if job is not None and not await self._delete_job(cron_job, job):
                raise ConnectionError(f"could not replace job {namespace}/{entry['name']}")
            status = without(status, entry["uid"])
        return status

    async def _start(
        self, cron_job: Object, status: Object, schedule: Schedule, due: datetime
    ) -> Object:
        namespace = namespace_of(cron_job)
        try:
            job = await self._client.create(JOBS, namespace, job_for(cron_job, schedule, due))
        except AlreadyExists:
            # Started in an earlier round whose status was not written, or somebody else's.
            job = await self._client.get(JOBS, namespace, job_name(cron_job, due))
            owner = controller_of(job)
            if owner is None or owner.get("uid") != uid_of(cron_job):
                return status
        except ApiError as error:
            if not namespace_terminating(error):
                text = f"Error creating job: {error}"
                self._recorder.event(cron_job, WARNING, "FailedCreate", text)
            raise
        else:
            text = f"Created job {name_of(job)}"
            self._recorder.event(cron_job, NORMAL, "SuccessfulCreate", text)
        active = list(status.get("active") or ())
        if not finished_as(job) and not is_listed(status, uid_of(job)):
            active.append(job_reference(job))
        found = {**status, "lastScheduleTime": env.format_time(due)}
        return {**found, "active": active} if active else found

    async def _write(self, key: str, cron_job: Object, status: Object) -> None:
        if (cron_job.get("status") or {}) == status:
            return
        body = {**cron_job, "status": status}
        live = await self._client.update(
            CRON_JOBS, namespace_of(cron_job), body, subresource="status"
        )
        self._written[key] = int(live["metadata"]["resourceVersion"])


def _schedule_of(cron_job: Object) -> Schedule:
    """Raises UnknownTimeZone or UnreadableSchedule."""
    spec = cron_job["spec"]
    return parse_schedule(spec["schedule"], time_zone(spec.get("timeZone")))
