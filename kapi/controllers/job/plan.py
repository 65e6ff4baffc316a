"""Which pods to create and which to delete. Pure.

Source: `manageJob` in k8s.io/kubernetes `pkg/controller/job/job_controller.go`. Upstream writes
`active: 0` while a back-off lasts; here the status always says how many there are, because a
status with more ready pods than active ones is refused.
"""

from dataclasses import dataclass

from kapi.api.object import Object
from kapi.controllers.job.backoff import remaining_for_index
from kapi.controllers.job.pods import (
    has_limit_per_index,
    is_indexed,
    is_suspended,
    removal_order,
    surplus_of_indexes,
    valid_index,
    waits_for_the_end,
)
from kapi.controllers.job.tally import Observed, Tally
from kapi.controllers.pods import is_terminating

# Creates or deletes in one go, as upstream's MaxPodCreateDeletePerSync.
BURST = 500


@dataclass(frozen=True, slots=True)
class PodPlan:
    """Delete these, or create one pod for each entry of `create`: its index, or None.

    `wait` is the seconds after which more may be created.
    """

    delete: tuple[Object, ...] = ()
    create: tuple[int | None, ...] = ()
    wait: float | None = None


def plan_pods(observed: Observed, tally: Tally) -> PodPlan:
    """For a Job that has not come to its end."""
    job, active = observed.job, tally.active
    if is_suspended(job):
        return PodPlan(delete=_removals(job, active, len(active))[:BURST])
    wanted = wanted_active(job, tally)
    removals = _removals(job, active, max(0, len(active) - wanted))
    if removals:
        return PodPlan(delete=removals[:BURST])
    leaving = tally.terminating if waits_for_the_end(job) else 0
    missing = min(wanted - leaving - len(active), BURST)
    if missing <= 0:
        return PodPlan()
    if has_limit_per_index(job):
        return _creations_by_index(observed, tally, missing)
    wait = tally.backoff.remaining(observed.now)
    if wait > 0:
        return PodPlan(wait=wait)
    if is_indexed(job):
        return PodPlan(create=tuple(_free_indexes(observed, tally, missing)))
    return PodPlan(create=(None,) * missing)


def wanted_active(job: Object, tally: Tally) -> int:
    """How many pods should run side by side now."""
    spec = job["spec"]
    parallelism: int = spec.get("parallelism", 1)
    completions: int | None = spec.get("completions")
    if completions is None:
        # The first success is the signal that there is no more work.
        return len(tally.active) if tally.succeeded > 0 else parallelism
    return max(0, min(parallelism, completions - tally.succeeded))


def _removals(job: Object, active: tuple[Object, ...], at_least: int) -> tuple[Object, ...]:
    surplus: list[Object] = []
    kept = list(active)
    if is_indexed(job):
        surplus, kept = surplus_of_indexes(active, job)
    if len(surplus) < at_least:
        surplus += removal_order(kept)[: at_least - len(surplus)]
    return tuple(surplus)


def _free_indexes(observed: Observed, tally: Tally, count: int) -> list[int]:
    """The lowest indexes that nothing works on and that are not settled."""
    job = observed.job
    busy = list(tally.active)
    if waits_for_the_end(job):
        busy += [pod for pod in observed.pods if is_terminating(pod)]
    taken = {index for pod in busy if (index := valid_index(pod, job)) is not None}
    taken |= tally.succeeded_indexes | tally.failed_indexes
    free: list[int] = []
    for index in range(job["spec"]["completions"]):
        if len(free) == count:
            break
        if index not in taken:
            free.append(index)
    return free


def _creations_by_index(observed: Observed, tally: Tally, count: int) -> PodPlan:
    """Each index backs off on its own."""
    create: list[int | None] = []
    waits: list[float] = []
    for index in _free_indexes(observed, tally, count):
        wait = remaining_for_index(tally.waiting.get(index), observed.now)
        if wait > 0:
            waits.append(wait)
        else:
            create.append(index)
    return PodPlan(create=tuple(create), wait=min(waits, default=None))
