"""PersistentVolume.

Source: `ValidatePersistentVolumeSpec` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go` and `pkg/registry/core/persistentvolume/strategy.go`.
"""

from datetime import datetime
from typing import Any

from kapi import env
from kapi.api.errors import FieldError, forbidden, invalid, not_supported, required
from kapi.api.names import dns_subdomain_errors
from kapi.api.object import Object, annotations_of, is_deleting, name_of
from kapi.registry.cells import UNSET
from kapi.registry.core.persistent_volume_claim import (
    CLASS_ANNOTATION,
    VOLUME_MODES,
    access_modes_text,
    storage_class_of,
)
from kapi.registry.core.pod_defaults import default_volume
from kapi.registry.core.pod_internal import internal_form, unified
from kapi.registry.core.pod_warnings import dead_source_warnings
from kapi.registry.core.quantities import amount, canonical_list
from kapi.registry.core.scheduling_validation import node_selector
from kapi.registry.core.volume_validation import ACCESS_MODES, SOURCE_CHECKS
from kapi.registry.fields import complaints, one_of
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

_DEAD_SOURCES = ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd")
_RECLAIM = ("Delete", "Recycle", "Retain")
_OWN_FIELDS = frozenset(
    (
        "capacity",
        "accessModes",
        "claimRef",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "mountOptions",
        "volumeMode",
        "nodeAffinity",
        "volumeAttributesClassName",
    )
)


class PersistentVolumeStrategy(Strategy):
    returns_deleted_object = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Capacity", about="=api.core.v1.PersistentVolumeSpec.capacity"),
        Column("Access Modes", about="=api.core.v1.PersistentVolumeSpec.accessModes"),
        Column(
            "Reclaim Policy",
            about="=api.core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy",
        ),
        Column("Status", about="=api.core.v1.PersistentVolumeStatus.phase"),
        Column("Claim", about="=api.core.v1.PersistentVolumeSpec.claimRef"),
        Column("StorageClass", about="StorageClass of the pv"),
        Column("VolumeAttributesClass", about="VolumeAttributesClass of the pv"),
        Column("Reason", about="=api.core.v1.PersistentVolumeStatus.reason"),
        AGE_COLUMN,
        Column("VolumeMode", priority=1, about="=api.core.v1.PersistentVolumeSpec.volumeMode"),
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("capacity"):
            canonical_list(spec["capacity"])
        if not spec.get("persistentVolumeReclaimPolicy"):
            spec["persistentVolumeReclaimPolicy"] = "Retain"
        if spec.get("volumeMode") is None:
            spec["volumeMode"] = "Filesystem"
        source = {key: value for key, value in spec.items() if key not in _OWN_FIELDS}
        if source:
            default_volume(source)
            spec.update(source)
        if spec.get("azureFile") is not None:
            spec["azureFile"].setdefault("secretNamespace", None)
        status = obj.setdefault("status", {})
        if not status.get("phase"):
            status["phase"] = "Pending"

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": env.timestamp()}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = _access_modes(spec.get("accessModes") or [])
        errors += _capacity(spec.get("capacity"))
        errors += _source(spec)
        policy = spec.get("persistentVolumeReclaimPolicy")
        path = "spec.persistentVolumeReclaimPolicy"
        errors += one_of(policy, _RECLAIM, path)
        affinity = (spec.get("nodeAffinity") or {}).get("required")
        if affinity is not None:
            errors += node_selector(affinity, "spec.nodeAffinity.required")
        elif spec.get("local") is not None:
            errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
        if policy == "Recycle" and (spec.get("hostPath") or {}).get("path") == "/":
            errors.append(forbidden(path, "may not be 'recycle' for a hostPath mount of '/'"))
        name = spec.get("storageClassName")
        if name:
            errors += complaints("spec.storageClassName", name, dns_subdomain_errors(name))
        errors += one_of(spec.get("volumeMode"), VOLUME_MODES, "spec.volumeMode")
        return errors + _attributes_class(spec)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        errors = 2 * self.validate(obj)  # as a volume and as a change of one, as upstream
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        new_source = {key: value for key, value in spec.items() if key not in _OWN_FIELDS}
        old_source = {key: value for key, value in before.items() if key not in _OWN_FIELDS}
        if new_source != old_source:
            form = "PersistentVolumeSource"
            change = unified(internal_form(new_source, form), internal_form(old_source, form))
            text = f"spec.persistentvolumesource is immutable after creation\n{change}"
            errors.append(forbidden("spec.persistentvolumesource", text))
        if spec.get("volumeMode") != before.get("volumeMode"):
            errors.append(invalid("volumeMode", spec.get("volumeMode"), "field is immutable"))
        class_field = "volumeAttributesClassName"
        if before.get(class_field) is not None and spec.get(class_field) is None:
            text = "update from non-nil value to nil is forbidden"
            errors.append(forbidden(f"spec.{class_field}", text))
        if before.get("nodeAffinity") is not None and spec.get("nodeAffinity") != before.get(
            "nodeAffinity"
        ):
            text = "field is immutable, except for updating from beta label to GA"
            affinity = spec.get("nodeAffinity")
            shown = None if affinity is None else internal_form(affinity, "VolumeNodeAffinity")
            errors.append(invalid("nodeAffinity", shown, text))
        return errors

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        spec = obj.get("spec") or {}
        texts = []
        if CLASS_ANNOTATION in annotations_of(obj):
            texts.append(
                f"metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; "
                'use "storageClassName" attribute instead'
            )
        if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
            texts.append(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
                "Instead, the recommended approach is to use dynamic provisioning."
            )
        return texts + dead_source_warnings(spec, "spec", _DEAD_SOURCES)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        claim = spec.get("claimRef")
        shown = f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""
        return [
            name_of(obj),
            (spec.get("capacity") or {}).get("storage") or "",
            access_modes_text(spec.get("accessModes") or []),
            spec.get("persistentVolumeReclaimPolicy") or "",
            "Terminating" if is_deleting(obj) else status.get("phase") or "",
            shown,
            storage_class_of(obj),
            spec.get("volumeAttributesClassName") or UNSET,
            status.get("reason") or "",
            age(obj, now),
            spec.get("volumeMode") or UNSET,
        ]


def _access_modes(modes: list[str]) -> list[FieldError]:
    path = "spec.accessModes"
    errors = [] if modes else [required(path)]
    for mode in modes:
        errors += one_of(mode, ACCESS_MODES, path)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        text = "may not use ReadWriteOncePod with other access modes"
        errors.append(forbidden(path, text))
    return errors


def _capacity(capacity: Object | None) -> list[FieldError]:
    path = "spec.capacity"
    errors = [] if capacity else [required(path)]
    if set(capacity or ()) != {"storage"}:
        shown = dict(sorted(capacity.items())) if capacity else None
        errors.append(not_supported(path, shown, ("storage",)))
    for name, quantity in sorted((capacity or {}).items()):
        number = amount(quantity)
        own = f"{path}[{name}]"
        if number < 0:
            errors.append(invalid(own, int(number), "must be a valid resource quantity"))
        if name == "storage" and number <= 0:
            errors.append(invalid(own, quantity, "must be greater than zero"))
    return errors


def _source(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    found = 0
    for name, check in _CHECKS.items():
        source = spec.get(name)
        if source is None:
            continue
        shown = "persistentDisk" if name == "gcePersistentDisk" else name
        if found:
            errors.append(forbidden(f"spec.{shown}", "may not specify more than 1 volume type"))
        else:
            errors += check(source, f"spec.{shown}")
        found += 1
    return errors if found else [required("spec", "must specify a volume type")]


def _local(source: Object, path: str) -> list[FieldError]:
    return [] if source.get("path") else [required(f"{path}.path")]


def _csi(source: Object, path: str) -> list[FieldError]:
    errors = SOURCE_CHECKS["csi"][1]({"driver": source.get("driver")}, path)
    if not source.get("volumeHandle"):
        errors.append(required(f"{path}.volumeHandle"))
    return errors


_SHARED = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "storageos",
)
_CHECKS = {
    **{name: SOURCE_CHECKS[name][1] for name in _SHARED},
    "local": _local,
    "csi": _csi,
}


def _attributes_class(spec: Object) -> list[FieldError]:
    name = spec.get("volumeAttributesClassName")
    if name is None:
        return []
    path = "spec.volumeAttributesClassName"
    errors: list[FieldError] = []
    if not name:
        errors.append(required(path, "an empty string is disallowed"))
    else:
        errors += complaints(path, name, dns_subdomain_errors(name))
    if spec.get("csi") is None:
        text = "has to be specified when using volumeAttributesClassName"
        errors.append(required("spec.csi", text))
    return errors
