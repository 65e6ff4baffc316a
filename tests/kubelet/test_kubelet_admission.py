"""Whether a node takes a pod: the reasons and texts that users see."""

import pytest
from kubelet_objects import container, pod

from kapi.api.object import Object
from kapi.kubelet.admission import AdmissionFacts, admit

NODE = {"metadata": {"name": "n", "labels": {"disk": "ssd", "size": "5"}}, "spec": {}}
ROOM = {"cpu": "1", "memory": "1Gi", "pods": "2"}


def asks(**requests: str) -> Object:
    return container(resources={"requests": requests})


def with_port(**port: object) -> Object:
    return pod(container(ports=[{"containerPort": 80, **port}]))


def affinity(key: str, operator: str, *values: str) -> Object:
    term = {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required}}


def verdict(spec: Object, *others: Object, node: Object = NODE) -> tuple[str, str] | None:
    found = admit(spec, AdmissionFacts(node, ROOM, others))
    return (found.reason, found.message) if found else None


def test_a_pod_that_fits() -> None:
    assert verdict(pod(asks(cpu="1", memory="1Gi"))) is None


@pytest.mark.parametrize(
    ("requests", "reason", "numbers"),
    [
        ({"cpu": "600m"}, "OutOfcpu", "cpu, requested: 600, used: 500, capacity: 1000"),
        (
            {"memory": "1Gi"},
            "OutOfmemory",
            "memory, requested: 1073741824, used: 1048576, capacity: 1073741824",
        ),
    ],
)
def test_a_pod_that_does_not_fit(requests: Object, reason: str, numbers: str) -> None:
    other = pod(asks(cpu="500m", memory="1Mi"))
    text = f"Node didn't have enough resource: {numbers}"
    assert verdict(pod(asks(**requests)), other) == (reason, text)


def test_too_many_pods() -> None:
    found = verdict(pod(), pod(), pod())
    assert found and found[0] == "OutOfpods"


def test_unknown_resources_are_nobodys_business() -> None:
    assert verdict(pod(asks(**{"example.com/thing": "1"}))) is None


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, True),
        ({"nodeSelector": {"disk": "hdd"}}, False),
        (affinity("disk", "In", "ssd", "x"), True),
        (affinity("disk", "NotIn", "ssd"), False),
        (affinity("disk", "Exists"), True),
        (affinity("nope", "DoesNotExist"), True),
        (affinity("size", "Gt", "4"), True),
        (affinity("size", "Lt", "4"), False),
        (affinity("disk", "Gt", "4"), False),
    ],
)
def test_affinity(fields: Object, fits: bool) -> None:
    expected = (
        "NodeAffinity",
        "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    )
    assert verdict(pod(**fields)) == (None if fits else expected)


@pytest.mark.parametrize(
    ("mine", "theirs", "clash"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, True),
        ({"hostPort": 80}, {"hostPort": 81}, False),
        ({"hostPort": 80, "protocol": "UDP"}, {"hostPort": 80}, False),
        ({"hostPort": 80, "hostIP": "1.1.1.1"}, {"hostPort": 80, "hostIP": "2.2.2.2"}, False),
        ({"hostPort": 80, "hostIP": "1.1.1.1"}, {"hostPort": 80, "hostIP": "0.0.0.0"}, True),
    ],
)
def test_host_ports(mine: Object, theirs: Object, clash: bool) -> None:
    found = verdict(with_port(**mine), with_port(**theirs))
    assert (found[0] if found else None) == ("NodePorts" if clash else None)


def test_taints_that_evict() -> None:
    taint = {"key": "k", "value": "v", "effect": "NoExecute"}
    node = {**NODE, "spec": {"taints": [taint, {"key": "x", "effect": "NoSchedule"}]}}
    found = verdict(pod(), node=node)
    assert found and found[0] == "TaintToleration"
    for toleration in (
        {"operator": "Exists"},
        {"key": "k", "operator": "Equal", "value": "v"},
        {"key": "k", "operator": "Exists", "effect": "NoExecute"},
    ):
        assert verdict(pod(tolerations=[toleration]), node=node) is None


def test_sysctls() -> None:
    def tuned(name: str, **fields: object) -> Object:
        return pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **fields)

    assert verdict(tuned("kernel/shm_rmid_forced")) is None
    assert verdict(tuned("net.ipv4.tcp_syncookies")) is None
    assert verdict(tuned("kernel.msgmax")) == (
        "SysctlForbidden",
        'forbidden sysctl: "kernel.msgmax" not allowlisted',
    )
    found = verdict(tuned("net.ipv4.tcp_syncookies", hostNetwork=True))
    assert found and found[0] == "SysctlForbidden"


def test_another_operating_system() -> None:
    found = verdict(pod(os={"name": "windows"}))
    assert found and found[0] == "PodOSNotSupported"


def test_features_the_node_lacks() -> None:
    assert verdict(pod(securityContext={"supplementalGroupsPolicy": "Strict"})) == (
        "SupplementalGroupsPolicyNotSupported",
        "SupplementalGroupsPolicy=Strict is not supported in this node",
    )
