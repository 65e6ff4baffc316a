"""Pods on a real Docker engine: life cycle, restarts, order, hooks, probes."""

from pathlib import Path
from typing import Any

import pytest
from docker_bench import POD_PREFIX, Bench, container

from kapi import env
from kapi.api.object import Object, condition_of

pytestmark = pytest.mark.e2e


def state_of(pod: Object, name: str, group: str = "containerStatuses") -> Object:
    for status in pod["status"].get(group) or ():
        if status["name"] == name:
            return status
    return {"state": {}, "lastState": {}, "restartCount": 0}


async def test_a_pod_runs_and_goes(bench: Bench) -> None:
    await bench.create("web", container("main", "sleep", "1000"))
    pod = await bench.wait_ready("web")
    status = pod["status"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith(POD_PREFIX)
    assert status["qosClass"] == "BestEffort"
    assert status["observedGeneration"] == 1
    assert status["containerStatuses"][0]["containerID"].startswith("docker://")
    assert status["containerStatuses"][0]["started"] is True
    await bench.delete("web")
    await bench.wait_gone("web")
    events = await bench.events("web")
    assert [reason for reason, _ in events] == ["Pulled", "Created", "Started", "Killing"]
    assert ("Killing", "Stopping container main") in events
    assert not list((bench.data_dir / "pods").iterdir())


async def test_exit_codes_decide_the_phase(bench: Bench) -> None:
    await bench.create("good", container("main", "true"), restartPolicy="Never")
    await bench.create("bad", container("main", "sh", "-c", "exit 7"), restartPolicy="OnFailure")
    await bench.create("ends", container("main", "sh", "-c", "exit 3"), restartPolicy="Never")
    good = await bench.wait_phase("good", "Succeeded")
    assert state_of(good, "main")["state"]["terminated"]["reason"] == "Completed"
    initialized = condition_of(good["status"]["conditions"], "Initialized")
    assert initialized and initialized["reason"] == "PodCompleted"
    ends = await bench.wait_phase("ends", "Failed")
    assert state_of(ends, "main")["state"]["terminated"]["exitCode"] == 3
    assert state_of(ends, "main")["state"]["terminated"]["reason"] == "Error"
    crashing = await bench.wait(
        "bad",
        lambda pod: (
            state_of(pod, "main")["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        ),
    )
    status = state_of(crashing, "main")
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 7
    uid = crashing["metadata"]["uid"]
    assert status["state"]["waiting"]["message"] == (
        f"back-off 10s restarting failed container=main pod=bad_default({uid})"
    )
    assert crashing["status"]["phase"] == "Running"


async def test_init_containers_run_in_order_before_the_rest(bench: Bench) -> None:
    mounts = [{"name": "shared", "mountPath": "/shared"}]

    def step(name: str) -> Object:
        return container(name, "sh", "-c", f"echo {name} >> /shared/order", volumeMounts=mounts)

    sidecar = container(
        "proxy",
        "sh",
        "-c",
        "echo proxy >> /shared/order; sleep 1000",
        volumeMounts=mounts,
        restartPolicy="Always",
    )
    await bench.create(
        "ordered",
        container("main", "cat", "/shared/order", volumeMounts=mounts),
        initContainers=[step("first"), sidecar, step("second")],
        volumes=[{"name": "shared", "emptyDir": {}}],
        restartPolicy="Never",
    )
    pod = await bench.wait_phase("ordered", "Succeeded")
    assert await bench.logs("ordered", "main") == "first\nproxy\nsecond\n"
    names = [status["name"] for status in pod["status"]["initContainerStatuses"]]
    assert names == ["first", "proxy", "second"]


async def test_a_failing_init_container_fails_a_pod_that_never_restarts(bench: Bench) -> None:
    await bench.create(
        "stuck",
        container("main", "true"),
        initContainers=[container("setup", "false")],
        restartPolicy="Never",
    )
    pod = await bench.wait_phase("stuck", "Failed")
    assert state_of(pod, "setup", "initContainerStatuses")["state"]["terminated"]["exitCode"] == 1
    assert "terminated" not in state_of(pod, "main")["lastState"]


async def test_hooks_run_around_a_container(bench: Bench) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started > /tmp/post"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo bye > /proc/1/fd/1"]}},
    }
    await bench.create(
        "hooked",
        container(
            "main", "sh", "-c", "mkdir -p /tmp; trap 'exit 0' TERM; sleep 1000 & wait",
            lifecycle=hooks,
        ),
        terminationGracePeriodSeconds=5,
    )  # fmt: skip
    await bench.wait_ready("hooked")
    await bench.delete("hooked")
    await bench.wait_gone("hooked")
    reasons = [reason for reason, _ in await bench.events("hooked")]
    assert "FailedPostStartHook" not in reasons
    assert "FailedPreStopHook" not in reasons


async def test_a_failing_post_start_hook_kills_the_container(bench: Bench) -> None:
    hooks = {"postStart": {"exec": {"command": ["false"]}}}
    await bench.create("halted", container("main", "sleep", "1000", lifecycle=hooks))
    pod = await bench.wait(
        "halted",
        lambda pod: (
            state_of(pod, "main")["state"].get("waiting", {}).get("reason") == "PostStartHookError"
        ),
    )
    assert "Exec lifecycle hook ([false])" in state_of(pod, "main")["state"]["waiting"]["message"]
    assert ("FailedPostStartHook", "PostStartHook failed") in await bench.events("halted")


async def test_readiness_follows_its_probe(bench: Bench) -> None:
    probe = {"exec": {"command": ["cat", "/ready"]}, "periodSeconds": 1}
    await bench.create(
        "slow",
        container("main", "sh", "-c", "sleep 2; touch /ready; sleep 1000", readinessProbe=probe),
    )
    pod = await bench.wait_phase("slow", "Running")
    ready = condition_of(pod["status"]["conditions"], "Ready")
    assert ready and ready["status"] == "False"
    assert ready["message"] == "containers with unready status: [main]"
    pod = await bench.wait_ready("slow")
    assert state_of(pod, "main")["restartCount"] == 0
    failures = [text for reason, text in await bench.events("slow") if reason == "Unhealthy"]
    assert failures and failures[0].startswith("Readiness probe failed: cat: can't open '/ready'")


async def test_a_failing_liveness_probe_restarts_the_container(bench: Bench) -> None:
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 2}
    await bench.create("deaf", container("main", "sleep", "1000", livenessProbe=probe))
    pod = await bench.wait("deaf", lambda pod: state_of(pod, "main")["restartCount"] >= 1, 30)
    address = pod["status"]["podIP"]
    events = await bench.events("deaf")
    assert ("Killing", "Container main failed liveness probe, will be restarted") in events
    text = f"Liveness probe failed: dial tcp {address}:8080: connect: connection refused"
    assert ("Unhealthy", text) in events


async def test_http_probes_reach_the_pod(bench: Bench) -> None:
    probe = {"httpGet": {"path": "/index.html", "port": "web"}, "periodSeconds": 1}
    await bench.create(
        "served",
        container(
            "main",
            "sh",
            "-c",
            "mkdir /www; echo hello > /www/index.html; httpd -f -p 8080 -h /www",
            ports=[{"name": "web", "containerPort": 8080}],
            startupProbe={**probe, "failureThreshold": 10},
            readinessProbe=probe,
            livenessProbe=probe,
        ),
    )
    pod = await bench.wait_ready("served")
    assert state_of(pod, "main")["started"] is True


async def test_a_deadline_ends_a_pod(bench: Bench) -> None:
    await bench.create("brief", container("main", "sleep", "1000"), activeDeadlineSeconds=2)
    pod = await bench.wait_phase("brief", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert pod["status"]["message"] == (
        "Pod was active on the node longer than the specified deadline"
    )


async def test_images_that_cannot_be_had(bench: Bench) -> None:
    never = container("main", image="kapi-test/absent:1", imagePullPolicy="Never")
    odd = container("main", image="Kapi/UPPER:1")
    pulled = container("main", image="127.0.0.1:1/absent:1")
    await bench.create("never", never)
    await bench.create("odd", odd)
    await bench.create("pulled", pulled)

    def reason(name: str) -> object:
        return lambda pod: state_of(pod, "main")["state"].get("waiting", {}).get("reason") == name

    pod = await bench.wait("never", reason("ErrImageNeverPull"))  # type: ignore[arg-type]
    assert state_of(pod, "main")["state"]["waiting"]["message"] == (
        'Container image "kapi-test/absent:1" is not present with pull policy of Never'
    )
    await bench.wait("odd", reason("InvalidImageName"))  # type: ignore[arg-type]
    pod = await bench.wait("pulled", reason("ImagePullBackOff"), 30)  # type: ignore[arg-type]
    message = state_of(pod, "main")["state"]["waiting"]["message"]
    assert message.startswith('Back-off pulling image "127.0.0.1:1/absent:1": ErrImagePull: ')
    assert ("Failed", "Error: ErrImagePull") in await bench.events("pulled")


async def test_a_command_that_does_not_exist(bench: Bench) -> None:
    await bench.create("lost", container("main", "/no/such/program"))
    pod = await bench.wait(
        "lost", lambda pod: "waiting" in state_of(pod, "main")["state"]
        and state_of(pod, "main")["state"]["waiting"]["reason"]
        in ("RunContainerError", "CrashLoopBackOff")
    )  # fmt: skip
    assert pod["status"]["phase"] in ("Pending", "Running")


async def test_last_words_become_the_termination_message(bench: Bench) -> None:
    speak = "echo -n the end > /dev/termination-log"
    await bench.create("said", container("main", "sh", "-c", speak), restartPolicy="Never")
    shout = container(
        "main", "sh", "-c", "echo it broke; exit 1",
        terminationMessagePolicy="FallbackToLogsOnError",
    )  # fmt: skip
    await bench.create("shouted", shout, restartPolicy="Never")
    said = await bench.wait_phase("said", "Succeeded")
    assert state_of(said, "main")["state"]["terminated"]["message"] == "the end"
    shouted = await bench.wait_phase("shouted", "Failed")
    assert state_of(shouted, "main")["state"]["terminated"]["message"] == "it broke\n"


async def test_a_new_kubelet_adopts_what_runs(bench: Bench) -> None:
    await bench.create("kept", container("main", "sleep", "1000"))
    await bench.create("doomed", container("main", "sleep", "1000"))
    before = await bench.wait_ready("kept")
    await bench.wait_ready("doomed")
    await bench.stop()
    await bench.delete("doomed", gracePeriodSeconds=0)
    await bench.start()
    await bench.node_ready()
    await env.sleep(1)
    after = await bench.wait_ready("kept")
    assert state_of(after, "main")["containerID"] == state_of(before, "main")["containerID"]
    assert state_of(after, "main")["restartCount"] == 0

    async def orphan_gone() -> bool:
        return not await bench.containers("doomed")

    await bench.until(orphan_gone, "the orphan's containers to be removed")


async def test_a_lost_sandbox_is_made_anew(bench: Bench) -> None:
    await bench.create("shaken", container("main", "sleep", "1000"))
    await bench.wait_ready("shaken")
    for row in await bench.containers("shaken"):
        if row["Labels"]["io.kubernetes.docker.type"] == "podsandbox":
            await bench.remove_container(row["Id"])
    await bench.wait("shaken", lambda pod: state_of(pod, "main")["restartCount"] == 1)
    await bench.wait_ready("shaken")
    events = await bench.events("shaken")
    text = "Pod sandbox changed, it will be killed and re-created."
    assert ("SandboxChanged", text) in events


async def test_an_ephemeral_container_joins_its_target(bench: Bench) -> None:
    pod = await bench.create("debugged", container("main", "sleep", "4321"))
    await bench.wait_ready("debugged")
    extra = container("debug", "sh", "-c", "cat /proc/1/cmdline", targetContainerName="main")
    await bench.add_ephemeral(pod["metadata"]["name"], extra)
    pod = await bench.wait(
        "debugged",
        lambda pod: "terminated" in state_of(pod, "debug", "ephemeralContainerStatuses")["state"],
    )
    assert "4321" in await bench.logs("debugged", "debug")


async def test_pods_that_do_not_fit_are_rejected(bench: Bench) -> None:
    big = container("main", "sleep", "1000", resources={"requests": {"cpu": "1000"}})
    await bench.create("big", big)
    pod = await bench.wait_phase("big", "Failed")
    assert pod["status"]["reason"] == "OutOfcpu"
    assert pod["status"]["message"].startswith(
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000, used: "
    )
    assert "containerStatuses" not in pod["status"]
    elsewhere = {"nodeSelector": {"no": "such"}}
    await bench.create("elsewhere", container("main", "true"), **elsewhere)
    pod = await bench.wait_phase("elsewhere", "Failed")
    assert pod["status"]["reason"] == "NodeAffinity"


async def test_deletion_interrupts_a_start(bench: Bench) -> None:
    hooks = {"postStart": {"exec": {"command": ["sleep", "1000"]}}}
    await bench.create(
        "caught",
        container("main", "sleep", "1000", lifecycle=hooks),
        container("later", "sleep", "1000"),
    )

    async def hooked() -> bool:
        rows = await bench.containers("caught")
        return sum(row["State"] == "running" for row in rows) == 2

    await bench.until(hooked, "the sandbox and the first container")
    await bench.delete("caught")
    await bench.wait_gone("caught")

    async def clean() -> bool:
        return not await bench.containers("caught")

    await bench.until(clean, "nothing to be left")


async def test_a_pod_with_gates_is_ready_when_others_say_so(bench: Bench) -> None:
    gate = [{"conditionType": "example.com/load-balanced"}]
    await bench.create("gated", container("main", "sleep", "1000"), readinessGates=gate)
    pod = await bench.wait_phase("gated", "Running")
    ready = condition_of(pod["status"]["conditions"], "Ready")
    assert ready and ready["reason"] == "ReadinessGatesNotReady"
    await bench.add_condition("gated", {"type": "example.com/load-balanced", "status": "True"})
    pod = await bench.wait_ready("gated")
    assert condition_of(pod["status"]["conditions"], "example.com/load-balanced")


async def test_a_force_deleted_pod_still_gets_its_time(bench: Bench) -> None:
    script = "trap 'sleep 1; exit 0' TERM; sleep 1000 & wait"
    await bench.create("forced", container("main", "sh", "-c", script), metadata={"labels": {}})
    await bench.wait_ready("forced")
    await bench.delete("forced", gracePeriodSeconds=0)
    await bench.wait_gone("forced", 1)
    assert any(row["State"] == "running" for row in await bench.containers("forced"))

    async def clean() -> bool:
        return not await bench.containers("forced")

    await bench.until(clean, "its containers to be gone")


async def test_a_rule_restarts_the_whole_pod_in_place(bench: Bench) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
    script = "[ -e /v/again ] && sleep 1000; touch /v/again; exit 42"
    await bench.create(
        "together",
        container(
            "trigger", "sh", "-c", script, volumeMounts=mounts,
            restartPolicy="Never", restartPolicyRules=rules,
        ),
        container("other", "sleep", "1000"),
        initContainers=[container("setup", "sh", "-c", "echo x >> /v/setups", volumeMounts=mounts)],
        volumes=[{"name": "v", "emptyDir": {}}],
    )  # fmt: skip

    def restarted(pod: Object) -> bool:
        return all(
            state_of(pod, name)["restartCount"] == 1 and "running" in state_of(pod, name)["state"]
            for name in ("trigger", "other")
        )

    pod = await bench.wait("together", restarted)
    assert state_of(pod, "setup", "initContainerStatuses")["restartCount"] == 1
    condition = condition_of(pod["status"]["conditions"], "AllContainersRestarting")
    assert condition and condition["status"] == "False"


async def test_a_second_deletion_may_shorten_the_wait(bench: Bench) -> None:
    deaf = container("main", "sh", "-c", "trap '' TERM; while true; do sleep 1; done")
    await bench.create("stubborn", deaf, terminationGracePeriodSeconds=300)
    await bench.wait_ready("stubborn")
    await bench.delete("stubborn")
    await env.sleep(1)
    assert (await bench.get("stubborn"))["metadata"]["deletionGracePeriodSeconds"] == 300
    await bench.delete("stubborn", gracePeriodSeconds=1)
    await bench.wait_gone("stubborn", 10)


async def test_sidecars_outlive_the_containers_they_serve(bench: Bench, tmp_path: Path) -> None:
    shared = {
        "volumeMounts": [{"name": "log", "mountPath": "/log"}],
    }

    def leaving(name: str, **fields: Any) -> Object:
        script = f"trap 'sleep 0.5; echo {name} >> /log/order; exit 0' TERM; sleep 1000 & wait"
        return container(name, "sh", "-c", script, **shared, **fields)

    await bench.create(
        "convoy",
        leaving("main"),
        initContainers=[
            leaving("first", restartPolicy="Always"),
            leaving("second", restartPolicy="Always"),
        ],
        volumes=[{"name": "log", "hostPath": {"path": str(tmp_path / "log")}}],
        terminationGracePeriodSeconds=20,
    )
    await bench.wait_ready("convoy")
    await bench.delete("convoy")
    await bench.wait_gone("convoy")
    assert (tmp_path / "log/order").read_text().split() == ["main", "second", "first"]
