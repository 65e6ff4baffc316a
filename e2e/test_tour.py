"""The tour of the README on real containers, with the official kubectl."""

import os
import signal
import socket
import time
from pathlib import Path

import yaml
from harness import Client, Cluster, eventually, free_port, kubectl_path
from tour import (
    BUSYBOX,
    WEB,
    WEB_2,
    Asking,
    container_id,
    containers,
    deploy,
    docker,
    expose,
    http_get,
    pod,
    pod_names,
    pods,
    rolled_out,
    until_answered_by,
    wait_for_phase,
)

_CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: %s}
"""


def test_the_node_is_ready_and_says_what_it_runs(kubectl: Client) -> None:
    assert " Ready " in kubectl("get", "nodes")
    shown = kubectl("get", "nodes", "-o", "wide")
    assert "+kapi" in shown and "v1.36." in shown and "docker://" in shown


def test_every_pod_of_a_deployment_answers_at_the_service(kubectl: Client) -> None:
    deploy(kubectl)
    address = expose(kubectl)
    until_answered_by(address, pod_names(kubectl))


def test_a_pod_reaches_the_service_by_its_name(kubectl: Client) -> None:
    deploy(kubectl, 1)
    expose(kubectl)
    url = f"http://web.{kubectl.namespace}.svc.cluster.local/"
    ask = ("sh", "-c", f"wget -q -O - {url}")
    kubectl("run", "c", f"--image={BUSYBOX}", "--restart=Never", "--", *ask)
    wait_for_phase(kubectl, "c", "Succeeded")
    assert kubectl("logs", "c").split() == ["v1", *pod_names(kubectl)]


def test_logs_exec_and_attach(kubectl: Client, tmp_path: Path) -> None:
    deploy(kubectl, 1)
    (name,) = pod_names(kubectl)
    assert kubectl("exec", "deploy/web", "--", "hostname").strip() == name

    sent = os.urandom(1 << 20)
    back = tmp_path / "back"
    with back.open("wb") as target:
        copying = kubectl.start("exec", "-i", "deploy/web", "--", "cat", stdin=-1, stdout=target)
        copying.communicate(sent, timeout=30)
    assert copying.returncode == 0
    assert back.read_bytes() == sent
    failed = kubectl.run("exec", "deploy/web", "--", "sh", "-c", "echo no >&2; exit 7", check=False)
    assert failed.returncode == 7
    assert failed.stderr.startswith("no\n")

    kubectl("exec", "deploy/web", "--", "sh", "-c", "echo to the log > /proc/1/fd/1")
    assert eventually(lambda: kubectl("logs", "deploy/web")) == "to the log\n"
    stamped = kubectl("logs", "deploy/web", "--timestamps", "--tail=1")
    assert stamped.endswith("Z to the log\n")


def test_logs_are_followed_until_the_container_ends(kubectl: Client) -> None:
    script = "for n in 1 2 3 4 5; do echo line $n; sleep 0.4; done"
    kubectl("run", "talker", f"--image={BUSYBOX}", "--restart=Never", "--", "sh", "-c", script)
    eventually(lambda: "line 1" in kubectl("logs", "talker", check=False))
    # Started while the container runs, it ends by itself with the container.
    followed = kubectl("logs", "-f", "talker", timeout_s=20)
    assert followed.splitlines() == [f"line {number}" for number in range(1, 6)]


def test_attach_gives_the_input_to_the_container(kubectl: Client) -> None:
    script = "read line; echo got $line"
    said = kubectl(
        *("run", "listener", f"--image={BUSYBOX}", "--restart=Never", "-i", "--rm", "--quiet"),
        *("--", "sh", "-c", script),
        stdin="hello\n",
    )
    assert "got hello" in said
    eventually(lambda: "listener" not in kubectl("get", "pods"))


def test_a_rolling_update_and_its_undo_fail_no_request(kubectl: Client) -> None:
    deploy(kubectl)
    address = expose(kubectl)
    kubectl("scale", "deployment", "web", "--replicas=6")
    rolled_out(kubectl)
    until_answered_by(address, pod_names(kubectl))
    with Asking(address) as asking:
        kubectl("set", "image", "deployment/web", f"web={WEB_2}")
        fewest = _fewest_ready_while_rolling(kubectl)
        asking.heard_since_now("v2")
        kubectl("rollout", "undo", "deployment/web")
        fewest = min(fewest, _fewest_ready_while_rolling(kubectl))
        asking.heard_since_now("v1")
        eventually(lambda: len(pod_names(kubectl)) == 6)
    assert asking.failures == []
    assert asking.versions == {"v1", "v2"}
    # 25 % of 6 may be missing, rounded down.
    assert fewest >= 5
    history = kubectl("rollout", "history", "deployment/web").splitlines()
    assert [line.split()[0] for line in history[2:] if line] == ["2", "3"]


def _fewest_ready_while_rolling(kubectl: Client) -> int:
    watching = kubectl.start("rollout", "status", "deployment/web", "--timeout=90s")
    fewest = 6
    while watching.poll() is None:
        ready = kubectl("get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}")
        fewest = min(fewest, int(ready or 0))
    output, errors = watching.communicate()
    assert watching.returncode == 0, (output, errors)
    return fewest


def test_deleted_pods_are_replaced(kubectl: Client) -> None:
    deploy(kubectl)
    before = pod_names(kubectl)
    kubectl("delete", "pod", "-l", "app=web", "--wait")
    rolled_out(kubectl)
    after = pod_names(kubectl)
    assert len(after) == 3
    assert not before & after


def test_a_killed_container_is_restarted_with_back_off(kubectl: Client) -> None:
    deploy(kubectl, 1)
    (name,) = pod_names(kubectl)
    first = container_id(pod(kubectl, name))
    docker("kill", first)
    status = eventually(lambda: _restarted(kubectl, name, 1), what="the first restart")
    assert status["lastState"]["terminated"]["exitCode"] == 137
    assert status["lastState"]["terminated"]["containerID"] == f"docker://{first}"
    # The first restart is at once; the second one waits for ten seconds.
    docker("kill", status["containerID"].removeprefix("docker://"))
    killed = time.monotonic()
    eventually(lambda: "CrashLoopBackOff" in kubectl("get", "pods"), timeout_s=5)
    eventually(lambda: _restarted(kubectl, name, 2), what="the second restart")
    assert 8 < time.monotonic() - killed < 20
    assert "Back-off restarting failed container" in kubectl("get", "events")
    assert pod_names(kubectl) == {name}


def _restarted(kubectl: Client, name: str, times: int) -> dict[str, object]:
    status = pod(kubectl, name)["status"]["containerStatuses"][0]
    return status if status["restartCount"] == times and status["ready"] else {}


def test_apply_edit_patch_label_and_annotate(kubectl: Client, tmp_path: Path) -> None:
    assert kubectl.apply(_CONFIG % "red") == "configmap/settings created\n"
    assert kubectl.apply(_CONFIG % "red") == "configmap/settings unchanged\n"
    assert kubectl.apply(_CONFIG % "blue") == "configmap/settings configured\n"
    assert (
        "+  colour: green" in kubectl("diff", "-f", "-", stdin=_CONFIG % "green", check=False)
        and _colour(kubectl) == "blue"
    )

    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nexec sed -i 's/colour: blue/colour: yellow/' \"$1\"\n")
    editor.chmod(0o755)
    editing = Client(
        kubectl.program, {**kubectl.environment, "EDITOR": str(editor)}, kubectl.namespace
    )
    assert editing("edit", "configmap", "settings") == "configmap/settings edited\n"
    assert _colour(kubectl) == "yellow"

    for kind, patch, wanted in [
        ("json", '[{"op": "replace", "path": "/data/colour", "value": "one"}]', "one"),
        ("merge", '{"data": {"colour": "two"}}', "two"),
        ("strategic", '{"data": {"colour": "three"}}', "three"),
    ]:
        kubectl("patch", "configmap", "settings", f"--type={kind}", "-p", patch)
        assert _colour(kubectl) == wanted
    kubectl("label", "configmap", "settings", "tier=back")
    kubectl("annotate", "configmap", "settings", "note=first")
    assert kubectl("get", "configmaps", "-l", "tier=back", "-o", "name") == "configmap/settings\n"
    refused = kubectl.run("label", "configmap", "settings", "tier=front", check=False)
    assert "--overwrite is false" in refused.stderr
    kubectl("label", "configmap", "settings", "tier-")
    found = kubectl.json("get", "configmap", "settings")["metadata"]
    assert "labels" not in found and found["annotations"]["note"] == "first"


def _colour(kubectl: Client) -> str:
    return kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.colour}")


def test_patches_of_a_deployment_merge_containers_by_name(kubectl: Client) -> None:
    deploy(kubectl, 1)
    patch = '{"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "%s"}]}}}}'
    kubectl("patch", "deployment", "web", "-p", patch % WEB, "--dry-run=server")
    kubectl("patch", "deployment", "web", "-p", patch % WEB)
    template = kubectl.json("get", "deployment", "web")["spec"]["template"]
    assert [item["name"] for item in template["spec"]["containers"]] == ["side", "web"]


def test_get_describe_events_and_explain(kubectl: Client) -> None:
    deploy(kubectl, 1)
    address = expose(kubectl)
    (name,) = pod_names(kubectl)
    wide = kubectl("get", "pods", "-o", "wide").splitlines()
    assert wide[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert wide[1].split()[:4] == [name, "1/1", "Running", "0"]
    assert "phase: Running" in kubectl("get", "pod", name, "-o", "yaml")

    described = kubectl("describe", "pod", name)
    for wanted in ("Successfully assigned", "Container started", "Controlled By:  ReplicaSet/web-"):
        assert wanted in described
    assert "1 desired | 1 updated | 1 total | 1 available" in kubectl(
        "describe", "deployment", "web"
    )
    assert address in kubectl("describe", "service", "web")
    assert name in kubectl("describe", "node")
    events = kubectl("get", "events")
    assert "ScalingReplicaSet" in events and "SuccessfulCreate" in events
    assert "ScalingReplicaSet" in kubectl("events")
    explained = kubectl("explain", "pod.spec.containers")
    assert "FIELD: containers <[]Container>" in explained and "imagePullPolicy" in explained
    assert f"pod/{name}" in kubectl("get", "all")


def test_get_watch_shows_a_pod_come_and_go(kubectl: Client) -> None:
    kubectl("run", "first", f"--image={BUSYBOX}", "--restart=Never", "--", "true")
    watching = kubectl.start("get", "pods", "-w", "--output-watch-events")
    assert watching.stdout is not None
    try:
        while b"first" not in watching.stdout.readline():
            pass
        kubectl("run", "brief", f"--image={BUSYBOX}", "--restart=Never", "--", "true")
        wait_for_phase(kubectl, "brief", "Succeeded")
        kubectl("delete", "pod", "brief")
        time.sleep(0.5)
    finally:
        watching.send_signal(signal.SIGINT)
        output, _ = watching.communicate(timeout=10)
    lines = [line.split() for line in output.decode().splitlines() if "brief" in line]
    assert lines[0][0] == "ADDED" and lines[-1][0] == "DELETED"
    shown = [line[3] for line in lines]
    assert shown[0] == "Pending" and "Completed" in shown


def test_a_deleted_deployment_takes_everything_with_it(kubectl: Client) -> None:
    deploy(kubectl)
    uids = [item["metadata"]["uid"] for item in pods(kubectl)]
    assert all(len(containers(uid)) == 2 for uid in uids)
    kubectl("delete", "deployment", "web")
    eventually(lambda: not kubectl("get", "replicasets,pods", "-o", "name"))
    for uid in uids:
        eventually(lambda uid=uid: not containers(uid, every=True), what="no container is left")


def test_port_forward(kubectl: Client) -> None:
    deploy(kubectl, 1)
    expose(kubectl)
    for target, remote in (("deploy/web", 8080), ("service/web", 80)):
        port = free_port()
        forwarding = kubectl.start("port-forward", target, f"{port}:{remote}")
        try:
            eventually(lambda port=port: _listens(port), timeout_s=10, what="port-forward listens")
            for _ in range(5):
                assert http_get("127.0.0.1", port).startswith("v1 ")
        finally:
            forwarding.terminate()
            forwarding.communicate(timeout=10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_cp_to_and_from_a_container(kubectl: Client, tmp_path: Path) -> None:
    deploy(kubectl, 1)
    (name,) = pod_names(kubectl)
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(300_000))
    kubectl("cp", str(there), f"{name}:/tmp/there")
    kubectl("cp", f"{name}:/tmp/there", str(back))
    assert back.read_bytes() == there.read_bytes()


def test_debug_adds_a_container_to_a_running_pod(kubectl: Client) -> None:
    deploy(kubectl, 1)
    (name,) = pod_names(kubectl)
    first = container_id(pod(kubectl, name))
    kubectl(
        "debug",
        name,
        f"--image={BUSYBOX}",
        "-c",
        "probe",
        "--attach=false",
        "--",
        "cat",
        "/etc/hosts",
    )
    eventually(lambda: name in kubectl("logs", name, "-c", "probe", check=False))
    assert container_id(pod(kubectl, name)) == first


def test_debug_of_a_node_sees_its_files(kubectl: Client) -> None:
    (node,) = kubectl("get", "nodes", "-o", "name").split()
    kubectl(
        *("debug", node, f"--image={BUSYBOX}", "--attach=false", "--"), "ls", "/host/etc/passwd"
    )
    (name,) = kubectl("get", "pods", "-o", "name").split()
    eventually(lambda: kubectl("logs", name, check=False) == "/host/etc/passwd\n")


def test_access_questions_tokens_and_missing_metrics(
    cluster: Cluster, kubectl: Client, tmp_path: Path
) -> None:
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    refused = kubectl.run(
        "auth", "can-i", "list", "nodes", f"--as={_account(kubectl)}", check=False
    )
    assert (refused.returncode, refused.stdout) == (1, "no\n")
    token = kubectl("create", "token", "default", "--duration=10m").strip()
    assert _account(kubectl) in _as_bearer(cluster, tmp_path, token)("auth", "whoami")
    top = kubectl.run("top", "nodes", check=False)
    assert top.returncode == 1
    assert "Metrics API not available" in top.stderr


def _as_bearer(cluster: Cluster, directory: Path, token: str) -> Client:
    """kubectl with a kubeconfig that has the token in place of the client certificate."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = directory / "bearer"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return Client(kubectl_path(), {**cluster.environment, "KUBECONFIG": str(path)})


def _account(kubectl: Client) -> str:
    return f"system:serviceaccount:{kubectl.namespace}:default"
