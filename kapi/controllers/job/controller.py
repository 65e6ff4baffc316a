"""Observes Jobs and their pods, and acts on the plans."""

from dataclasses import replace

from kapi import env
from kapi.api.object import (
    Object,
    is_deleting,
    namespace_of,
    uid_of,
)
from kapi.api.selectors import label_selector_from_object
from kapi.client.client import JOBS
from kapi.client.events import NORMAL, WARNING
from kapi.client.informer import key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.job.backoff import Backoff
from kapi.controllers.job.plan import plan_pods
from kapi.controllers.job.pod_writer import PodWriter
from kapi.controllers.job.pods import FINALIZER, is_managed_elsewhere, is_suspended, is_tracked
from kapi.controllers.job.tally import Observed, Tally, take_stock
from kapi.controllers.job.tracking import (
    Outcome,
    finish,
    plan_books,
    plan_suspension,
    settle,
)
from kapi.controllers.job.verdict import (
    COMPLETIONS_REACHED,
    Verdict,
    deadline_in,
    finished,
    judge,
    reached_completions,
)
from kapi.controllers.owned_pods import OwnedPods
from kapi.controllers.pods import is_ready

NAME = "job-controller"
# Upstream gathers a second's events; here a lone event waits for nothing.
_PACE = 0.2
_MODES = ("NonIndexed", "Indexed")


class JobController:
    """Runs the pods of every Job that is this controller's to manage."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._backoffs: dict[str, Backoff] = {}
        self._written: dict[str, int] = {}
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(pace=_PACE))
        self._owned = OwnedPods(context, JOBS, self._loop.queue.add, finalizer=FINALIZER)
        self._jobs = self._owned.owners
        self._writer = PodWriter(context, self._owned.expectations)
        self._jobs.add_handler(self._job_seen, self._job_changed, self._job_gone)
        self._owned.pods.add_handler(self._pod_added, self._pod_changed, self._pod_gone)

    async def run(self) -> None:
        await self._owned.wait_synced()
        await self._loop.run()

    # Events. `OwnedPods` wakes the loop up.

    def _job_seen(self, job: Object) -> None:
        """Nothing to remember."""

    def _job_changed(self, old: Object, new: Object) -> None:
        """Nothing to remember."""

    def _job_gone(self, job: Object) -> None:
        # A Job that is created anew under the name begins anew. What a round under way may yet
        # remember, the next one forgets.
        self._forget(key_of(job))

    def _pod_added(self, pod: Object) -> None:
        """Nothing to remember."""

    def _pod_changed(self, old: Object, new: Object) -> None:
        if is_tracked(old) and not is_tracked(new):
            self._pod_gone(old)

    def _pod_gone(self, pod: Object) -> None:
        if (job := self._owned.owner_of(pod)) is not None:
            self._writer.release_seen(key_of(job), pod)

    # Reconciling

    def _forget(self, key: str) -> None:
        self._writer.forget(key)
        self._backoffs.pop(key, None)
        self._written.pop(key, None)

    async def reconcile(self, key: str) -> float | None:
        """One round for one Job."""
        cached = self._jobs.get(key)
        if cached is None:
            self._forget(key)
            return None
        if is_managed_elsewhere(cached):
            return None
        if finished(cached):
            self._forget(key)
            return None
        if cached["spec"].get("completionMode") not in _MODES:
            text = "Skipped Job sync because completion mode is unknown"
            self._recorder.event(cached, WARNING, "UnknownCompletionMode", text)
            return None
        if int(cached["metadata"]["resourceVersion"]) < self._written.get(key, 0):
            # Counting again from a status older than our own would create pods too many. The
            # newer one is on its way.
            return None
        return await self._round(key, cached)

    async def _round(self, key: str, cached: Object) -> float | None:
        now = env.now()
        job = _started(cached, env.format_time(now))
        pods = await self._owned.claimed(
            job, label_selector_from_object(job["spec"].get("selector"))
        )
        observed = Observed(
            job=job,
            pods=tuple(pods),
            released=self._writer.released(key),
            settled=self._writer.expectations.satisfied(key),
            backoff=self._backoffs.get(key, Backoff()),
            now=now,
        )
        tally = take_stock(observed)
        verdict = judge(observed, tally)
        wait: float | None = None
        if verdict is not None:
            outcome, error = await self._stop(observed, tally, verdict)
        else:
            job, outcome, wait, error = await self._manage(observed, tally)
        await self._account(key, cached, job, observed, tally, outcome)
        self._backoffs[key] = tally.backoff
        if error is not None:
            raise error
        waits = [wait, deadline_in(job, now)]
        if not self._writer.expectations.satisfied(key):
            waits.append(self._writer.expectations.remaining(key))
        return min((value for value in waits if value is not None and value > 0), default=None)

    async def _stop(
        self, observed: Observed, tally: Tally, verdict: Verdict
    ) -> tuple[Outcome, Exception | None]:
        """Delete what still runs. The verdict stands once nothing is left or on its way."""
        gone, error = await self._writer.delete(observed.job, tally.active, uncounted=False)
        stands = observed.settled and len(gone) == len(tally.active)
        return _after(tally, gone, 0, verdict if stands else None), error

    async def _manage(
        self, observed: Observed, tally: Tally
    ) -> tuple[Object, Outcome, float | None, Exception | None]:
        """The Job with its Suspended condition, the outcome, seconds to wait, the error."""
        job = observed.job
        gone: list[Object] = []
        made, wait, error = 0, None, None
        may_act = observed.settled and not is_deleting(job)
        if may_act:
            plan = plan_pods(observed, tally)
            wait = plan.wait
            if plan.delete:
                gone, error = await self._writer.delete(job, plan.delete, uncounted=True)
            elif plan.create:
                made, error = await self._writer.create(job, plan.create, tally.waiting)
        outcome = _after(tally, gone, made, None)
        if reached_completions(job, tally, outcome.active):
            outcome = _after(tally, gone, made, COMPLETIONS_REACHED)
        elif may_act:
            job, word = plan_suspension(job, observed.now)
            if word:
                self._recorder.event(job, NORMAL, word, f"Job {word.lower()}")
        return job, outcome, wait, error

    # Accounting

    async def _account(
        self,
        key: str,
        cached: Object,
        job: Object,
        observed: Observed,
        tally: Tally,
        outcome: Outcome,
    ) -> None:
        """Write the status, free the counted pods, count them, and end the Job if it is over.

        Raises Conflict when `cached` is behind; the next round begins from the newer status.
        """
        observed = replace(observed, job=job)
        books = plan_books(observed, tally, outcome)
        live = await self._write(key, cached, books.status)
        free, error = await self._writer.release(job, books.release)
        held = {uid_of(pod) for pod in observed.pods if observed.tracked(pod)} - free
        status = settle(books.status, held)
        verdict = outcome.verdict
        done = None
        if verdict is not None and not books.partial and error is None:
            done = finish(status, verdict, observed.now)
        await self._write(key, live, done or status)
        if done is not None and verdict is not None:
            self._report_end(job, done, verdict)
        if error is not None:
            raise error

    async def _write(self, key: str, job: Object, status: Object) -> Object:
        """The Job as written; as it was if the status says nothing new."""
        if (job.get("status") or {}) == status:
            return job
        body = {**job, "status": status}
        live = await self._client.update(JOBS, namespace_of(job), body, subresource="status")
        self._written[key] = int(live["metadata"]["resourceVersion"])
        return {**live, "status": status}

    def _report_end(self, job: Object, status: Object, verdict: Verdict) -> None:
        if not verdict.success:
            self._recorder.event(job, WARNING, verdict.reason, verdict.message)
            return
        wanted = job["spec"].get("completions")
        if wanted is not None and (status.get("succeeded") or 0) > wanted:
            text = "Too many succeeded pods running after completion count reached"
            self._recorder.event(job, WARNING, "TooManySucceededPods", text)
        self._recorder.event(job, NORMAL, "Completed", "Job completed")


def _started(job: Object, moment: str) -> Object:
    """With a start time, unless it is suspended."""
    status = job.get("status") or {}
    if status.get("startTime") or is_suspended(job):
        return job
    return {**job, "status": {**status, "startTime": moment}}


def _after(tally: Tally, gone: list[Object], made: int, verdict: Verdict | None) -> Outcome:
    return Outcome(
        active=len(tally.active) - len(gone) + made,
        ready=tally.ready - sum(is_ready(pod) for pod in gone),
        terminating=tally.terminating + len(gone),
        verdict=verdict,
    )
