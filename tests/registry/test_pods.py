"""Pods: defaults, what may change, binding, deletion, quality of service."""

import copy
from typing import Any

import pytest

from kapi.api.errors import BadRequest, Conflict, InternalError
from kapi.api.user import UserInfo
from kapi.registry.core.pod import EphemeralContainersStrategy, PodStatusStrategy, PodStrategy
from kapi.registry.core.pod_binding import bind
from kapi.registry.core.pod_defaults import pull_policy
from kapi.registry.core.pod_resources import qos_class
from kapi.registry.strategy import RequestContext

STRATEGY = PodStrategy()
CONTEXT = RequestContext(UserInfo("admin"), namespace="ns")


def made(**spec: Any) -> dict[str, Any]:
    obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "uid": "u1"},
        "spec": {"containers": [{"name": "c", "image": "web:v1"}], **spec},
    }
    STRATEGY.default(obj)
    STRATEGY.prepare_for_create(CONTEXT, obj)
    assert [str(error) for error in STRATEGY.validate(obj)] == []
    return obj


def complaints(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    return [str(error) for error in STRATEGY.validate_update(new, old)]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:v1", "IfNotPresent"),
        ("localhost:5000/web", "Always"),
        ("localhost:5000/web:v1", "IfNotPresent"),
        ("web@sha256:" + "a" * 64, "IfNotPresent"),
        ("web:latest@sha256:" + "a" * 64, "Always"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_a_new_pod_is_pending_with_its_quality() -> None:
    limits = {"cpu": "500m", "memory": "1Gi"}
    obj = made(containers=[{"name": "c", "image": "i", "resources": {"limits": limits}}])
    assert obj["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}
    assert obj["spec"]["containers"][0]["resources"]["requests"] == limits


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"ephemeral-storage": "1Gi"}}, "BestEffort"),
    ],
)
def test_quality_of_service(resources: dict[str, Any], quality: str) -> None:
    assert qos_class({"spec": {"containers": [{"resources": resources}]}}) == quality


def test_an_image_may_change_and_a_name_may_not() -> None:
    old = made()
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["image"] = "web:v2"
    assert complaints(new, old) == []
    new["spec"]["containers"][0]["name"] = "other"
    (text,) = complaints(new, old)
    assert text.startswith("spec: Forbidden: pod updates may not change fields other than ")
    assert '\n-   "Name": "c",\n+   "Name": "other",\n' in text


def test_tolerations_are_only_added() -> None:
    old = made(tolerations=[{"key": "a", "operator": "Exists"}])
    more = copy.deepcopy(old)
    more["spec"]["tolerations"].append({"key": "b", "operator": "Exists"})
    assert complaints(more, old) == []
    assert complaints(old, more) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its "
        "tolerationSeconds"
    ]


def test_gates_are_only_removed() -> None:
    gated = made(schedulingGates=[{"name": "example.com/wait"}])
    free = copy.deepcopy(gated)
    del free["spec"]["schedulingGates"]
    assert complaints(free, gated) == []
    assert complaints(gated, free) == [
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new "
        "scheduling gate 'example.com/wait'"
    ]


def test_status_writes_keep_spec_and_quality() -> None:
    old = made()
    new = copy.deepcopy(old)
    new["spec"]["containers"] = []
    new["status"] = {"phase": "Running"}
    strategy = PodStatusStrategy(STRATEGY)
    strategy.prepare_for_update(CONTEXT, new, old)
    assert new["spec"] == old["spec"]
    assert new["status"] == {"phase": "Running", "qosClass": "BestEffort"}
    assert strategy.validate_update(new, old) == []


def test_ephemeral_containers_stay() -> None:
    strategy = EphemeralContainersStrategy(STRATEGY)
    old = made()
    new = copy.deepcopy(old)
    new["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]
    STRATEGY.default(new)
    strategy.prepare_for_update(CONTEXT, new, old)
    assert strategy.validate_update(new, old) == []
    assert [str(error) for error in strategy.validate_update(old, new)] == [
        "spec.ephemeralContainers: Forbidden: existing ephemeral containers "
        '"debug" may not be removed\n'
    ]


@pytest.mark.parametrize(
    ("spec", "phase", "requested", "seconds"),
    [
        ({}, "Pending", None, 0),
        ({"nodeName": "n"}, "Running", None, 30),
        ({"nodeName": "n"}, "Running", 5, 5),
        ({"nodeName": "n"}, "Running", 0, 0),
        ({"nodeName": "n"}, "Succeeded", 5, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 7}, "Running", None, 7),
    ],
)
def test_grace_period(
    spec: dict[str, Any], phase: str, requested: int | None, seconds: int
) -> None:
    obj = made(**spec)
    obj["status"]["phase"] = phase
    assert STRATEGY.grace_period_seconds(obj, requested) == seconds


def binding(**more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}, **more}


def test_binding_sets_the_node_and_says_it_is_scheduled() -> None:
    pod = made()
    bound = bind(pod, binding(metadata={"name": "p", "annotations": {"a": "b"}}))
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["metadata"]["annotations"] == {"a": "b"}
    (condition,) = bound["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    assert "nodeName" not in pod["spec"]


def test_binding_refuses() -> None:
    pod = made()
    with pytest.raises(BadRequest, match="name in URL does not match name in Binding object"):
        bind(pod, binding(metadata={"name": "q"}))
    with pytest.raises(InternalError, match=r"target\.name: Required value"):
        bind(pod, {"metadata": {"name": "p"}})
    with pytest.raises(Conflict, match='pod p is already assigned to node "n1"'):
        bind(bind(pod, binding()), binding())
    with pytest.raises(Conflict, match="UID in precondition: u2, UID in object meta: u1"):
        bind(pod, binding(metadata={"name": "p", "uid": "u2"}))
    gated = made(schedulingGates=[{"name": "example.com/wait"}])
    with pytest.raises(Conflict, match=r"non-empty \.spec\.schedulingGates"):
        bind(gated, binding())
    deleting = copy.deepcopy(pod)
    deleting["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    with pytest.raises(Conflict, match="is being deleted, cannot be assigned to a host"):
        bind(deleting, binding())
