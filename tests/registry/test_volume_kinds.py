"""What PersistentVolumes and their claims refuse and warn of, in upstream's words."""

import copy
from typing import Any

from kapi.api.patch.typed import compare
from kapi.api.schema import kind_schema
from kapi.api.user import UserInfo
from kapi.registry.core.persistent_volume import PersistentVolumeStrategy
from kapi.registry.core.persistent_volume_claim import PersistentVolumeClaimStrategy
from kapi.registry.core.pod import PodStrategy
from kapi.registry.strategy import RequestContext

VOLUME: dict[str, Any] = {
    "metadata": {"name": "v"},
    "spec": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "volumeMode": "Filesystem",
        "csi": {"driver": "d.example.com", "volumeHandle": "h"},
    },
}


def test_a_changed_source_is_shown_as_a_difference() -> None:
    new = copy.deepcopy(VOLUME)
    new["spec"]["csi"]["volumeHandle"] = "z"
    (error,) = PersistentVolumeStrategy().validate_update(new, VOLUME)
    assert error.field == "spec.persistentvolumesource"
    assert error.message == (
        "Forbidden: spec.persistentvolumesource is immutable after creation\n"
        '@@ -22,7 +22,7 @@\n  "StorageOS": null,\n  "CSI": {\n   "Driver": "d.example.com",\n'
        '-  "VolumeHandle": "h",\n+  "VolumeHandle": "z",\n   "ReadOnly": false,\n'
        '   "FSType": "",\n   "VolumeAttributes": null,\n'
    )


def test_an_invalid_volume_is_refused_twice_on_update() -> None:
    new = copy.deepcopy(VOLUME)
    new["spec"]["nfs"] = {"server": "s", "path": "/p"}
    fields = [error.field for error in PersistentVolumeStrategy().validate_update(new, VOLUME)]
    assert fields == ["spec.csi", "spec.csi", "spec.persistentvolumesource"]


def test_warnings_about_volumes_that_nobody_mounts() -> None:
    old = copy.deepcopy(VOLUME)
    old["spec"]["rbd"] = {}
    old["spec"]["persistentVolumeReclaimPolicy"] = "Recycle"
    texts = PersistentVolumeStrategy().warnings(old, None)
    assert len(texts) == 2 and texts[0].startswith(
        "spec.persistentVolumeReclaimPolicy: The Recycle"
    )
    assert texts[1] == "spec.rbd: deprecated in v1.28, non-functional in v1.31+"
    assert PersistentVolumeStrategy().warnings(VOLUME, None) == []


def test_resize_states_of_a_claim_are_checked() -> None:
    strategy = PersistentVolumeClaimStrategy()
    good = {"status": {"allocatedResourceStatuses": {"storage": "NodeResizePending"}}}
    assert strategy.validate_status(good, {}) == []
    bad = {"status": {"allocatedResourceStatuses": {"storage": "Foo"}}}
    (error,) = strategy.validate_status(bad, good)
    assert error.message.startswith('Unsupported value: "storage": supported values: "Controller')


def test_app_armor_annotations_are_warned_of_before_the_pod_is_judged() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/"
    pod = {
        "metadata": {"name": "p", "annotations": {f"{key}c": "bogus", f"{key}other": "bogus"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    ctx = RequestContext(UserInfo("admin"), namespace="ns")
    PodStrategy().prepare_for_create(ctx, pod)
    assert [text.split("]")[0] for text in ctx.warnings] == [f"metadata.annotations[{key}c"]


def test_a_new_struct_brings_its_nulls_and_an_old_one_does_not() -> None:
    schema = kind_schema("", "v1", "PersistentVolume")
    assert schema is not None
    bare: dict[str, Any] = {"apiVersion": "v1", "kind": "PersistentVolume", "spec": {}}
    with_null = {**bare, "spec": {"azureFile": {"shareName": "s", "secretNamespace": None}}}
    without = {**bare, "spec": {"azureFile": {"shareName": "s"}}}
    added = compare(bare, with_null, schema.root).added
    assert added.has(("f:spec", "f:azureFile", "f:secretNamespace"))
    assert compare(without, with_null, schema.root).same


def test_a_key_left_out_is_the_empty_string() -> None:
    schema = kind_schema("", "v1", "Pod")
    assert schema is not None
    bare: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []}}
    new = {**bare, "spec": {"containers": [], "imagePullSecrets": [{}]}}
    added = compare(bare, new, schema.root).added
    assert added.has(("f:spec", "f:imagePullSecrets", 'k:{"name":""}'))
