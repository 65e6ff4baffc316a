"""StorageClass and VolumeAttributesClass.

Source: k8s.io/kubernetes `pkg/apis/storage/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, duplicate, forbidden, invalid, required, too_long
from kapi.api.names import qualified_name_errors
from kapi.api.object import Object, name_of
from kapi.registry.fields import complaints, immutable, one_of
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

_RECLAIM = ("Delete", "Retain")
_BINDING = ("Immediate", "WaitForFirstConsumer")
_MOST_PARAMETERS = 512
_MOST_PARAMETER_BYTES = 256 * 1024


class StorageClassStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/storage/storageclass/strategy.go`."""

    returns_deleted_object = True
    columns = (
        NAME_COLUMN,
        Column("Provisioner", about="=api.storage.v1.StorageClass.provisioner"),
        Column("ReclaimPolicy", about="=api.storage.v1.StorageClass.reclaimPolicy"),
        Column("VolumeBindingMode", about="=api.storage.v1.StorageClass.volumeBindingMode"),
        Column("AllowVolumeExpansion", about="=api.storage.v1.StorageClass.allowVolumeExpansion"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        if obj.get("reclaimPolicy") is None:
            obj["reclaimPolicy"] = "Delete"
        if obj.get("volumeBindingMode") is None:
            obj["volumeBindingMode"] = "Immediate"

    def validate(self, obj: Object) -> list[FieldError]:
        return [
            *_driver(obj.get("provisioner"), "provisioner"),
            *_parameters(obj.get("parameters") or {}, needed=False),
            *one_of(obj.get("reclaimPolicy"), _RECLAIM, "reclaimPolicy"),
            *one_of(obj.get("volumeBindingMode"), _BINDING, "volumeBindingMode"),
            *_topologies(obj.get("allowedTopologies") or []),
        ]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        errors = self.validate(obj)
        for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
            errors += immutable(obj.get(field), old.get(field), field)
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        default = "storageclass.kubernetes.io/is-default-class"
        annotations = (obj.get("metadata") or {}).get("annotations") or {}
        name = name_of(obj)
        if annotations.get(default) == "true":
            name += " (default)"
        return [
            name,
            obj.get("provisioner") or "",
            obj.get("reclaimPolicy") or "Delete",
            obj.get("volumeBindingMode") or "<unset>",
            bool(obj.get("allowVolumeExpansion")),
            age(obj, now),
        ]


class VolumeAttributesClassStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/storage/volumeattributesclass/strategy.go`."""

    returns_deleted_object = True
    columns = (
        NAME_COLUMN,
        Column("DriverName", about="=api.storage.v1.VolumeAttributesClass.driverName"),
        AGE_COLUMN,
    )

    def validate(self, obj: Object) -> list[FieldError]:
        return [
            *_driver(obj.get("driverName"), "driverName"),
            *_parameters(obj.get("parameters") or {}, needed=True),
        ]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return [
            forbidden(field, f"updates to {field} are forbidden.")
            for field in ("driverName", "parameters")
            if obj.get(field) != old.get(field)
        ]

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), obj.get("driverName") or "", age(obj, now)]


def _driver(name: str | None, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    lower = name.lower()
    return complaints(path, lower, qualified_name_errors(lower))


def _parameters(parameters: dict[str, str], *, needed: bool) -> list[FieldError]:
    path = "parameters"
    if needed and not parameters:
        return [required(path, "must contain at least one key/value pair")]
    errors: list[FieldError] = []
    if len(parameters) > _MOST_PARAMETERS:
        errors.append(too_long(path, _MOST_PARAMETERS))
        return errors
    size = 0
    for key, value in parameters.items():
        if not key:
            errors.append(invalid(path, key, "field can not be empty."))
        size += len(key.encode()) + len(value.encode())
    if size > _MOST_PARAMETER_BYTES:
        errors.append(too_long(path, _MOST_PARAMETER_BYTES))
    return errors


def _topologies(terms: list[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: list[dict[str, list[str]]] = []
    for index, term in enumerate(terms):
        path = f"allowedTopologies[{index}].matchLabelExpressions"
        expressions: dict[str, list[str]] = {}
        for number, item in enumerate(term.get("matchLabelExpressions") or ()):
            own, key = f"{path}[{number}]", str(item.get("key") or "")
            values = item.get("values") or []
            if not values:
                errors.append(required(f"{own}.values"))
            for place, value in enumerate(values):
                if value in values[:place]:
                    errors.append(duplicate(f"{own}.values[{place}]", value))
            errors += complaints(f"{own}.key", key, qualified_name_errors(key))
            if key in expressions:
                errors.append(duplicate(f"{own}.key", key))
            expressions[key] = sorted(values)
        if expressions in seen:
            errors.append(duplicate(path, ""))
        seen.append(expressions)
    return errors
