"""Lease."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid
from kapi.api.object import Object, name_of
from kapi.registry.fields import not_negative
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)


class LeaseStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/coordination/lease/strategy.go`."""

    allow_create_on_update = True
    allow_unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column("Holder", about="=api.coordination.v1.LeaseSpec.holderIdentity"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        """Coordinated leader election is off, so its fields are not kept."""
        for field in ("strategy", "preferredHolder"):
            obj["spec"].pop(field, None)

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        self.prepare_for_create(ctx, obj)

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors: list[FieldError] = []
        seconds = spec.get("leaseDurationSeconds")
        if seconds is not None and seconds <= 0:
            path = "spec.leaseDurationSeconds"
            errors.append(invalid(path, seconds, "must be greater than 0"))
        return errors + not_negative(spec.get("leaseTransitions"), "spec.leaseTransitions")

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), (obj.get("spec") or {}).get("holderIdentity") or "", age(obj, now)]
