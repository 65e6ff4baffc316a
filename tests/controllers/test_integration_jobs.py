"""Jobs, CronJobs and their pods against the real API server; the tests play the kubelet."""

import pytest

from kapi import env
from kapi.api.errors import NotFound
from kapi.api.object import condition_of
from kapi.client.client import CRON_JOBS, EVENTS, JOBS, PODS

INDEX = "batch.kubernetes.io/job-completion-index"
TRACKING = "batch.kubernetes.io/job-tracking"


def job(name="task", restart="Never", **spec):
    pod = {"restartPolicy": restart, "containers": [{"name": "c", "image": "task:v1"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": pod}, **spec},
    }


async def create(cluster, body):
    return await cluster.client.create(JOBS, "default", body)


async def living(cluster, count, **labels):
    async def check():
        found = [p for p in await cluster.pods(**labels) if is_living(p)]
        return found if len(found) == count else None

    return await cluster.until(check, f"{count} pods")


def is_living(pod):
    ended = pod["status"].get("phase") in ("Succeeded", "Failed")
    return not ended and not pod["metadata"].get("deletionTimestamp")


async def end(cluster, pod, phase="Succeeded", code=0, conditions=()):
    now = env.timestamp()
    state = {"terminated": {"exitCode": code, "finishedAt": now, "startedAt": now}}
    container = {
        "name": "c", "state": state, "restartCount": 0, "ready": False, "image": "task:v1",
        "imageID": "",
    }  # fmt: skip
    status = {"phase": phase, "containerStatuses": [container], "conditions": list(conditions)}
    name = pod["metadata"]["name"]
    await cluster.client.patch(PODS, "default", name, {"status": status}, subresource="status")


async def reap(cluster):
    """What a kubelet does for pods that are being deleted."""
    for pod in await cluster.pods():
        if pod["metadata"].get("deletionTimestamp"):
            options = {"gracePeriodSeconds": 0}
            try:
                await cluster.client.delete(
                    PODS, "default", pod["metadata"]["name"], options=options
                )
            except NotFound:
                pass


async def condition(cluster, kind, name="task"):
    """The Job once it has the condition."""

    async def check():
        await reap(cluster)
        live = await cluster.client.get(JOBS, "default", name)
        found = condition_of(live["status"].get("conditions"), kind)
        return live if found and found["status"] == "True" else None

    return await cluster.until(check, kind)


async def events(cluster, reason):
    async def check():
        listed = await cluster.client.list(EVENTS, "default")
        return [item for item in listed["items"] if item["reason"] == reason]

    return await cluster.until(check, f"event {reason}")


def kinds(live):
    return [item["type"] for item in live["status"]["conditions"]]


async def test_a_job_runs_to_completion_and_counts_each_pod_once(cluster):
    await create(cluster, job(parallelism=2, completions=3))
    first = await living(cluster, 2)
    assert all(TRACKING in p["metadata"]["finalizers"] for p in first)
    await end(cluster, first[0])
    rest = [p for p in await living(cluster, 2) if p["metadata"]["name"] != first[0]]
    for pod in rest:
        await end(cluster, pod)
    done = await condition(cluster, "Complete")
    assert kinds(done) == ["SuccessCriteriaMet", "Complete"]
    assert done["status"]["succeeded"] == 3
    assert done["status"]["uncountedTerminatedPods"] == {}
    assert done["status"]["completionTime"] >= done["status"]["startTime"]
    assert condition_of(done["status"]["conditions"], "Complete")["reason"] == "CompletionsReached"
    pods = await cluster.pods()
    assert len(pods) == 3
    assert not any(p["metadata"].get("finalizers") for p in pods)
    [event] = await events(cluster, "Completed")
    assert event["source"]["component"] == "job-controller"


async def test_a_settled_job_is_written_no_more(cluster):
    await create(cluster, job(parallelism=1))
    await living(cluster, 1)

    async def active():
        live = await cluster.client.get(JOBS, "default", "task")
        return live if live["status"].get("active") == 1 else None

    before = await cluster.until(active, "one active pod")
    [pod] = await cluster.pods()
    patch = {"metadata": {"annotations": {"look": "again"}}}
    await cluster.client.patch(PODS, "default", pod["metadata"]["name"], patch)
    await env.sleep(0.5)
    after = await cluster.client.get(JOBS, "default", "task")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_indexed_pods_know_their_index(cluster):
    await create(cluster, job(parallelism=3, completions=3, completionMode="Indexed"))
    pods = await living(cluster, 3)
    by_index = {p["metadata"]["annotations"][INDEX]: p for p in pods}
    assert set(by_index) == {"0", "1", "2"}
    pod = by_index["2"]
    assert pod["metadata"]["labels"][INDEX] == "2"
    assert pod["metadata"]["generateName"] == "task-2-"
    assert pod["spec"]["hostname"] == "task-2"
    [variable] = pod["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{INDEX}']"
    for index in ("0", "2"):
        await end(cluster, by_index[index])

    async def counted():
        live = await cluster.client.get(JOBS, "default", "task")
        return live["status"].get("completedIndexes") == "0,2"

    await cluster.until(counted, "completed indexes")
    await end(cluster, by_index["1"])
    done = await condition(cluster, "Complete")
    assert done["status"]["completedIndexes"] == "0-2"
    assert done["status"]["succeeded"] == 3


async def test_too_many_failures_end_the_job(cluster):
    await create(cluster, job(parallelism=2, completions=2, backoffLimit=0))
    first, second = await living(cluster, 2)
    await end(cluster, first, "Failed", 1)
    lost = await condition(cluster, "Failed")
    assert kinds(lost) == ["FailureTarget", "Failed"]
    assert condition_of(lost["status"]["conditions"], "Failed")["reason"] == "BackoffLimitExceeded"
    assert lost["status"]["failed"] == 2
    assert "completionTime" not in lost["status"]

    async def gone():
        await reap(cluster)
        names = {p["metadata"]["name"] for p in await cluster.pods()}
        return second["metadata"]["name"] not in names

    await cluster.until(gone, "the deleted pod to go")


@pytest.mark.parametrize("code, ends", [(42, True), (1, False)])
async def test_a_failure_policy_can_end_the_job_at_once(cluster, code, ends):
    rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]
    await create(cluster, job(podFailurePolicy={"rules": rules}))
    [pod] = await living(cluster, 1)
    await end(cluster, pod, "Failed", code)
    if ends:
        lost = await condition(cluster, "Failed")
        found = condition_of(lost["status"]["conditions"], "Failed")
        assert found["reason"] == "PodFailurePolicy"
        assert found["message"] == (
            f"Container c for pod default/{pod['metadata']['name']} failed with exit code 42 "
            "matching FailJob rule at index 0"
        )
        return

    async def counted():
        live = await cluster.client.get(JOBS, "default", "task")
        return live["status"].get("failed") == 1 and not live["status"].get("conditions")

    await cluster.until(counted, "the failure to count")


async def test_ignored_failures_do_not_count(cluster):
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
    await create(cluster, job(backoffLimit=0, podFailurePolicy={"rules": rules}))
    [pod] = await living(cluster, 1)
    moved = {"type": "DisruptionTarget", "status": "True"}
    await end(cluster, pod, "Failed", 137, [moved])

    async def freed():
        name = pod["metadata"]["name"]
        found = await cluster.client.get(PODS, "default", name)
        return not found["metadata"].get("finalizers")

    await cluster.until(freed, "the pod to be let go")
    live = await cluster.client.get(JOBS, "default", "task")
    assert not live["status"].get("failed")
    assert not live["status"].get("conditions")


async def test_each_index_may_fail_on_its_own(cluster):
    spec = {"parallelism": 2, "completions": 2, "backoffLimitPerIndex": 0}
    await create(cluster, job(completionMode="Indexed", **spec))
    pods = {p["metadata"]["annotations"][INDEX]: p for p in await living(cluster, 2)}
    await end(cluster, pods["1"], "Failed", 1)

    async def lost_one():
        live = await cluster.client.get(JOBS, "default", "task")
        return live["status"].get("failedIndexes") == "1"

    await cluster.until(lost_one, "the failed index")
    await end(cluster, pods["0"])
    lost = await condition(cluster, "Failed")
    assert condition_of(lost["status"]["conditions"], "Failed")["reason"] == "FailedIndexes"
    assert lost["status"]["completedIndexes"] == "0"
    assert lost["status"]["succeeded"] == lost["status"]["failed"] == 1


async def test_a_success_policy_ends_the_job_early(cluster):
    policy = {"rules": [{"succeededIndexes": "0", "succeededCount": 1}]}
    spec = {"parallelism": 3, "completions": 3, "successPolicy": policy}
    await create(cluster, job(completionMode="Indexed", **spec))
    pods = {p["metadata"]["annotations"][INDEX]: p for p in await living(cluster, 3)}
    await end(cluster, pods["0"])
    done = await condition(cluster, "Complete")
    found = condition_of(done["status"]["conditions"], "Complete")
    assert (found["reason"], found["message"]) == ("SuccessPolicy", "Matched rules at index 0")
    assert kinds(done) == ["SuccessCriteriaMet", "Complete"]
    assert done["status"]["succeeded"] == 1
    assert not done["status"].get("failed")


async def test_suspend_and_resume(cluster):
    await create(cluster, job(suspend=True, parallelism=2, completions=2))
    live = await condition(cluster, "Suspended")
    assert "startTime" not in live["status"]
    assert not await cluster.pods()
    await cluster.client.patch(JOBS, "default", "task", {"spec": {"suspend": False}})
    await living(cluster, 2)
    await events(cluster, "Resumed")
    await cluster.client.patch(JOBS, "default", "task", {"spec": {"suspend": True}})
    live = await condition(cluster, "Suspended")

    async def empty():
        await reap(cluster)
        return not await cluster.pods()

    await cluster.until(empty, "no pods")
    live = await cluster.client.get(JOBS, "default", "task")
    assert not live["status"].get("failed")
    assert "startTime" not in live["status"]


async def test_the_deadline_passes(cluster):
    await create(cluster, job(activeDeadlineSeconds=1))
    await living(cluster, 1)
    lost = await condition(cluster, "Failed")
    assert condition_of(lost["status"]["conditions"], "Failed")["reason"] == "DeadlineExceeded"


async def test_pods_are_adopted_and_released(cluster):
    await create(cluster, job())
    [pod] = await living(cluster, 1)
    name = pod["metadata"]["name"]
    await cluster.client.patch(PODS, "default", name, {"metadata": {"ownerReferences": None}})

    async def adopted():
        found = await cluster.client.get(PODS, "default", name)
        owned = found["metadata"].get("ownerReferences")
        return owned and TRACKING in found["metadata"].get("finalizers", ())

    await cluster.until(adopted, "adoption")
    await cluster.client.patch(PODS, "default", name, {"metadata": {"labels": None}})

    async def released():
        found = await cluster.client.get(PODS, "default", name)
        meta = found["metadata"]
        return not meta.get("ownerReferences") and not meta.get("finalizers")

    await cluster.until(released, "release")
    # Another takes its place.
    await living(cluster, 2)


async def test_a_deleted_job_leaves_no_finalizers(cluster):
    await create(cluster, job(parallelism=2, completions=2))
    await living(cluster, 2)
    options = {"propagationPolicy": "Background"}
    await cluster.client.delete(JOBS, "default", "task", options=options)

    async def empty():
        await reap(cluster)
        return not await cluster.pods()

    await cluster.until(empty, "no pods")


async def test_a_job_managed_elsewhere_is_left_alone(cluster):
    await create(cluster, job(managedBy="example.com/other"))
    await env.sleep(0.3)
    live = await cluster.client.get(JOBS, "default", "task")
    assert live["status"] == {}
    assert not await cluster.pods()


async def test_finished_jobs_expire(cluster):
    await create(cluster, job(ttlSecondsAfterFinished=1))
    [pod] = await living(cluster, 1)
    await end(cluster, pod)
    await condition(cluster, "Complete")

    async def gone():
        await reap(cluster)
        listed = await cluster.client.list(JOBS, "default")
        return not listed["items"] and not await cluster.pods()

    await cluster.until(gone, "expiry")


async def test_a_cron_job_starts_its_job(cluster):
    """Every second, so that no test waits for a minute; the name lets one start in a minute."""
    body = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "often"},
        "spec": {
            "schedule": "@every 1s",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"metadata": {"labels": {"run": "often"}}, "spec": job()["spec"]},
        },
    }
    created = await cluster.client.create(CRON_JOBS, "default", body)
    [pod] = await living(cluster, 1)
    [found] = (await cluster.client.list(JOBS, "default"))["items"]
    assert found["metadata"]["labels"] == {"run": "often"}
    assert found["metadata"]["ownerReferences"][0]["uid"] == created["metadata"]["uid"]
    live = await cluster.client.get(CRON_JOBS, "default", "often")
    due = env.parse_time(live["status"]["lastScheduleTime"])
    assert found["metadata"]["name"] == f"often-{int(due.timestamp()) // 60}"
    stamp = found["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert env.parse_time(stamp) == due
    assert [entry["uid"] for entry in live["status"]["active"]] == [found["metadata"]["uid"]]
    await events(cluster, "SuccessfulCreate")
    await cluster.client.patch(CRON_JOBS, "default", "often", {"spec": {"suspend": True}})
    await end(cluster, pod)

    async def seen():
        live = await cluster.client.get(CRON_JOBS, "default", "often")
        return live["status"].get("lastSuccessfulTime") and not live["status"].get("active")

    await cluster.until(seen, "the success")
    await events(cluster, "SawCompletedJob")
