"""Lease."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, name_of
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age


class LeaseStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/coordination/lease/strategy.go`."""

    allow_create_on_update = True
    allow_unconditional_update = False
    columns = (NAME_COLUMN, Column("Holder"), AGE_COLUMN)

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), (obj.get("spec") or {}).get("holderIdentity") or "", age(obj, now)]
