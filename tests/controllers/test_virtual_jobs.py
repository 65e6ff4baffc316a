"""Hours of Jobs and CronJobs under the virtual clock, with real kubelets over no containers."""

from itertools import pairwise

import pytest

from kapi import env
from kapi.api.object import condition_of
from kapi.client.client import CRON_JOBS, EVENTS, JOBS, PODS
from kapi.sim.cluster import ClusterOptions, running_cluster
from kapi.sim.faults import ROUGH
from kapi.sim.loop import run


async def until(check, seconds):
    """The value of an awaitable check once it is true; fails after `seconds` virtual ones."""
    began = env.monotonic()
    while not (found := await check()):
        assert env.monotonic() - began < seconds, "it did not come about in time"
        await env.sleep(0.25)
    return found


async def create(admin, resource, body):
    """Once the namespace's service account is there."""

    async def made():
        try:
            return await admin.create(resource, "default", body)
        except Exception:
            return None

    return await until(made, 30)


def job_spec(script, restart="Never", **spec):
    container = {"name": "c", "image": "x", "command": ["sh", "-c", script]}
    pod = {
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    }
    return {"template": {"spec": pod}, **spec}


def job(script, **spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task"},
        "spec": job_spec(script, **spec),
    }


def cron_job(script, policy="Allow", **spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick"},
        "spec": {
            "schedule": "*/1 * * * *",
            "concurrencyPolicy": policy,
            "jobTemplate": {"spec": job_spec(script)},
            **spec,
        },
    }


async def reasons(admin):
    return [event["reason"] for event in (await admin.list(EVENTS, "default"))["items"]]


async def ended(admin, kind, seconds, name="task"):
    async def check():
        live = await admin.get(JOBS, "default", name)
        found = condition_of(live["status"].get("conditions"), kind)
        return live if found is not None and found["status"] == "True" else None

    return await until(check, seconds)


def test_failing_pods_are_tried_again_ever_later():
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=1)) as cluster:
            await create(cluster.admin, JOBS, job("exit 1", backoffLimit=3))
            lost = await ended(cluster.admin, "Failed", 200)
            assert lost["status"]["failed"] == 4
            pods = (await cluster.admin.list(PODS, "default"))["items"]
            made = sorted(env.parse_time(p["metadata"]["creationTimestamp"]) for p in pods)
            gaps = [(b - a).total_seconds() for a, b in pairwise(made)]
            for gap, expected in zip(gaps, (10, 20, 40), strict=True):
                assert expected <= gap <= expected + 4
            cluster.check()

    run(main, 1)


def test_containers_that_restart_in_place_count_too():
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=1)) as cluster:
            body = job("exit 1", restart="OnFailure", backoffLimit=2)
            await create(cluster.admin, JOBS, body)
            lost = await ended(cluster.admin, "Failed", 200)
            found = condition_of(lost["status"]["conditions"], "Failed")
            assert found["reason"] == "BackoffLimitExceeded"
            cluster.check()

    run(main, 2)


def test_every_index_is_tried_although_some_fail():
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=2)) as cluster:
            spec = {"completions": 4, "parallelism": 4, "backoffLimitPerIndex": 1}
            body = job("exit 1", completionMode="Indexed", **spec)
            await create(cluster.admin, JOBS, body)
            lost = await ended(cluster.admin, "Failed", 120)
            assert lost["status"]["failedIndexes"] == "0-3"
            assert lost["status"]["failed"] == 8
            pods = (await cluster.admin.list(PODS, "default"))["items"]
            assert not any(p["metadata"].get("finalizers") for p in pods)
            cluster.check()

    run(main, 3)


@pytest.mark.parametrize("seed", range(4))
def test_a_job_survives_trouble(seed):
    """Lost answers, conflicts and crashes: in the end each completion is counted once."""

    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=2)) as cluster:
            body = job("sleep 3", parallelism=3, completions=9, backoffLimit=100)
            await create(cluster.admin, JOBS, body)
            cluster.switch.faults = ROUGH
            await env.sleep(60)
            await cluster.calm_down()
            done = await ended(cluster.admin, "Complete", 900)
            pods = (await cluster.admin.list(PODS, "default"))["items"]
            won = [p for p in pods if p["status"]["phase"] == "Succeeded"]
            assert done["status"]["succeeded"] == len(won) >= 9
            assert not any(p["metadata"].get("finalizers") for p in pods)

    run(main, seed)


def test_a_run_each_minute_and_a_short_history():
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=1)) as cluster:
            admin = cluster.admin
            await create(admin, CRON_JOBS, cron_job("sleep 5"))
            await env.sleep(10 * 60)
            live = await admin.get(CRON_JOBS, "default", "tick")
            due = env.parse_time(live["status"]["lastScheduleTime"])
            assert 0 <= (env.now() - due).total_seconds() <= 61
            assert due.second == 0
            jobs = (await admin.list(JOBS, "default"))["items"]
            newest = int(due.timestamp()) // 60
            names = {j["metadata"]["name"] for j in jobs}
            finished = {f"tick-{newest - n}" for n in range(4)}
            assert f"tick-{newest}" in names and names <= finished
            created = {
                j["metadata"]["name"]: env.parse_time(j["metadata"]["creationTimestamp"])
                for j in jobs
            }
            assert abs((created[f"tick-{newest}"] - due).total_seconds()) <= 1
            cluster.check()

    run(main, 4)


@pytest.mark.parametrize(
    "policy, most, least", [("Forbid", 1, 1), ("Replace", 1, 1), ("Allow", 4, 3)]
)
def test_runs_that_last_longer_than_their_distance(policy, most, least):
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=1)) as cluster:
            admin = cluster.admin
            await create(admin, CRON_JOBS, cron_job("sleep 200", policy))
            await env.sleep(5 * 60 + 30)
            active = (await admin.get(CRON_JOBS, "default", "tick"))["status"]["active"]
            assert least <= len(active) <= most
            seen = await reasons(admin)
            if policy == "Forbid":
                assert "JobAlreadyActive" in seen and "SuccessfulDelete" not in seen
                # The run that was skipped last starts once there is room.
                assert "SawCompletedJob" in seen
            if policy == "Replace":
                assert "SawCompletedJob" not in seen
                [job] = [
                    j
                    for j in (await admin.list(JOBS, "default"))["items"]
                    if not j["metadata"].get("deletionTimestamp")
                ]
                assert job["metadata"]["uid"] == active[0]["uid"]
            cluster.check()

    run(main, 5)


def test_a_suspended_schedule_starts_nothing_and_a_new_one_waits_for_its_time():
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=1)) as cluster:
            admin = cluster.admin
            await create(admin, CRON_JOBS, cron_job("true", suspend=True))
            await env.sleep(60)
            before = cluster.store.writes
            await env.sleep(600)
            assert not (await admin.list(JOBS, "default"))["items"]
            # Heartbeats only: nobody looks at the clock for it.
            assert cluster.store.writes - before <= 65
            patch = {"spec": {"suspend": False, "schedule": "0 */3 * * *"}}
            await admin.patch(CRON_JOBS, "default", "tick", patch)
            await env.sleep(2 * 3600)
            assert not (await admin.list(JOBS, "default"))["items"]
            await env.sleep(3600)
            assert len((await admin.list(JOBS, "default"))["items"]) == 1
            cluster.check()

    run(main, 6)
