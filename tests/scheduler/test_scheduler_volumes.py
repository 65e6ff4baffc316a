"""Volume plugins: where a pod's claims let it go, on a cache without any cluster behind it."""

from typing import Any

import pytest
from scheduler_objects import cache_of, info, node

from kapi.api.object import Object, name_of
from kapi.scheduler.framework import Rejection
from kapi.scheduler.plugins.dynamic_resources import DynamicResources
from kapi.scheduler.plugins.volume_binding import VolumeBinding
from kapi.scheduler.plugins.volume_restrictions import VolumeRestrictions
from kapi.scheduler.plugins.volume_zone import VolumeZone
from kapi.scheduler.pod_info import PodInfo
from kapi.scheduler.volumes import BIND_COMPLETED, SELECTED_NODE, Volumes

ZONE = "topology.kubernetes.io/zone"
WAIT = "WaitForFirstConsumer"


def claim(name: str, *, volume: str = "", annotations: Any = None, **spec: Any) -> Object:
    marks = {**({BIND_COMPLETED: "yes"} if volume else {}), **(annotations or {})}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "annotations": marks},
        "spec": {
            "storageClassName": "local",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **({"volumeName": volume} if volume else {}),
            **spec,
        },
    }


def volume(
    name: str, *, on: str = "", size: str = "1Gi", labels: Any = None, **spec: Any
) -> Object:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "storageClassName": "local",
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size},
            **({"nodeAffinity": {"required": terms}} if on else {}),
            **spec,
        },
    }


def known(*objects: Object, mode: str = WAIT, provisioner: str = "") -> Volumes:
    """Claims have a namespace, volumes have none; one class called `local`."""
    volumes = Volumes()
    for obj in objects:
        put = volumes.set_claim if obj["metadata"].get("namespace") else volumes.set_volume
        put(obj)
    volumes.set_class(
        {
            "metadata": {"name": "local"},
            "provisioner": provisioner or "kubernetes.io/no-provisioner",
            "volumeBindingMode": mode,
        }
    )
    return volumes


def user(name: str = "p", claim_name: str = "c") -> PodInfo:
    source = {"persistentVolumeClaim": {"claimName": claim_name}}
    return info(name, volumes=[{"name": "data", **source}])


def reasons(rejection: Rejection | None) -> tuple[str, ...]:
    return () if rejection is None else rejection.reasons


def verdicts(plugin: Any, pod: PodInfo, cache: Any) -> dict[str, tuple[str, ...]]:
    result = plugin.pre_filter(pod, cache)
    if result.rejection is not None:
        return {"*": reasons(result.rejection)}
    return {
        n.name: () if result.state is None else reasons(plugin.filter(result.state, pod, n))
        for n in cache.nodes()
    }


AB = (node("a", labels={ZONE: "za"}), node("b", labels={ZONE: "zb"}))


@pytest.mark.parametrize(
    ("volumes", "reason"),
    [
        (known(), 'persistentvolumeclaim "c" not found'),
        (known(claim("c"), mode="Immediate"), "pod has unbound immediate PersistentVolumeClaims"),
        (
            known(claim("c", volume="v")),
            'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"',
        ),
    ],
)
def test_claims_that_let_a_pod_go_nowhere(volumes: Volumes, reason: str) -> None:
    assert verdicts(VolumeBinding(volumes), user(), cache_of(*AB)) == {"*": (reason,)}


def test_a_claim_on_its_way_out_and_one_yet_to_be_made() -> None:
    leaving = claim("c")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    expected = ('persistentvolumeclaim "c" is being deleted',)
    assert verdicts(VolumeBinding(known(leaving)), user(), cache_of(*AB)) == {"*": expected}
    generated = info("p", volumes=[{"name": "data", "ephemeral": {}, "x": 1}])
    generated.spec["volumes"][0]["ephemeral"] = {"volumeClaimTemplate": {}}
    (reason,) = verdicts(VolumeBinding(known()), generated, cache_of(*AB))["*"]
    assert reason.endswith('to create the persistentvolumeclaim "p-data"')


def test_a_bound_volume_is_used_where_it_is() -> None:
    plugin = VolumeBinding(known(claim("c", volume="v"), volume("v", on="a")))
    elsewhere = "node(s) didn't match PersistentVolume's node affinity"
    assert verdicts(plugin, user(), cache_of(*AB)) == {"a": (), "b": (elsewhere,)}


NONE_TO_BIND = "node(s) didn't find available persistent volumes to bind"


@pytest.mark.parametrize(
    "unfit",
    [
        volume("v", size="512Mi"),
        volume("v", storageClassName="other"),
        volume("v", accessModes=["ReadOnlyMany"]),
        volume("v", volumeMode="Block"),
        volume("v", claimRef={"namespace": "default", "name": "other", "uid": "x"}),
        volume("v", claimRef={"namespace": "default", "name": "c", "uid": "an earlier claim"}),
    ],
)
def test_volumes_that_do_not_suit_a_claim(unfit: Object) -> None:
    plugin = VolumeBinding(known(claim("c"), unfit))
    assert set(verdicts(plugin, user(), cache_of(*AB)).values()) == {(NONE_TO_BIND,)}


def test_the_smallest_suitable_volume_is_taken_and_promised_once() -> None:
    volumes = known(claim("c"), claim("d"), volume("big", size="9Gi"), volume("small", on="a"))
    place = cache_of(*AB).node("a")
    assert place is not None
    plugin = VolumeBinding(volumes)
    first = plugin.decide(user(), place)
    assert first is not None
    assert [name_of(found) for _, found in first.static] == ["small"]
    volumes.reserve(first)
    second = plugin.decide(user("q", "d"), place)
    assert second is not None
    assert [name_of(found) for _, found in second.static] == ["big"]
    volumes.reserve(second)
    assert plugin.decide(user(), place) == first, "a promise holds for the claim it was made to"
    volumes.release(first)
    freed = plugin.decide(user("q", "d"), place)
    assert freed is not None
    assert [name_of(found) for _, found in freed.static] == ["small"]


def test_without_a_volume_one_is_provisioned_where_the_pod_goes() -> None:
    plugin = VolumeBinding(known(claim("c"), provisioner="example.org/disk"))
    assert verdicts(plugin, user(), cache_of(*AB)) == {"a": (), "b": ()}
    settled = claim("c", annotations={SELECTED_NODE: "b"})
    plugin = VolumeBinding(known(settled, provisioner="example.org/disk"))
    assert verdicts(plugin, user(), cache_of(*AB)) == {"a": (NONE_TO_BIND,), "b": ()}


def test_zones_of_volumes() -> None:
    cache = cache_of(*AB, node("zoneless"))
    plugin = VolumeZone(known(claim("c", volume="v"), volume("v", labels={ZONE: "za__zx"})))
    elsewhere = "node(s) had no available volume zone"
    assert verdicts(plugin, user(), cache) == {"a": (), "b": (elsewhere,), "zoneless": ()}


def test_a_claim_for_one_pod_serves_one_pod_anywhere() -> None:
    plugin = VolumeRestrictions(known(claim("c", accessModes=["ReadWriteOncePod"])))
    free = cache_of(*AB)
    assert verdicts(plugin, user(), free) == {"a": (), "b": ()}
    taken = cache_of(*AB, bound={"a": [user("other")]})
    found = verdicts(plugin, user(), taken)
    assert all("ReadWriteOncePod" in reason for (reason,) in found.values())
    assert set(found) == {"a", "b"}


def test_device_claims_are_refused_with_the_reason() -> None:
    (reason,) = verdicts(
        DynamicResources(), info("p", resourceClaims=[{"name": "gpu"}]), cache_of()
    )["*"]
    assert "not built" in reason
    assert DynamicResources().pre_filter(info("p"), cache_of()).rejection is None
