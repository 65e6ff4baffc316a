"""PersistentVolumeClaim.

Source: `ValidatePersistentVolumeClaimUpdate` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go` and `pkg/registry/core/persistentvolumeclaim/strategy.go`.
"""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, not_supported
from kapi.api.names import dns_subdomain_errors
from kapi.api.object import Object, annotations_of, clone, is_deleting, name_of
from kapi.api.selectors import validate_label_selector
from kapi.registry.cells import UNSET
from kapi.registry.core.pod_internal import internal_form, unified
from kapi.registry.core.quantities import amount, canonical_list, canonical_resources
from kapi.registry.core.volume_validation import claim_spec
from kapi.registry.fields import complaints, immutable, one_of
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

VOLUME_MODES = ("Block", "Filesystem")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_MODE_NAMES = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)
_RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
_SNAPSHOTS = ("snapshot.storage.k8s.io", "VolumeSnapshot")
_CLAIMS = ("", "PersistentVolumeClaim")


class PersistentVolumeClaimStrategy(Strategy):
    returns_deleted_object = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Status", about="=api.core.v1.PersistentVolumeClaimStatus.phase"),
        Column("Volume", about="=api.core.v1.PersistentVolumeClaimSpec.volumeName"),
        Column("Capacity", about="=api.core.v1.PersistentVolumeClaimStatus.capacity"),
        Column("Access Modes", about="=api.core.v1.PersistentVolumeClaimStatus.accessModes"),
        Column("StorageClass", about="StorageClass of the pvc"),
        Column("VolumeAttributesClass", about="VolumeAttributesClass of the pvc"),
        AGE_COLUMN,
        Column("VolumeMode", priority=1, about="=api.core.v1.PersistentVolumeClaimSpec.volumeMode"),
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("resources", {})
        canonical_resources(spec["resources"])
        if spec.get("volumeMode") is None:
            spec["volumeMode"] = "Filesystem"
        if spec.get("dataSourceRef") is not None:
            spec["dataSourceRef"].setdefault("apiGroup", None)
        status = obj.setdefault("status", {})
        if not status.get("phase"):
            status["phase"] = "Pending"
        if status.get("capacity"):
            canonical_list(status["capacity"])

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"phase": "Pending"}
        _normalize_source(obj["spec"])

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})
        _normalize_source(obj["spec"])

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = validate_label_selector(spec.get("selector"), "spec.selector")
        errors += claim_spec(spec, "spec")
        for field in ("storageClassName", "volumeAttributesClassName"):
            name = spec.get(field)
            if name:
                errors += complaints(f"spec.{field}", name, dns_subdomain_errors(name))
        errors += one_of(spec.get("volumeMode"), VOLUME_MODES, "spec.volumeMode")
        return errors + _sources(spec)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        errors = self.validate(obj)
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        bound = (old.get("status") or {}).get("phase") == "Bound"
        munged = _with_allowed_changes_undone(spec, before, bound=bound)
        new_form, old_form = (internal_form(item, "ClaimSpec") for item in (munged, before))
        if new_form != old_form:
            text = (
                "spec is immutable after creation except resources.requests and "
                "volumeAttributesClassName for bound claims\n"
            )
            errors.append(forbidden("spec", text + unified(new_form, old_form)))
        if bound:
            errors += _only_grows(spec, before)
        return errors + immutable(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        status = obj.get("status") or {}
        return [
            not_supported("status.allocatedResourceStatuses", name, _RESIZE_STATES)
            for name, state in sorted((status.get("allocatedResourceStatuses") or {}).items())
            if state not in _RESIZE_STATES
        ]

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        if CLASS_ANNOTATION in annotations_of(obj):
            return [
                f"metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; "
                'use "storageClassName" attribute instead'
            ]
        return []

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        bound = bool(spec.get("volumeName"))
        capacity = (status.get("capacity") or {}).get("storage") or ""
        return [
            name_of(obj),
            "Terminating" if is_deleting(obj) else status.get("phase") or "",
            spec.get("volumeName") or "",
            (capacity or "0") if bound else "",
            access_modes_text(status.get("accessModes") or []) if bound else "",
            storage_class_of(obj),
            spec.get("volumeAttributesClassName") or UNSET,
            age(obj, now),
            spec.get("volumeMode") or UNSET,
        ]


def access_modes_text(modes: list[str]) -> str:
    """`RWO,ROX`, in upstream's order whatever the object's."""
    return ",".join(short for name, short in _MODE_NAMES if name in modes)


def storage_class_of(obj: Object) -> str:
    """The class, from the annotation that preceded the field if it is there."""
    annotated = annotations_of(obj).get(CLASS_ANNOTATION)
    if annotated is not None:
        return annotated
    return str((obj.get("spec") or {}).get("storageClassName") or "")


def _normalize_source(spec: Object) -> None:
    """dataSource and dataSourceRef hold the same; what dataSource cannot be is dropped."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and (source.get("apiGroup") or "", source.get("kind")) not in (
        _SNAPSHOTS,
        _CLAIMS,
    ):
        spec.pop("dataSource")
        source = None
    if reference is not None and reference.get("namespace"):
        # Sources in other namespaces are a feature that is off by default.
        spec.pop("dataSourceRef")
        reference = None
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif source is None and reference is not None:
        spec["dataSource"] = {k: v for k, v in reference.items() if k != "namespace"}
    for field in ("dataSource", "dataSourceRef"):
        if spec.get(field) is not None:
            spec[field].setdefault("apiGroup", None)


def _sources(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for field, value in (("dataSource", source), ("dataSourceRef", reference)):
        if value is None:
            continue
        if not value.get("apiGroup") and value.get("kind") != "PersistentVolumeClaim":
            text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            errors.append(invalid(f"spec.{field}", value.get("kind"), text))
    if source is not None and reference is not None:
        fields = ("apiGroup", "kind", "name")
        if any((source.get(f) or "") != (reference.get(f) or "") for f in fields):
            errors.append(invalid("spec", {}, "must match dataSourceRef"))
    return errors


def _with_allowed_changes_undone(spec: Object, before: Object, *, bound: bool) -> Object:
    munged = clone(spec)
    if not before.get("volumeName"):
        munged.pop("volumeName", None)
    if bound:
        for field in ("volumeAttributesClassName",):
            munged.pop(field, None)
            if field in before:
                munged[field] = before[field]
        munged["resources"] = {
            **(munged.get("resources") or {}),
            "requests": (before.get("resources") or {}).get("requests"),
        }
    return munged


def _only_grows(spec: Object, before: Object) -> list[FieldError]:
    new = ((spec.get("resources") or {}).get("requests") or {}).get("storage", 0)
    old = ((before.get("resources") or {}).get("requests") or {}).get("storage", 0)
    if amount(new) >= amount(old):
        return []
    path = "spec.resources.requests.storage"
    return [forbidden(path, "field can not be less than status.capacity")]
