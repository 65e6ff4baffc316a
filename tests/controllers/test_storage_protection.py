"""When volumes, claims and classes may go."""

from typing import Any

import pytest

from kapi.controllers.storage_protection.plan import (
    attribute_classes,
    claim_in_use,
    plan_finalizer,
    volume_in_use,
    with_step,
)

FINALIZER = "kubernetes.io/pvc-protection"


def claim(*finalizers: str, deleting: bool = False) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": "data", "namespace": "ns", "finalizers": list(finalizers)}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": meta}


def pod(node: str, **volume: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "ns"},
        "spec": {"nodeName": node, "volumes": [{"name": "v", **volume}]},
    }


@pytest.mark.parametrize(
    ("present", "deleting", "in_use", "expected"),
    [
        (False, False, False, "add"),
        (True, False, True, ""),
        (True, True, True, ""),
        (True, True, False, "remove"),
        (False, True, False, ""),
    ],
)
def test_steps(present: bool, deleting: bool, in_use: bool, expected: str) -> None:
    obj = claim(*([FINALIZER] if present else []), deleting=deleting)
    step = plan_finalizer(obj, FINALIZER, in_use=in_use)
    assert step == expected
    if step:
        new = with_step(obj, FINALIZER, step)
        assert plan_finalizer(new, FINALIZER, in_use=in_use) == ""


def test_other_finalizers_stay() -> None:
    left = with_step(claim("a", FINALIZER, "b", deleting=True), FINALIZER, "remove")
    assert left["metadata"]["finalizers"] == ["a", "b"]


def test_only_a_pod_with_a_node_holds_a_claim() -> None:
    mounted = {"persistentVolumeClaim": {"claimName": "data"}}
    assert claim_in_use(claim(), [pod("one", **mounted)])
    assert not claim_in_use(claim(), [pod("", **mounted)])
    assert not claim_in_use(claim(), [pod("one", emptyDir={})])


def test_ephemeral_volumes_have_claims_of_their_own() -> None:
    owned = {"metadata": {"name": "web-v", "namespace": "ns"}}
    assert claim_in_use(owned, [pod("one", ephemeral={})])


def test_a_bound_volume_is_in_use() -> None:
    assert volume_in_use({"status": {"phase": "Bound"}})
    assert not volume_in_use({"status": {"phase": "Released"}})


def test_every_class_a_claim_names() -> None:
    status = {
        "currentVolumeAttributesClassName": "old",
        "modifyVolumeStatus": {"targetVolumeAttributesClassName": "new"},
    }
    found = attribute_classes({"spec": {"volumeAttributesClassName": "new"}, "status": status})
    assert found == {"old", "new"}
