"""What a container finds inside, on a real Docker engine: files, variables, users, names."""

import asyncio
import base64
import socket

import pytest
from docker_bench import NETWORK, POD_PREFIX, Bench, container

from kapi.api.object import Object
from kapi.client.client import CONFIG_MAPS, MERGE_PATCH, SECRETS, SERVICES

pytestmark = pytest.mark.e2e


async def output_of(bench: Bench, name: str, script: str, **fields: object) -> str:
    """The log of a pod that runs `script` once and succeeds. Pod fields come under `pod`."""
    pod_fields = fields.pop("pod", {})
    assert isinstance(pod_fields, dict)
    main = container("main", "sh", "-c", script, **fields)
    await bench.create(name, main, **{"restartPolicy": "Never", **pod_fields})
    pod = await bench.wait_phase(name, "Succeeded", "Failed")
    log = await bench.logs(name, "main")
    assert pod["status"]["phase"] == "Succeeded", log
    return log


def mount(name: str, path: str, **fields: object) -> Object:
    return {"name": name, "mountPath": path, **fields}


async def test_environment_comes_from_everywhere(bench: Bench) -> None:
    await bench.admin.create(
        CONFIG_MAPS, "default", {"metadata": {"name": "settings"}, "data": {"colour": "blue"}}
    )
    secret = {"metadata": {"name": "login"}, "data": {"pass": base64.b64encode(b"s3").decode()}}
    await bench.admin.create(SECRETS, "default", secret)
    service = {"metadata": {"name": "my-db"}, "spec": {"ports": [{"name": "sql", "port": 5432}]}}
    made = await bench.admin.create(SERVICES, "default", service)
    address = made["spec"]["clusterIP"]
    variables = [
        {"name": "PLAIN", "value": "one"},
        {"name": "MADE", "value": "$(PLAIN)-$(P_colour)-$(UNKNOWN)-$$(PLAIN)"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "login", "key": "pass"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
        {"name": "GONE", "valueFrom": {
            "configMapKeyRef": {"name": "settings", "key": "nope", "optional": True}}},
    ]  # fmt: skip
    log = await output_of(
        bench, "env", "env", env=variables,
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "settings"}}],
        resources={"limits": {"memory": "64Mi"}},
    )  # fmt: skip
    found = dict(line.split("=", 1) for line in log.splitlines() if "=" in line)
    assert found["MADE"] == "one-blue-$(UNKNOWN)-$(PLAIN)"
    assert found["KEY"] == "s3"
    assert found["POD"] == found["HOSTNAME"] == "env"
    assert found["IP"].startswith(POD_PREFIX)
    assert found["LIMIT"] == str(64 * 1024 * 1024)
    assert "GONE" not in found
    assert found["MY_DB_SERVICE_HOST"] == address
    assert found["MY_DB_PORT_5432_TCP"] == f"tcp://{address}:5432"
    assert found["MY_DB_SERVICE_PORT_SQL"] == "5432"


async def test_a_missing_object_holds_a_container_back_until_it_comes(bench: Bench) -> None:
    wanted = {"configMapKeyRef": {"name": "late", "key": "k"}}
    await bench.create(
        "waiting", container("main", "env", env=[{"name": "X", "valueFrom": wanted}]),
        restartPolicy="Never",
    )  # fmt: skip

    def held(pod: Object) -> bool:
        state = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
        return bool(
            state.get("waiting", {}).get("reason") == "CreateContainerConfigError"
            and state["waiting"]["message"] == 'configmap "late" not found'
        )

    await bench.wait("waiting", held)
    assert ("Failed", 'Error: configmap "late" not found') in await bench.events("waiting")
    await bench.admin.create(
        CONFIG_MAPS, "default", {"metadata": {"name": "late"}, "data": {"k": "v"}}
    )
    await bench.wait_phase("waiting", "Succeeded")
    assert "X=v" in await bench.logs("waiting")


async def test_volumes_show_objects_and_follow_them(bench: Bench) -> None:
    await bench.admin.create(
        CONFIG_MAPS, "default", {"metadata": {"name": "live"}, "data": {"a": "old", "b": "kept"}}
    )
    secret = {"metadata": {"name": "key"}, "data": {"k": base64.b64encode(b"x").decode()}}
    await bench.admin.create(SECRETS, "default", secret)
    projected = [
        {"downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"secret": {"name": "key", "items": [{"key": "k", "path": "sub/k", "mode": 0o400}]}},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
    ]  # fmt: skip
    script = (
        "stat -c %a /all/sub/k; cat /all/labels; echo; ls /all; cat /one; "
        "while [ $(cat /live/a) = old ]; do sleep 0.1; done; cat /live/a /live/b /one; "
        "[ -s /all/token ] && echo token; touch /live/x 2>/dev/null || echo closed"
    )
    await bench.create(
        "files",
        container(
            "main", "sh", "-c", script,
            volumeMounts=[
                mount("live", "/live"),
                mount("all", "/all"),
                mount("live", "/one", subPath="a"),
            ],
        ),
        metadata={"labels": {"app": "x", "tier": 'a'}},
        volumes=[
            {"name": "live", "configMap": {"name": "live"}},
            {"name": "all", "projected": {"sources": projected}},
            {"name": "unused", "secret": {"secretName": "does-not-exist"}},
        ],
        restartPolicy="Never",
    )  # fmt: skip
    await bench.wait_phase("files", "Running")
    patch = {"data": {"a": "new"}}
    await bench.admin.patch(CONFIG_MAPS, "default", "live", patch, content_type=MERGE_PATCH)
    await bench.wait_phase("files", "Succeeded")
    log = await bench.logs("files")
    assert log.startswith('400\napp="x"\ntier="a"\nlabels\nsub\ntoken\nold')
    # The sub-path keeps what it was mounted with.
    assert log.endswith("newkeptoldtoken\nclosed\n")


async def test_a_missing_volume_source_is_told_and_waited_for(bench: Bench) -> None:
    await bench.create(
        "unmounted",
        container("main", "cat", "/c/k", volumeMounts=[mount("c", "/c")]),
        volumes=[{"name": "c", "configMap": {"name": "comes-later"}}],
        restartPolicy="Never",
    )
    text = 'MountVolume.SetUp failed for volume "c" : configmap "comes-later" not found'

    async def told() -> bool:
        return ("FailedMount", text) in await bench.events("unmounted")

    await bench.until(told, "the event")
    await bench.admin.create(
        CONFIG_MAPS, "default", {"metadata": {"name": "comes-later"}, "data": {"k": "here"}}
    )
    await bench.wait_phase("unmounted", "Succeeded")
    assert await bench.logs("unmounted") == "here"


async def test_empty_dirs_and_groups(bench: Bench) -> None:
    log = await output_of(
        bench,
        "dirs",
        "stat -c '%a %u %g' /disk /mem; stat -f -c %T /mem; touch /disk/f; stat -c %g /disk/f; id",
        volumeMounts=[mount("disk", "/disk"), mount("mem", "/mem")],
        securityContext={"runAsUser": 1001, "runAsGroup": 2002},
        pod={
            "volumes": [
                {"name": "disk", "emptyDir": {}},
                {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            ],
            "securityContext": {"fsGroup": 3003, "supplementalGroups": [4004]},
        },
    )
    lines = log.splitlines()
    assert lines[0] == lines[1] == "2777 0 3003"
    assert lines[2] == "tmpfs"
    assert lines[3] == "3003"
    assert lines[4].startswith("uid=1001 gid=2002")
    assert "3003" in lines[4] and "4004" in lines[4]


async def test_sub_paths_stay_inside(bench: Bench) -> None:
    log = await output_of(
        bench,
        "inside",
        "echo data > /sub/file; ls /whole/inside",
        env=[{"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        volumeMounts=[mount("v", "/whole"), mount("v", "/sub", subPathExpr="$(WHERE)")],
        pod={"volumes": [{"name": "v", "emptyDir": {}}]},
    )
    assert log == "file\n"


async def test_names_and_resolvers(bench: Bench) -> None:
    log = await output_of(
        bench,
        "named",
        "hostname; cat /etc/hosts /etc/resolv.conf",
        pod={
            "hostname": "me",
            "subdomain": "sub",
            "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["other", "alias"]}],
        },
    )
    assert log.startswith("me\n# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "\tme.sub.default.svc.cluster.local\tme\n" in log
    assert "10.1.2.3\tother\talias\n" in log
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in log
    assert "nameserver 10.96.0.10\noptions ndots:5\n" in log


async def test_the_host_network(bench: Bench) -> None:
    pod = await bench.create("hosted", container("main", "sleep", "100"), hostNetwork=True)
    pod = await bench.wait_ready("hosted")
    assert pod["status"]["podIP"] == pod["status"]["hostIP"] == NETWORK.gateway


async def test_host_ports_lead_into_the_pod(bench: Bench) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ports = [{"containerPort": 8080, "hostPort": port, "hostIP": "127.0.0.1"}]
    await bench.create(
        "open", container("main", "nc", "-ll", "-p", "8080", "-e", "cat", ports=ports)
    )
    await bench.wait_ready("open")

    async def answers() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.write(b"ping")
        try:
            return await reader.read(4) == b"ping"
        finally:
            writer.close()

    await bench.until(answers, "the host port to answer")


async def test_restrictions_hold(bench: Bench) -> None:
    log = await output_of(
        bench,
        "narrow",
        "touch /x 2>&1; cat /proc/self/status",
        securityContext={
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    )
    assert "Read-only file system" in log
    assert "NoNewPrivs:\t1" in log
    assert "CapEff:\t0000000000000000" in log
    await bench.create("rooted", container("main", "true", securityContext={"runAsNonRoot": True}))
    pod = await bench.wait(
        "rooted",
        lambda pod: "CreateContainerConfigError" in str(pod["status"].get("containerStatuses")),
    )
    message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message.startswith("container has runAsNonRoot and image will run as root (pod: ")


async def test_processes_are_shared_when_asked(bench: Bench) -> None:
    log = await output_of(
        bench, "together", "cat /proc/1/cmdline", pod={"shareProcessNamespace": True}
    )
    assert log == "/pause\0"


async def test_too_much_memory_is_told(bench: Bench) -> None:
    eat = "x=a; while true; do x=$x$x; done"
    main = container("main", "sh", "-c", eat, resources={"limits": {"memory": "16Mi"}})
    await bench.create("hungry", main, restartPolicy="Never")
    pod = await bench.wait_phase("hungry", "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


async def test_safe_sysctls_are_set(bench: Bench) -> None:
    sysctl = {"name": "kernel.shm_rmid_forced", "value": "1"}
    log = await output_of(
        bench,
        "tuned",
        "cat /proc/sys/kernel/shm_rmid_forced",
        pod={"securityContext": {"sysctls": [sysctl]}},
    )
    assert log == "1\n"


async def test_limits_change_in_place(bench: Bench) -> None:
    def limits(cpu: str, memory: str) -> Object:
        return {"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": "50m"}}

    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    first = container("first", "sleep", "1000", resources=limits("100m", "32Mi"))
    second = container(
        "second", "sleep", "1000", resources=limits("100m", "32Mi"), resizePolicy=policy
    )
    await bench.create("grown", first, second)
    before = await bench.wait_ready("grown")
    wanted = [
        {"name": "first", "resources": limits("200m", "64Mi")},
        {"name": "second", "resources": limits("200m", "64Mi")},
    ]
    await bench.resize("grown", wanted)

    def done(pod: Object) -> bool:
        statuses = pod["status"]["containerStatuses"]
        return all(
            s.get("resources", {}).get("limits") == {"cpu": "200m", "memory": "64Mi"}
            and "running" in s["state"]
            for s in statuses
        ) and not any("Resize" in c["type"] for c in pod["status"]["conditions"])

    after = await bench.wait("grown", done)
    counts = [status["restartCount"] for status in after["status"]["containerStatuses"]]
    assert counts == [0, 1]
    kept = [pod["status"]["containerStatuses"][0]["containerID"] for pod in (before, after)]
    assert kept[0] == kept[1]
    inspected = await bench.inspect(kept[0].removeprefix("docker://"))
    assert inspected["HostConfig"]["Memory"] == 64 * 1024 * 1024
    assert inspected["HostConfig"]["CpuQuota"] == 20_000
    events = [reason for reason, _ in await bench.events("grown")]
    assert "ResizeStarted" in events and "ResizeCompleted" in events
    assert ("Killing", "Container second resize requires restart") in await bench.events("grown")


async def test_a_pod_uses_its_service_account(bench: Bench) -> None:
    await bench.admin.create(
        CONFIG_MAPS,
        "default",
        {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "certificate"}},
    )
    log = await output_of(
        bench,
        "account",
        "cd /var/run/secrets/kubernetes.io/serviceaccount; ls; cat ca.crt namespace",
        pod={"automountServiceAccountToken": True},
    )
    assert log == "ca.crt\nnamespace\ntoken\ncertificatedefault"
