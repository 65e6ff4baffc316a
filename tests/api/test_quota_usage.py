"""What objects use, and which scopes they are in."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kapi.api.quota.pods import missing_demands, pod_resources
from kapi.api.quota.resource_list import add, exceeded, increase, printed
from kapi.api.quota.usage import counted_resources, in_scope, usage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def container(name: str = "c", **requests: str) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": requests}}


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def test_sums_keep_the_first_format_that_is_not_zero() -> None:
    assert add({"memory": "0"}, {"memory": "1Gi"}) == {"memory": "1Gi"}
    assert add({"memory": "1Gi"}, {"memory": "1G"}) == {"memory": "2073741824"}
    assert add({"cpu": "800m"}, {"cpu": "0.2", "pods": "1"}) == {"cpu": "1", "pods": "1"}


def test_an_increase_is_never_negative() -> None:
    assert increase({"a": "3", "b": "1"}, {"a": "1", "b": "2"}) == {"a": "2", "b": "0"}


def test_only_what_is_limited_can_be_exceeded() -> None:
    assert exceeded({"pods": "2", "cpu": "9"}, {"pods": "1"}) == ["pods"]
    assert printed({"pods": "1", "cpu": "2"}) == "cpu=2,pods=1"


def test_init_containers_need_room_only_while_they_run() -> None:
    spec = pod(container(cpu="1"), container("d", cpu="1"))["spec"]
    sidecar = {**container("s", cpu="500m"), "restartPolicy": "Always"}
    assert pod_resources({**spec, "initContainers": [container("i", cpu="3")]}, "requests") == {
        "cpu": "3"
    }
    assert pod_resources({**spec, "initContainers": [sidecar]}, "requests") == {"cpu": "2500m"}
    both = {**spec, "initContainers": [sidecar, container("i", cpu="3")]}
    assert pod_resources(both, "requests") == {"cpu": "3500m"}


def test_a_running_pod_counts_its_requests_twice_named() -> None:
    assert usage("pods", pod(container(cpu="1", **{"example.com/gpu": "2"})), NOW) == {
        "count/pods": "1",
        "pods": "1",
        "cpu": "1",
        "requests.cpu": "1",
        "requests.example.com/gpu": "2",
    }


@pytest.mark.parametrize(
    "ended",
    [
        {"status": {"phase": "Succeeded"}},
        {
            "metadata": {
                "deletionTimestamp": "2025-12-31T23:58:00Z",
                "deletionGracePeriodSeconds": 30,
            }
        },
    ],
)
def test_a_pod_that_has_ended_is_only_an_object(ended: dict[str, Any]) -> None:
    assert usage("pods", {**pod(container(cpu="1")), **ended}, NOW) == {"count/pods": "1"}


def test_services_count_their_node_ports() -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2, "nodePort": 30000}]}
    found = usage("services", {"spec": spec}, NOW)
    assert (found["services.loadbalancers"], found["services.nodeports"]) == ("1", "2")
    spec["allocateLoadBalancerNodePorts"] = False
    assert usage("services", {"spec": spec}, NOW)["services.nodeports"] == "1"


def test_claims_count_for_their_class_too() -> None:
    spec = {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}
    found = usage("persistentvolumeclaims", {"metadata": {}, "spec": spec}, NOW)
    assert found["fast.storageclass.storage.k8s.io/requests.storage"] == "1Gi"
    assert found["fast.storageclass.storage.k8s.io/persistentvolumeclaims"] == "1"


def test_a_claim_that_was_granted_more_counts_more() -> None:
    spec = {"resources": {"requests": {"storage": "1Gi"}}}
    status = {"allocatedResources": {"storage": "2Gi"}}
    found = usage("persistentvolumeclaims", {"metadata": {}, "spec": spec, "status": status}, NOW)
    assert found["requests.storage"] == "2Gi"


def test_devices_count_by_class() -> None:
    requests = [
        {"name": "a", "exactly": {"deviceClassName": "gpu", "count": 2}},
        {"name": "b", "exactly": {"deviceClassName": "nic", "allocationMode": "All"}},
        {
            "name": "c",
            "firstAvailable": [
                {"name": "x", "deviceClassName": "gpu", "count": 4},
                {"name": "y", "deviceClassName": "gpu", "count": 1},
            ],
        },
    ]
    claim = {"spec": {"devices": {"requests": requests}}}
    assert usage("resourceclaims.resource.k8s.io", claim, NOW) == {
        "count/resourceclaims.resource.k8s.io": "1",
        "gpu.deviceclass.resource.k8s.io/devices": "6",
        "nic.deviceclass.resource.k8s.io/devices": "32",
    }


def test_demands_name_the_containers_that_are_silent() -> None:
    both = pod(container("a", cpu="1"), container("b"))
    hard = {"requests.cpu": "1", "limits.memory": "1Gi", "pods": "3"}
    assert missing_demands(hard, both) == (
        "must specify limits.memory for: a,b; requests.cpu for: b"
    )
    assert missing_demands({"pods": "1"}, both) == ""
    assert missing_demands(hard, pod(container("a"), resources={"limits": {"cpu": "1"}})) == ""


@pytest.mark.parametrize(
    ("scope", "spec", "expected"),
    [
        ("BestEffort", {}, True),
        ("NotBestEffort", {}, False),
        ("Terminating", {"activeDeadlineSeconds": 0}, True),
        ("NotTerminating", {}, True),
        ("PriorityClass", {"priorityClassName": "high"}, True),
        ("PriorityClass", {}, False),
        ("CrossNamespacePodAffinity", {}, False),
        (
            "CrossNamespacePodAffinity",
            {
                "affinity": {
                    "podAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]
                    }
                }
            },
            True,
        ),
    ],
)
def test_scopes(scope: str, spec: dict[str, Any], expected: bool) -> None:
    quota = {"spec": {"scopes": [scope]}}
    assert in_scope(quota, "pods", pod(container(), **spec)) is expected
    assert in_scope(quota, "configmaps", {}) is False


def test_priority_classes_are_selected_by_name() -> None:
    wanted = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    quota = {"spec": {"scopeSelector": {"matchExpressions": [wanted]}}}
    assert in_scope(quota, "pods", pod(priorityClassName="high"))
    assert not in_scope(quota, "pods", pod(priorityClassName="low"))


def test_what_a_quota_counts() -> None:
    names = ["limits.cpu", "count/deployments.apps", "services.nodeports", "requests.storage"]
    assert counted_resources(names) == {
        "pods", "deployments.apps", "services", "persistentvolumeclaims"
    }  # fmt: skip
