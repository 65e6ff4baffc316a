"""ConfigMap."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, too_long
from kapi.api.names import config_map_key_errors
from kapi.api.object import Object, name_of
from kapi.registry.fields import complaints
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

MAXIMUM_BYTES = 1024 * 1024
"""What the values of one ConfigMap or Secret may take together."""


def decoded_size(encoded: str) -> int:
    """Bytes that a base64 text stands for."""
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")


def immutable_contents(obj: Object, old: Object, fields: tuple[str, ...]) -> list[FieldError]:
    """What may not change once `immutable` is set, itself included."""
    if not old.get("immutable"):
        return []
    text = "field is immutable when `immutable` is set"
    changed = [] if obj.get("immutable") else ["immutable"]
    changed += [name for name in fields if (obj.get(name) or {}) != (old.get(name) or {})]
    return [forbidden(name, text) for name in changed]


class ConfigMapStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/configmap/strategy.go`."""

    columns = (NAME_COLUMN, Column("Data", about="=api.core.v1.ConfigMap.data"), AGE_COLUMN)

    def validate(self, obj: Object) -> list[FieldError]:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        errors: list[FieldError] = []
        size = 0
        for key, value in sorted(data.items()):
            errors += complaints(f"data[{key}]", key, config_map_key_errors(key))
            if key in binary:
                text = "duplicate of key present in binaryData"
                errors.append(invalid(f"data[{key}]", key, text))
            size += len(value.encode())
        for key, encoded in sorted(binary.items()):
            errors += complaints(f"binaryData[{key}]", key, config_map_key_errors(key))
            size += decoded_size(encoded)
        if size > MAXIMUM_BYTES:
            errors.append(too_long("[]", MAXIMUM_BYTES))
        return errors

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        fields = ("data", "binaryData")
        return [*immutable_contents(obj, old, fields), *self.validate(obj)]

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        entries = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
        return [name_of(obj), entries, age(obj, now)]
