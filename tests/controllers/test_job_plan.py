"""The Job planners: whole lives of Jobs with crashes in between, and single decisions."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi import env
from kapi.api.indexes import format_indexes, index_set, parse_indexes
from kapi.controllers.job.backoff import Backoff
from kapi.controllers.job.plan import plan_pods
from kapi.controllers.job.pods import FINALIZER, finish_time
from kapi.controllers.job.policies import match_success
from kapi.controllers.job.tally import Observed, take_stock
from kapi.controllers.job.template import pod_for
from kapi.controllers.job.tracking import Outcome, finish, plan_books, plan_suspension, settle
from kapi.controllers.job.verdict import (
    COMPLETIONS_REACHED,
    finished,
    judge,
    reached_completions,
)
from kapi.controllers.pods import is_active, is_ready
from kapi.registry.batch.job import default_job_spec
from kapi.registry.batch.job_status import job_status

START = datetime(2026, 1, 1, tzinfo=UTC)


class Crash(Exception):
    """The controller ends here."""


def job_with(**spec):
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    spec = {"template": template, **spec}
    default_job_spec(spec)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task", "namespace": "default", "uid": "j"},
        "spec": spec,
        "status": {},
    }


class World:
    """An API server and kubelets for one Job, and a controller that may crash anywhere."""

    def __init__(self, job):
        self.job = job
        self.pods = {}
        self.now = START
        self.backoff = Backoff()
        self.made = 0
        self.ends = {}
        self.crash_after = None

    # The controller

    def round(self):
        """One round; ends early at the step `crash_after`."""
        self.now += timedelta(seconds=700)
        if finished(self.job):
            return
        old = self.job.get("status") or {}
        status = dict(old)
        if not self.job["spec"].get("suspend"):
            status.setdefault("startTime", env.format_time(self.now))
        job = {**self.job, "status": status}
        observed = Observed(
            job, tuple(self.pods.values()), frozenset(), True, self.backoff, self.now
        )
        tally = take_stock(observed)
        verdict = judge(observed, tally)
        gone, made = [], 0
        if verdict is not None:
            gone = list(tally.active)
            for pod in gone:
                self._delete(pod)
        else:
            plan = plan_pods(observed, tally)
            assert not (plan.delete and plan.create)
            gone, made = list(plan.delete), len(plan.create)
            for pod in gone:
                self._release(pod)
                self._delete(pod)
            for index in plan.create:
                self._create(index, tally.waiting.get(index))
            if reached_completions(job, tally, len(tally.active) - len(gone) + made):
                verdict = COMPLETIONS_REACHED
            else:
                job, _ = plan_suspension(job, self.now)
        self._step(1)
        outcome = Outcome(
            len(tally.active) - len(gone) + made,
            tally.ready - sum(map(is_ready, gone)),
            tally.terminating + len(gone),
            verdict,
        )
        observed = Observed(job, observed.pods, frozenset(), True, self.backoff, self.now)
        books = plan_books(observed, tally, outcome)
        self._write(books.status)
        self._step(2)
        for pod in books.release:
            self._release(pod)
        self._step(3)
        held = {u for u, p in self.pods.items() if FINALIZER in p["metadata"]["finalizers"]}
        settled = settle(books.status, held)
        done = finish(settled, verdict, self.now) if verdict and not books.partial else None
        self._write(done or settled)
        self.backoff = tally.backoff

    def _step(self, number):
        if self.crash_after == number:
            self.backoff = Backoff()
            raise Crash

    def _write(self, status):
        new = {**self.job, "status": status}
        assert job_status(new, self.job) == []
        for name in ("succeeded", "failed"):
            assert status.get(name, 0) >= self.job["status"].get(name, 0)
        self.job = new

    def _create(self, index, replaced):
        self.made += 1
        pod = pod_for(self.job, index, replaced)
        pod["metadata"].update(
            uid=f"p{self.made}", name=f"p{self.made}", namespace="default",
            creationTimestamp=env.format_time(self.now),
        )  # fmt: skip
        pod["metadata"].setdefault("annotations", {})
        pod["status"] = {"phase": "Running"}
        self.pods[pod["metadata"]["uid"]] = pod

    def _change(self, pod, **metadata):
        current = self.pods.get(pod["metadata"]["uid"])
        if current is not None:
            changed = {**current, "metadata": {**current["metadata"], **metadata}}
            self.pods[pod["metadata"]["uid"]] = changed
            self._sweep()

    def _release(self, pod):
        self._change(pod, finalizers=[])

    def _delete(self, pod):
        self._change(pod, deletionTimestamp=env.format_time(self.now))

    # The kubelets

    def end(self, number, phase):
        """One of the running pods ends."""
        running = [p for p in self.pods.values() if p["status"]["phase"] == "Running"]
        if running:
            pod = running[number % len(running)]
            uid = pod["metadata"]["uid"]
            self.pods[uid] = {**pod, "status": {"phase": phase}}
            self.ends[uid] = phase
            self._sweep()

    def _sweep(self):
        """Deleted pods vanish once they have ended and are counted."""
        for uid, pod in list(self.pods.items()):
            meta = pod["metadata"]
            ended = pod["status"]["phase"] != "Running"
            if meta.get("deletionTimestamp") and ended and not meta["finalizers"]:
                del self.pods[uid]

    @property
    def active(self):
        return [pod for pod in self.pods.values() if is_active(pod)]


steps = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(["Succeeded", "Succeeded", "Failed", ""]),
        st.sampled_from([None, None, None, 1, 2, 3]),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(
    parallelism=st.integers(0, 4),
    completions=st.one_of(st.none(), st.integers(0, 5)),
    indexed=st.booleans(),
    per_index=st.one_of(st.none(), st.integers(0, 2)),
    replacement=st.sampled_from(["Failed", "TerminatingOrFailed"]),
    happenings=steps,
)
def test_a_job_lives_by_its_promises(
    parallelism, completions, indexed, per_index, replacement, happenings
):
    spec = {
        "parallelism": parallelism,
        "backoffLimit": 3,
        "podReplacementPolicy": replacement,
    }
    if completions is not None:
        spec["completions"] = completions
    indexed = indexed and completions is not None
    if indexed:
        spec["completionMode"] = "Indexed"
        if per_index is not None:
            spec["backoffLimitPerIndex"] = per_index
    world = World(job_with(**spec))
    for number, phase, crash in happenings:
        world.crash_after = crash
        try:
            world.round()
        except Crash:
            pass
        assert len(world.active) <= parallelism
        if phase:
            world.end(number, phase)
    world.crash_after = None
    # Everything that still runs succeeds: the Job must come to an end.
    for _ in range(40):
        world.round()
        assert len(world.active) <= parallelism
        while any(p["status"]["phase"] == "Running" for p in world.pods.values()):
            world.end(0, "Succeeded")
    status = world.job["status"]
    if parallelism or completions == 0:
        assert finished(world.job)
        assert not any(pod["metadata"]["finalizers"] for pod in world.pods.values())
    assert not any(status.get("uncountedTerminatedPods", {}).values())
    won = sum(phase == "Succeeded" for phase in world.ends.values())
    # Succeeding after the Job has ended counts as failing, like all that it gave up.
    assert status.get("succeeded", 0) <= won
    assert status.get("succeeded", 0) + status.get("failed", 0) <= world.made
    if finished(world.job) == "Complete":
        lost = sum(phase == "Failed" for phase in world.ends.values())
        assert status.get("failed", 0) == lost
        if not indexed:
            assert status.get("succeeded", 0) == won
        if completions is not None:
            assert status.get("succeeded", 0) == completions


def world_of(count, **spec):
    world = World(job_with(**spec))
    world.round()
    assert len(world.active) == count
    return world


def test_failed_pods_are_replaced_after_ten_seconds_doubled():
    backoff = Backoff()
    pod = {"metadata": {"creationTimestamp": env.format_time(START)}}
    for failures, seconds in enumerate((10, 20, 40, 80, 160, 320, 600, 600), start=1):
        backoff = backoff.after([], [pod])
        assert backoff.failures == failures
        assert backoff.remaining(START) == seconds
        assert backoff.remaining(START + timedelta(seconds=seconds)) == 0
    later = {"metadata": {"creationTimestamp": env.format_time(START + timedelta(seconds=1))}}
    assert backoff.after([later], [pod]) == Backoff()
    assert backoff.after([pod], [later]).failures == 1


def test_replacements_carry_the_failures_of_their_index():
    world = world_of(1, completions=1, completionMode="Indexed", backoffLimitPerIndex=2)
    for failures in range(3):
        [pod] = world.active
        count = pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"]
        assert count == str(failures)
        world.end(0, "Failed")
        world.round()
    world.round()
    assert finished(world.job) == "Failed"
    assert world.job["status"]["failedIndexes"] == "0"
    assert world.job["status"]["failed"] == 3


def test_the_failed_pod_of_an_index_waits_for_its_replacement():
    world = world_of(1, completions=1, completionMode="Indexed", backoffLimitPerIndex=2)
    world.end(0, "Failed")
    observed = Observed(
        world.job, tuple(world.pods.values()), frozenset(), True, Backoff(), world.now
    )
    tally = take_stock(observed)
    assert plan_pods(observed, tally).create == ()
    assert plan_pods(observed, tally).wait == pytest.approx(10)
    assert plan_books(observed, tally, Outcome(0, 0, 0, None)).release == ()


def test_a_pod_that_is_let_go_is_not_counted_again():
    world = world_of(1, completions=2)
    world.end(0, "Succeeded")
    [pod] = world.pods.values()
    released = frozenset({pod["metadata"]["uid"]})
    observed = Observed(world.job, (pod,), released, True, Backoff(), world.now)
    tally = take_stock(observed)
    assert tally.succeeded == 0
    assert plan_books(observed, tally, Outcome(0, 0, 0, None)).release == ()


@pytest.mark.parametrize("replacement, count", [("TerminatingOrFailed", 1), ("Failed", 0)])
def test_terminating_pods_may_keep_their_place(replacement, count):
    world = world_of(1, podReplacementPolicy=replacement)
    world._delete(world.active[0])
    world.round()
    assert len(world.active) == count


def test_lowest_free_indexes_come_first_and_spare_ones_go():
    world = world_of(3, parallelism=3, completions=9, completionMode="Indexed")
    world.end(1, "Succeeded")
    world.round()
    found = sorted(int(p["spec"]["hostname"].removeprefix("task-")) for p in world.active)
    assert found == [0, 2, 3]
    pods = [*world.pods.values()]
    twin = {**world.active[0], "metadata": {**world.active[0]["metadata"], "uid": "twin"}}
    observed = Observed(world.job, (*pods, twin), frozenset(), True, Backoff(), world.now)
    assert len(plan_pods(observed, take_stock(observed)).delete) == 1


@pytest.mark.parametrize(
    "rule, done, message",
    [
        ({"succeededIndexes": "0,2-3"}, {0, 2, 3}, "Matched rules at index 1"),
        ({"succeededIndexes": "0,2-3"}, {0, 1, 2}, ""),
        ({"succeededIndexes": "0,2-3", "succeededCount": 2}, {2, 3}, "Matched rules at index 1"),
        ({"succeededCount": 2}, {1, 4}, "Matched rules at index 1"),
        ({"succeededCount": 2}, {4}, ""),
    ],
)
def test_success_rules(rule, done, message):
    job = {"spec": {"completions": 5, "successPolicy": {"rules": [{"succeededCount": 5}, rule]}}}
    assert match_success(job, done) == message


def test_a_pod_ended_when_its_last_container_did():
    def ended(moment):
        return {"name": "c", "state": {"terminated": {"finishedAt": env.format_time(moment)}}}

    later = START + timedelta(seconds=5)
    pod = {
        "metadata": {"creationTimestamp": env.format_time(START)},
        "status": {"containerStatuses": [ended(later), ended(START)]},
    }
    assert finish_time(pod) == later
    del pod["status"]
    assert finish_time(pod) == START
    pod["metadata"] |= {
        "deletionTimestamp": env.format_time(later),
        "deletionGracePeriodSeconds": 2,
    }
    assert finish_time(pod) == START + timedelta(seconds=3)


@given(st.sets(st.integers(0, 60)))
def test_index_texts_are_read_back(indexes):
    text = format_indexes(indexes)
    assert index_set(text, 61) == indexes
    parse_indexes(text, 61)
    assert index_set(text, 20) == {index for index in indexes if index < 20}


def test_two_neighbours_are_listed_and_three_are_an_interval():
    assert format_indexes([0, 2, 3, 5, 6, 7]) == "0,2,3,5-7"
