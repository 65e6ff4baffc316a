"""ControllerRevision: a snapshot of a workload's template, which never changes."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, required
from kapi.api.object import Object, controller_of, name_of
from kapi.registry.cells import NONE
from kapi.registry.fields import immutable, not_negative
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age


class ControllerRevisionStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/apps/controllerrevision/strategy.go`."""

    columns = (
        NAME_COLUMN,
        Column("Controller", about="Controller of the object"),
        Column("Revision", about="=api.apps.v1.ControllerRevision.revision"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("revision", 0)

    def validate(self, obj: Object) -> list[FieldError]:
        data = obj.get("data")
        errors: list[FieldError] = []
        if data is None:
            errors.append(required("data", "data is mandatory"))
        elif not isinstance(data, dict):
            errors.append(required("data", "data must be a valid JSON object"))
        return errors + not_negative(obj.get("revision"), "revision")

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        errors = not_negative(obj.get("revision"), "revision")
        return errors + immutable(obj.get("data"), old.get("data"), "data")

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        owner = controller_of(obj)
        shown = NONE
        if owner is not None:
            group = str(owner.get("apiVersion", "")).partition("/")[0]
            group = group if "/" in str(owner.get("apiVersion", "")) else ""
            kind = str(owner.get("kind", "")).lower()
            shown = f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner['name']}"
        return [name_of(obj), shown, obj.get("revision") or 0, age(obj, now)]
