"""Secret."""

import base64
from datetime import datetime
from typing import Any

from kapi.api.object import Object, name_of
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

OPAQUE = "Opaque"


class SecretStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/secret/strategy.go`."""

    columns = (NAME_COLUMN, Column("Type"), Column("Data"), AGE_COLUMN)

    def default(self, obj: Object) -> None:
        if not obj.get("type"):
            obj["type"] = OPAQUE
        text = obj.pop("stringData", None)
        if text:
            data = obj["data"] = dict(obj.get("data") or {})
            for key, value in text.items():
                data[key] = base64.b64encode(str(value).encode()).decode()

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        return {"type": obj.get("type") or ""}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), obj.get("type") or "", len(obj.get("data") or ()), age(obj, now)]
