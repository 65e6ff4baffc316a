"""What a Pod's spec asks for, seen from inside its containers and from Docker."""

import json
import ssl
import time
import urllib.request
from pathlib import Path
from typing import Any

from harness import Client, eventually
from tour import BUSYBOX, WEB, container_id, docker, pod, wait_for_phase, wait_ready

_KUBERNETES = "10.96.0.1"


def _pod(name: str, spec: dict[str, Any], **metadata: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **metadata},
            "spec": {"terminationGracePeriodSeconds": 1, **spec},
        }
    )


def _shell(script: str, name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": BUSYBOX, "command": ["sh", "-c", script], **more}


def _statuses(kubectl: Client, name: str) -> dict[str, dict[str, Any]]:
    status = pod(kubectl, name)["status"]
    every = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    return {item["name"]: item for item in every}


def _config_map(colour: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"colour": colour, "size": "7"},
        }
    )


def test_init_containers_run_in_order_before_the_others(kubectl: Client) -> None:
    shared = [{"name": "shared", "mountPath": "/shared"}]
    spec = {
        "volumes": [{"name": "shared", "emptyDir": {}}],
        "initContainers": [
            _shell("echo one > /shared/log", "first", volumeMounts=shared),
            _shell("echo two >> /shared/log", "second", volumeMounts=shared),
        ],
        "containers": [
            _shell("cat /shared/log; sleep 600", "left", volumeMounts=shared),
            _shell("echo right >> /shared/log; sleep 600", "right", volumeMounts=shared),
        ],
    }
    kubectl.apply(_pod("several", spec))
    wait_ready(kubectl, "pod/several")
    assert kubectl("logs", "several", "-c", "left").startswith("one\ntwo\n")
    eventually(
        lambda: "right" in kubectl("exec", "several", "-c", "left", "--", "cat", "/shared/log")
    )
    statuses = _statuses(kubectl, "several")
    assert statuses["first"]["state"]["terminated"]["reason"] == "Completed"
    # One network: a listener of the one is reached from the other at 127.0.0.1.
    listen = "echo hello | nc -l -p 9000 &"
    kubectl("exec", "several", "-c", "right", "--", "sh", "-c", listen + " sleep 0.2")
    assert kubectl("exec", "several", "-c", "left", "--", "nc", "127.0.0.1", "9000") == "hello\n"


def test_a_failing_init_container_keeps_the_others_from_starting(kubectl: Client) -> None:
    spec = {
        "restartPolicy": "Never",
        "initContainers": [_shell("exit 3", "first")],
        "containers": [_shell("echo never")],
    }
    kubectl.apply(_pod("broken", spec))
    wait_for_phase(kubectl, "broken", "Failed")
    statuses = _statuses(kubectl, "broken")
    assert statuses["first"]["state"]["terminated"]["exitCode"] == 3
    assert statuses["main"]["state"]["waiting"]["reason"] == "PodInitializing"
    assert "Init:Error" in kubectl("get", "pods")


def test_environment_from_config_maps_secrets_and_fields(kubectl: Client) -> None:
    kubectl.apply(_config_map("red"))
    kubectl("create", "secret", "generic", "keys", "--from-literal=token=s3cret")
    field = {"fieldRef": {"fieldPath": "status.podIP"}}
    variables = [
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {"name": "IP", "valueFrom": field},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "URL", "value": "http://$(IP):$(all_size)/$$(IP)"},
    ]
    sources = [{"prefix": "all_", "configMapRef": {"name": "settings"}}]
    spec = {
        "restartPolicy": "Never",
        "containers": [
            _shell("env", env=variables, envFrom=sources, resources={"limits": {"cpu": "1500m"}})
        ],
    }
    kubectl.apply(_pod("env", spec))
    wait_for_phase(kubectl, "env", "Succeeded")
    found = dict(line.split("=", 1) for line in kubectl("logs", "env").splitlines())
    made = pod(kubectl, "env")
    ip = made["status"]["podIP"]
    assert found["COLOUR"] == found["all_colour"] == "red"
    assert (found["TOKEN"], found["IP"], found["CPUS"]) == ("s3cret", ip, "2")
    assert found["NODE"] == made["spec"]["nodeName"]
    assert found["URL"] == f"http://{ip}:7/$(IP)"
    assert found["KUBERNETES_SERVICE_HOST"] == _KUBERNETES
    assert found["HOSTNAME"] == "env"


def test_a_missing_config_map_is_named_and_waited_for(kubectl: Client) -> None:
    spec = {
        "restartPolicy": "Never",
        "containers": [_shell("env", envFrom=[{"configMapRef": {"name": "settings"}}])],
    }
    kubectl.apply(_pod("waits", spec))
    eventually(lambda: "CreateContainerConfigError" in kubectl("get", "pods"))
    assert 'configmap "settings" not found' in kubectl("get", "events")
    kubectl.apply(_config_map("late"))
    wait_for_phase(kubectl, "waits", "Succeeded")
    assert "colour=late" in kubectl("logs", "waits")


def test_volumes_of_every_kind(kubectl: Client, tmp_path: Path) -> None:
    kubectl.apply(_config_map("red"))
    kubectl("create", "secret", "generic", "keys", "--from-literal=token=s3cret")
    (tmp_path / "file").write_text("from the host")
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    projected = [
        {"configMap": {"name": "settings", "items": [{"key": "size", "path": "a/size"}]}},
        {"secret": {"name": "keys"}},
        {"serviceAccountToken": {"path": "bound", "audience": "vault", "expirationSeconds": 600}},
    ]
    volumes = {
        "scratch": {"emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
        "host": {"hostPath": {"path": str(tmp_path), "type": "Directory"}},
        "config": {"configMap": {"name": "settings"}},
        "secret": {"secret": {"secretName": "keys", "defaultMode": 0o400}},
        "all": {"projected": {"sources": projected}},
        "about": {"downwardAPI": {"items": [labels]}},
    }
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in volumes]
    mounts.append({"name": "config", "mountPath": "/single", "subPath": "size", "readOnly": True})
    spec = {
        "volumes": [{"name": name, **source} for name, source in volumes.items()],
        "containers": [_shell("sleep 600", volumeMounts=mounts)],
    }
    kubectl.apply(_pod("volumes", spec, labels={"tier": "back"}))
    wait_ready(kubectl, "pod/volumes")

    def sh(script: str) -> str:
        return kubectl("exec", "volumes", "--", "sh", "-c", script)

    assert sh("cat /host/file; echo back > /host/back") == "from the host"
    assert (tmp_path / "back").read_text() == "back\n"
    assert sh("cat /config/colour /single /all/a/size") == "red77"
    assert sh("cat /secret/token /all/token; stat -L -c %a /secret/token") == "s3crets3cret400\n"
    assert sh("cat /about/labels") == 'tier="back"'
    assert "tmpfs" in sh("grep ' /scratch ' /proc/mounts")
    assert sh("cat /all/bound").count(".") == 2

    kubectl.apply(_config_map("blue"))
    kubectl("label", "pod", "volumes", "tier=front", "--overwrite")
    eventually(lambda: sh("cat /config/colour") == "blue", timeout_s=90)
    eventually(lambda: sh("cat /about/labels") == 'tier="front"', timeout_s=90)


def test_a_program_in_a_pod_reaches_the_api_with_its_token(kubectl: Client) -> None:
    kubectl.apply(_pod("client", {"containers": [_shell("sleep 600")]}))
    wait_ready(kubectl, "pod/client")
    directory = "/var/run/secrets/kubernetes.io/serviceaccount"

    def sh(script: str) -> str:
        return kubectl("exec", "client", "--", "sh", "-c", script)

    assert sh(f"cat {directory}/namespace") == kubectl.namespace
    token, ca = sh(f"cat {directory}/token"), sh(f"cat {directory}/ca.crt")
    assert sh("nc -w 3 kubernetes.default.svc 443 < /dev/null && echo open") == "open\n"
    # The image has no TLS client that checks a certificate: the same from the machine, with the
    # token and the authority of the pod, at the address that the pod has.
    context = ssl.create_default_context(cadata=ca)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    url = f"https://{_KUBERNETES}/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(review).encode(), headers)
    with opener.open(request, timeout=10) as answer:
        user = json.load(answer)["status"]["userInfo"]
    assert user["username"] == f"system:serviceaccount:{kubectl.namespace}:default"
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["client"]
    certified = ssl.get_server_certificate((_KUBERNETES, 443))
    assert certified.startswith("-----BEGIN CERTIFICATE-----")


def test_resources_become_limits_of_docker(kubectl: Client) -> None:
    limits = {"cpu": "250m", "memory": "32Mi"}
    resources = {"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": limits}
    spec = {"containers": [_shell("sleep 600", resources=resources)]}
    kubectl.apply(_pod("limited", spec))
    wait_ready(kubectl, "pod/limited")
    made = pod(kubectl, "limited")
    host = json.loads(docker("inspect", container_id(made)))[0]["HostConfig"]
    assert host["Memory"] == 32 << 20
    assert host["CpuQuota"] / host["CpuPeriod"] == 0.25
    assert host["CpuShares"] == 102
    assert made["status"]["qosClass"] == "Burstable"
    # tail keeps a line that never ends in memory.
    kubectl("exec", "limited", "--", "sh", "-c", "tail /dev/zero", check=False)
    spec = {
        "restartPolicy": "Never",
        "containers": [_shell("exec tail /dev/zero", resources=resources)],
    }
    kubectl.apply(_pod("greedy", spec))
    wait_for_phase(kubectl, "greedy", "Failed")
    assert _statuses(kubectl, "greedy")["main"]["state"]["terminated"]["reason"] == "OOMKilled"


def test_restart_policies(kubectl: Client) -> None:
    for policy, code, phase in (
        ("Never", 0, "Succeeded"),
        ("Never", 4, "Failed"),
        ("OnFailure", 0, "Succeeded"),
    ):
        name = f"{policy.lower()}-{code}"
        spec = {"restartPolicy": policy, "containers": [_shell(f"exit {code}")]}
        kubectl.apply(_pod(name, spec))
        wait_for_phase(kubectl, name, phase)
        status = _statuses(kubectl, name)["main"]
        assert (status["restartCount"], status["state"]["terminated"]["exitCode"]) == (0, code)
    for policy, code in (("OnFailure", 5), ("Always", 0)):
        name = f"{policy.lower()}-again"
        kubectl.apply(_pod(name, {"restartPolicy": policy, "containers": [_shell(f"exit {code}")]}))
    for name in ("onfailure-again", "always-again"):
        status = eventually(lambda name=name: _backing_off(kubectl, name))
        assert status["restartCount"] == 1
        assert "back-off 10s restarting failed container" in status["state"]["waiting"]["message"]


def _backing_off(kubectl: Client, name: str) -> dict[str, Any]:
    status = _statuses(kubectl, name).get("main", {})
    waiting = status.get("state", {}).get("waiting", {})
    return status if waiting.get("reason") == "CrashLoopBackOff" else {}


def test_what_cannot_start_says_why_and_is_tried_at_leisure(kubectl: Client) -> None:
    kubectl("run", "no-image", "--image=nowhere.invalid/none:1", "--image-pull-policy=Never")
    nothing = {"containers": [{"name": "main", "image": BUSYBOX, "command": ["/no/such"]}]}
    kubectl.apply(_pod("no-program", nothing))
    eventually(lambda: "ErrImageNeverPull" in kubectl("get", "pods"))
    eventually(lambda: "/no/such" in kubectl("get", "events"))
    for command in (("exec", "no-image", "--", "ls"), ("attach", "no-image")):
        refused = kubectl.run(*command, check=False)
        assert 'container "no-image" in pod "no-image" is waiting to start' in refused.stderr
    before = _times_seen(kubectl)
    time.sleep(3)
    for message, times in _times_seen(kubectl).items():
        assert times <= before.get(message, 0) + 1, message


def _times_seen(kubectl: Client) -> dict[str, int]:
    events = kubectl.json("get", "events")["items"]
    return {event["message"]: event.get("count", 1) for event in events}


def test_liveness_probes_restart(kubectl: Client) -> None:
    often = {"periodSeconds": 1, "failureThreshold": 1}
    alive = {"exec": {"command": ["cat", "/tmp/alive"]}, **often}
    web = {"httpGet": {"path": "/healthz", "port": 8080}, **often}
    open_port = {"tcpSocket": {"port": 8080}, **often}
    script = "touch /tmp/alive; sleep 2; rm /tmp/alive; sleep 600"
    lame = [{"name": "LAME_DUCK", "value": "0"}]
    server = {"image": WEB, "env": lame}
    spec = {
        "containers": [
            _shell(script, "by-exec", livenessProbe=alive),
            {"name": "by-http", **server, "livenessProbe": {**web, "initialDelaySeconds": 1}},
        ]
    }
    kubectl.apply(_pod("probed", spec))
    other = {"env": [*lame, {"name": "PORT", "value": "8081"}]}
    spec = {"containers": [{"name": "by-tcp", **server, **other, "livenessProbe": open_port}]}
    kubectl.apply(_pod("closed", spec))
    eventually(lambda: _statuses(kubectl, "probed")["by-exec"]["restartCount"] == 1)
    eventually(lambda: _statuses(kubectl, "closed")["by-tcp"]["restartCount"] >= 1)
    assert _statuses(kubectl, "probed")["by-http"]["restartCount"] == 0
    kubectl("exec", "probed", "-c", "by-http", "--", "rm", "/www/healthz")
    eventually(lambda: _statuses(kubectl, "probed")["by-http"]["restartCount"] == 1)
    events = kubectl("get", "events")
    assert "Liveness probe failed: HTTP probe failed with statuscode: 404" in events
    assert "Container by-exec failed liveness probe, will be restarted" in events


def test_readiness_gates_the_endpoints(kubectl: Client) -> None:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}
    probe["failureThreshold"] = probe["successThreshold"] = 1
    server = {"name": "web", "image": WEB, "readinessProbe": probe}
    kubectl.apply(_pod("gated", {"containers": [server]}, labels={"app": "gated"}))
    kubectl("expose", "pod", "gated", "--port=80", "--target-port=8080")
    eventually(lambda: _ready_addresses(kubectl) == 1)
    kubectl("exec", "gated", "--", "mv", "/www/healthz", "/www/hidden")
    eventually(lambda: _ready_addresses(kubectl) == 0)
    assert "0/1" in kubectl("get", "pod", "gated")
    kubectl("exec", "gated", "--", "mv", "/www/hidden", "/www/healthz")
    eventually(lambda: _ready_addresses(kubectl) == 1)
    assert _statuses(kubectl, "gated")["web"]["restartCount"] == 0


def _ready_addresses(kubectl: Client) -> int:
    subsets = kubectl.json("get", "endpoints", "gated").get("subsets") or []
    return sum(len(part.get("addresses") or []) for part in subsets)


def test_a_startup_probe_holds_the_others_back(kubectl: Client) -> None:
    startup = {"exec": {"command": ["cat", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30}
    live = {"exec": {"command": ["cat", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "sleep 3; touch /tmp/up; sleep 600"
    container = _shell(script, startupProbe=startup, livenessProbe=live)
    kubectl.apply(_pod("slow", {"containers": [container]}))
    eventually(lambda: "running" in _statuses(kubectl, "slow").get("main", {}).get("state", {}))
    assert _statuses(kubectl, "slow")["main"]["started"] is False
    wait_ready(kubectl, "pod/slow")
    status = _statuses(kubectl, "slow")["main"]
    assert (status["started"], status["restartCount"]) == (True, 0)


def test_hooks_and_the_grace_period(kubectl: Client, tmp_path: Path) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo postStart >> /host/log"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "sleep 1; echo preStop >> /host/log"]}},
    }
    script = "trap 'echo TERM >> /host/log; exit 0' TERM; while :; do sleep 0.1; done"
    spec = {
        "terminationGracePeriodSeconds": 20,
        "volumes": [{"name": "host", "hostPath": {"path": str(tmp_path)}}],
        "containers": [
            _shell(script, lifecycle=hooks, volumeMounts=[{"name": "host", "mountPath": "/host"}])
        ],
    }
    kubectl.apply(_pod("hooked", spec))
    wait_ready(kubectl, "pod/hooked")
    begun = time.monotonic()
    kubectl("delete", "pod", "hooked", "--wait=false")
    assert "Terminating" in kubectl("get", "pod", "hooked")
    kubectl("wait", "--for=delete", "pod/hooked", "--timeout=20s")
    assert time.monotonic() - begun < 10
    assert (tmp_path / "log").read_text().split() == ["postStart", "preStop", "TERM"]

    deaf = _shell("trap '' TERM; while :; do sleep 0.1; done")
    kubectl.apply(_pod("deaf", {"terminationGracePeriodSeconds": 2, "containers": [deaf]}))
    wait_ready(kubectl, "pod/deaf")
    begun = time.monotonic()
    kubectl("delete", "pod", "deaf")
    assert 1.5 < time.monotonic() - begun < 6


def test_owners_and_finalizers(kubectl: Client) -> None:
    owner = json.loads(kubectl.apply(_config_map("owner"), "-o", "json"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "settings"}
    reference["uid"] = owner["metadata"]["uid"]
    spec = {"containers": [_shell("sleep 600")]}
    kubectl.apply(_pod("owned", spec, ownerReferences=[reference], finalizers=["example.org/hold"]))
    wait_ready(kubectl, "pod/owned")
    kubectl("delete", "configmap", "settings")
    held = eventually(lambda: _deleting(kubectl, "owned"))
    assert held["metadata"]["finalizers"] == ["example.org/hold"]
    # Its containers end; the object stays until the finalizer goes.
    eventually(lambda: pod(kubectl, "owned")["status"]["phase"] in ("Failed", "Succeeded"))
    kubectl("patch", "pod", "owned", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    kubectl("wait", "--for=delete", "pod/owned", "--timeout=20s")


def _deleting(kubectl: Client, name: str) -> dict[str, Any]:
    found = pod(kubectl, name)
    return found if "deletionTimestamp" in found["metadata"] else {}
