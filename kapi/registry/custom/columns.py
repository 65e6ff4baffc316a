"""The table of a custom kind: its name, then what `additionalPrinterColumns` says.

Source: k8s.io/apiextensions-apiserver `pkg/registry/customresource/tableconvertor`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from kapi.api.object import Object, name_of
from kapi.registry.custom.json_path import JsonPath
from kapi.registry.strategy import NAME_COLUMN, Column, human_duration

_META = "=apimachinery.pkg.apis.meta.v1.ObjectMeta"
_AGE: Object = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


class Columns:
    """Headers and cells of one version."""

    def __init__(self, columns: Sequence[Object]) -> None:
        given = columns or (_AGE,)
        self.definitions = (NAME_COLUMN, *(_definition(column) for column in given))
        self._cells = [(JsonPath(column["jsonPath"]), str(column["type"])) for column in given]

    def row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), *(_cell(path, kind, obj, now) for path, kind in self._cells)]


def _definition(column: Object) -> Column:
    path = str(column["jsonPath"])
    about = column.get("description") or (
        f"Custom resource definition column (in JSONPath format): {path}"
    )
    if column is _AGE:
        about = f"{_META}.creationTimestamp"
    return Column(
        str(column["name"]),
        str(column["type"]),
        str(column.get("format") or ""),
        int(column.get("priority") or 0),
        about,
    )


def _cell(path: JsonPath, kind: str, obj: Object, now: datetime) -> Any:
    found = path.find(obj)
    if not found:
        return None
    value = found[0]
    if kind == "string":
        return printed(value)
    if kind == "date":
        return _age(value, now)
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if kind == "integer" else float(value)


def printed(value: Any) -> str:
    """A value as kubectl's JSONPath prints it: text bare, structures as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return orjson.dumps(value).decode()


def _age(value: Any, now: datetime) -> Any:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return human_duration((now - moment).total_seconds())
    except (ValueError, TypeError):
        return "<invalid>"
