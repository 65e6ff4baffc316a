"""Jobs and CronJobs whose pods are real containers."""

import json
from typing import Any

from harness import Client, eventually
from tour import BUSYBOX


def _spec(script: str, restart: str = "Never", **spec: Any) -> dict[str, Any]:
    pod = {
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script]}],
    }
    return {"template": {"spec": pod}, **spec}


def _job(name: str, script: str, restart: str = "Never", **spec: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": _spec(script, restart, **spec),
        }
    )


def _wait(kubectl: Client, name: str, condition: str) -> dict[str, Any]:
    kubectl("wait", f"job/{name}", f"--for=condition={condition}", "--timeout=60s", timeout_s=70)
    status: dict[str, Any] = kubectl.json("get", "job", name)["status"]
    return status


def test_indexed_pods_learn_their_index_and_host_name(kubectl: Client) -> None:
    script = "echo $JOB_COMPLETION_INDEX $(hostname)"
    spec = {"completions": 3, "parallelism": 2, "completionMode": "Indexed"}
    kubectl.apply(_job("indexed", script, **spec))
    status = _wait(kubectl, "indexed", "complete")
    assert (status["succeeded"], status["completedIndexes"]) == (3, "0-2")
    lines = kubectl("logs", "-l", "job-name=indexed").splitlines()
    assert sorted(lines) == [f"{index} indexed-{index}" for index in range(3)]
    assert "3/3" in kubectl("get", "job", "indexed")


def test_containers_that_restart_in_place_let_the_job_finish(kubectl: Client) -> None:
    volumes = {"name": "kept", "emptyDir": {}}
    spec = _spec("test -e /kept/seen && exit 0; touch /kept/seen; exit 1", "OnFailure")
    pod = spec["template"]["spec"]
    pod["volumes"] = [volumes]
    pod["containers"][0]["volumeMounts"] = [{"name": "kept", "mountPath": "/kept"}]
    body = json.loads(_job("again", ""))
    kubectl.apply(json.dumps({**body, "spec": spec}))
    status = _wait(kubectl, "again", "complete")
    assert status["succeeded"] == 1
    assert not status.get("failed")
    [found] = kubectl.json("get", "pods", "-l", "job-name=again")["items"]
    assert found["status"]["containerStatuses"][0]["restartCount"] == 1


def test_an_exit_code_can_end_the_job_and_its_other_pods(kubectl: Client) -> None:
    rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]
    script = "if [ $JOB_COMPLETION_INDEX = 1 ]; then exit 42; fi; sleep 600"
    spec = {"completions": 2, "parallelism": 2, "completionMode": "Indexed"}
    kubectl.apply(_job("hopeless", script, podFailurePolicy={"rules": rules}, **spec))
    status = _wait(kubectl, "hopeless", "failed")
    reasons = {item["type"]: item["reason"] for item in status["conditions"]}
    assert reasons == {"FailureTarget": "PodFailurePolicy", "Failed": "PodFailurePolicy"}
    assert status["failed"] == 2
    assert "active" not in status

    def left() -> bool:
        pods = kubectl.json("get", "pods", "-l", "job-name=hopeless")["items"]
        return [pod["status"]["phase"] for pod in pods] == ["Failed"]

    eventually(left, what="only the failed pod to stay")


def test_a_job_that_is_suspended_and_resumed(kubectl: Client) -> None:
    kubectl.apply(_job("paused", "sleep 2", suspend=True))
    _wait(kubectl, "paused", "suspended")
    assert not kubectl.json("get", "pods", "-l", "job-name=paused")["items"]
    kubectl("patch", "job", "paused", "-p", '{"spec":{"suspend":false}}')
    assert _wait(kubectl, "paused", "complete")["succeeded"] == 1


def test_a_finished_job_expires_with_its_pods(kubectl: Client) -> None:
    kubectl.apply(_job("brief", "true", ttlSecondsAfterFinished=1))
    kubectl("wait", "job/brief", "--for=delete", "--timeout=60s", timeout_s=70)
    assert not kubectl.json("get", "pods", "-l", "job-name=brief")["items"]


def test_a_cron_job_starts_a_job(kubectl: Client) -> None:
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "often"},
        "spec": {"schedule": "@every 2s", "jobTemplate": {"spec": _spec("echo tick")}},
    }
    kubectl.apply(json.dumps(manifest))

    def succeeded() -> bool:
        status = kubectl.json("get", "cronjob", "often")["status"]
        return "lastSuccessfulTime" in status

    eventually(succeeded, what="a run that succeeded")
    jobs = kubectl.json("get", "jobs")["items"]
    assert any(job["metadata"]["name"].startswith("often-") for job in jobs)
    kubectl("delete", "cronjob", "often")
