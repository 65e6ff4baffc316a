"""RuntimeClass."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, duplicate, required
from kapi.api.object import Object, name_of
from kapi.registry.core.quantities import canonical_list
from kapi.registry.core.resource_validation import container_resource_name, resource_value
from kapi.registry.core.scheduling_validation import tolerations
from kapi.registry.fields import dns_label, immutable, labels
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age


class RuntimeClassStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/node/runtimeclass/strategy.go`."""

    allow_unconditional_update = False
    columns = (NAME_COLUMN, Column("Handler"), AGE_COLUMN)

    def default(self, obj: Object) -> None:
        fixed = (obj.get("overhead") or {}).get("podFixed")
        if fixed:
            canonical_list(fixed)

    def validate(self, obj: Object) -> list[FieldError]:
        handler = obj.get("handler") or ""
        errors = dns_label(handler, "handler") if handler else [required("handler")]
        for name, quantity in sorted(((obj.get("overhead") or {}).get("podFixed") or {}).items()):
            path = f"overhead.limits[{name}]"
            errors += container_resource_name(name, path)
            errors += resource_value(name, quantity, path)
        scheduling = obj.get("scheduling") or {}
        errors += labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
        return errors + _tolerations(scheduling.get("tolerations") or [])

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        changed = immutable(obj.get("handler"), old.get("handler"), "handler")
        return changed + self.validate(obj)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), obj.get("handler") or "", age(obj, now)]


def _tolerations(items: list[Object]) -> list[FieldError]:
    path = "scheduling.tolerations"
    errors = tolerations(items, path)
    for index, item in enumerate(items):
        if item in items[:index]:
            shown = {
                "Key": item.get("key") or "",
                "Operator": item.get("operator") or "",
                "Value": item.get("value") or "",
                "Effect": item.get("effect") or "",
                "TolerationSeconds": item.get("tolerationSeconds"),
            }
            errors.append(duplicate(f"{path}[{index}]", shown))
    return errors
