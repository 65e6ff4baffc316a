"""ConfigMap."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, name_of
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age


class ConfigMapStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/configmap/strategy.go`."""

    columns = (NAME_COLUMN, Column("Data"), AGE_COLUMN)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        entries = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
        return [name_of(obj), entries, age(obj, now)]
