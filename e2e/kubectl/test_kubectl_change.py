"""Commands that change one thing: label, annotate, set, scale, autoscale, expose, run, debug."""

import json

import pytest
import yaml
from harness import Client, CommandFailed, eventually
from meaning import assert_holds

_IMAGE = "example.com/web:v1"


@pytest.fixture
def web(kubectl: Client) -> Client:
    """A Deployment `web` without pods."""
    kubectl("create", "deployment", "web", f"--image={_IMAGE}", "--replicas=0", "--port=8080")
    return kubectl


CHANGES: list[tuple[str, str]] = [
    ("label deployment web a=b c=d", "{metadata: {labels: {app: web, a: b, c: d}}}"),
    ("label deployment web app=other --overwrite", "{metadata: {labels: {app: other}}}"),
    ("label deployment web app-", "{metadata: {labels: null}}"),
    ("label deployments --all a=b", "{metadata: {labels: {a: b}}}"),
    ("label deployments -l app=web a=b", "{metadata: {labels: {a: b}}}"),
    ("annotate deployment web a=b", "{metadata: {annotations: {a: b}}}"),
    ("annotate deployment/web example.com/a=b --field-manager=me",
     "{metadata: {annotations: {example.com/a: b}}}"),
    ("set image deployment/web web=example.com/web:v2",
     "{spec: {template: {spec: {containers: [{image: 'example.com/web:v2'}]}}}}"),
    ("set image deployments --all *=example.com/web:v3",
     "{spec: {template: {spec: {containers: [{image: 'example.com/web:v3'}]}}}}"),
    ("set env deployment/web COLOR=blue",
     "{spec: {template: {spec: {containers: [{env: [{name: COLOR, value: blue}]}]}}}}"),
    ("set resources deployment web --limits=cpu=200m,memory=1Gi --requests=cpu=0.1",
     "{spec: {template: {spec: {containers: [{resources: {limits: {cpu: 200m, memory: 1Gi}, "
     "requests: {cpu: 100m}}}]}}}}"),
    ("set serviceaccount deployment web robot",
     "{spec: {template: {spec: {serviceAccountName: robot, serviceAccount: robot}}}}"),
    ("scale deployment web --replicas=3", "{spec: {replicas: 3}}"),
    ("scale deployment web --replicas=3 --current-replicas=0", "{spec: {replicas: 3}}"),
    ("scale deployments --all --replicas=1", "{spec: {replicas: 1}}"),
    ("rollout pause deployment/web", "{spec: {paused: true}}"),
    ("rollout restart deployment/web",
     "{spec: {template: {metadata: {annotations: {}}}}}"),
]  # fmt: skip


@pytest.mark.parametrize("arguments, expected", CHANGES, ids=[case[0] for case in CHANGES])
def test_change(web: Client, arguments: str, expected: str) -> None:
    web(*arguments.split())
    assert_holds(web.json("get", "deployment", "web"), expected)


REFUSED: list[tuple[str, str]] = [
    ("label deployment web app=other", "already has a value"),
    ("label deployment web a/b/c=d", "a valid label"),
    ("label deployment web a=b --resource-version=1", "the object has been modified"),
    ("set image deployment/web none=x", "unable to find container named"),
    ("scale deployment web --replicas=3 --current-replicas=2", "[Ee]xpected replicas to be 2"),
    ("scale deployment none --replicas=3", 'deployments.apps "none" not found'),
    ("scale configmap kube-root-ca.crt --replicas=3", "could not find the requested resource"),
    ("scale deployment web --replicas=-1", "must be .*non-negative|replicas=COUNT"),
]


@pytest.mark.parametrize("arguments, message", REFUSED, ids=[case[0] for case in REFUSED])
def test_refused(web: Client, arguments: str, message: str) -> None:
    with pytest.raises(CommandFailed, match=message):
        web(*arguments.split())


def test_dry_runs_change_nothing(web: Client) -> None:
    before = web.json("get", "deployment", "web")["metadata"]["generation"]
    for command in (
        "label deployment web a=b",
        "annotate deployment web a=b",
        "set image deployment/web web=x",
        "set env deployment/web A=b",
        "scale deployment web --replicas=5",
        "autoscale deployment web --max=3",
        "expose deployment web --port=80",
    ):
        assert "(server dry run)" in web(*command.split(), "--dry-run=server")
    assert web.json("get", "deployment", "web")["metadata"]["generation"] == before
    assert not web("get", "hpa,services", "-o", "name")


def test_env_from_and_list(web: Client) -> None:
    web("create", "configmap", "settings", "--from-literal=color=red")
    web("set", "env", "deployment/web", "--from=configmap/settings", "--prefix=MY_")
    web("set", "env", "deployment/web", "PLAIN=1")
    listed = web("set", "env", "deployment/web", "--list", "--resolve")
    assert "MY_COLOR=red" in listed and "PLAIN=1" in listed
    web("set", "env", "deployment/web", "PLAIN-")
    assert "PLAIN" not in web("set", "env", "deployment/web", "--list")


def test_selector_and_subject(kubectl: Client) -> None:
    kubectl("create", "service", "clusterip", "s", "--tcp=80")
    kubectl("set", "selector", "service", "s", "app=other,tier=front")
    read = kubectl.json("get", "service", "s")
    assert read["spec"]["selector"] == {"app": "other", "tier": "front"}
    kubectl("create", "rolebinding", "r", "--clusterrole=view", "--user=alice")
    more = ["--group=dev", f"--serviceaccount={kubectl.namespace}:robot"]
    kubectl("set", "subject", "rolebinding", "r", *more)
    subjects = kubectl.json("get", "rolebinding", "r")["subjects"]
    assert [item["name"] for item in subjects] == ["alice", "dev", "robot"]


def test_scale_waits_for_its_replicas(web: Client) -> None:
    web("scale", "deployment", "web", "--replicas=2", "--timeout=30s")
    eventually(lambda: web.json("get", "deployment", "web")["status"].get("readyReplicas") == 2)
    web("scale", "deployment", "web", "--replicas=0")
    web("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "bare"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "bare"}}, "template": {
            "metadata": {"labels": {"app": "bare"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    }))  # fmt: skip
    web("scale", "replicaset/bare", "--replicas=1")
    eventually(lambda: web.json("get", "replicaset", "bare")["status"]["replicas"] == 1)


def test_autoscale(web: Client) -> None:
    web("autoscale", "deployment", "web", "--min=2", "--max=5", "--cpu=80%")
    autoscaler = web.json("get", "hpa", "web")
    assert_holds(autoscaler, """
        apiVersion: autoscaling/v2
        spec:
          minReplicas: 2
          maxReplicas: 5
          scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
          metrics:
            - type: Resource
              resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}
    """)  # fmt: skip
    if "autoscaling/v1" not in web("api-versions").split():
        pytest.skip("this server has autoscaling/v2 only")
    older = web("get", "horizontalpodautoscalers.v1.autoscaling", "web", "-o", "yaml")
    assert yaml.safe_load(older)["spec"]["targetCPUUtilizationPercentage"] == 80


def test_expose(web: Client) -> None:
    ports = ["--port=80", "--target-port=8080", "--name=front", "--type=NodePort"]
    web("expose", "deployment", "web", *ports, "--session-affinity=ClientIP", "--labels=x=y")
    assert_holds(web.json("get", "service", "front"), """
        metadata: {labels: {x: y}}
        spec:
          type: NodePort
          selector: {app: web}
          sessionAffinity: ClientIP
          sessionAffinityConfig: {clientIP: {timeoutSeconds: 10800}}
          ports: [{port: 80, targetPort: 8080}]
    """)  # fmt: skip
    web("expose", "service", "front", "--name=second", "--port=81", "--cluster-ip=None")
    assert web.json("get", "service", "second")["spec"]["clusterIP"] == "None"


def test_run(kubectl: Client) -> None:
    flags = ["--env=A=b", "--labels=x=y,app=r", "--port=80", "--expose", "--restart=OnFailure"]
    kubectl("run", "r", f"--image={_IMAGE}", *flags, "--command", "--", "sleep", "1")
    assert_holds(kubectl.json("get", "pod", "r"), """
        metadata: {labels: {x: y, app: r}}
        spec:
          restartPolicy: OnFailure
          dnsPolicy: ClusterFirst
          serviceAccountName: default
          containers:
            - name: r
              command: [sleep, "1"]
              env: [{name: A, value: b}]
              ports: [{containerPort: 80}]
              terminationMessagePath: /dev/termination-log
    """)  # fmt: skip
    assert kubectl.json("get", "service", "r")["spec"]["selector"] == {"x": "y", "app": "r"}
    override = '{"spec":{"hostNetwork":true}}'
    kubectl("run", "s", f"--image={_IMAGE}", f"--overrides={override}")
    assert kubectl.json("get", "pod", "s")["spec"]["hostNetwork"]
    dry = kubectl("run", "t", f"--image={_IMAGE}", "--dry-run=server", "-o", "name")
    assert dry.strip() == "pod/t"
    assert not kubectl("get", "pod", "t", "--ignore-not-found")


def test_debug(kubectl: Client) -> None:
    kubectl("run", "p", f"--image={_IMAGE}")
    kubectl("debug", "p", "--image=example.com/tools", "-c", "look", "--target=p")
    assert_holds(kubectl.json("get", "pod", "p"), """
        spec:
          ephemeralContainers:
            - {name: look, image: example.com/tools, targetContainerName: p}
    """)  # fmt: skip
    kubectl("debug", "p", "--copy-to=q", "--set-image=p=example.com/web:debug")
    (container,) = kubectl.json("get", "pod", "q")["spec"]["containers"]
    assert container["image"] == "example.com/web:debug"
    told = kubectl("debug", "node/simulated-0", "--image=example.com/tools", "--profile=sysadmin")
    name = told.split("pod ")[1].split()[0]
    assert_holds(kubectl.json("get", "pod", name), """
        spec:
          nodeName: simulated-0
          hostNetwork: true
          hostPID: true
          containers: [{securityContext: {privileged: true}}]
    """)  # fmt: skip
