"""Rows for the document tests, and where the recorded facts of a real server may be."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kapi.api.object import GroupVersionKind

GOLDENS = Path(__file__).parents[2].parent / "shared" / "goldens" / "facts"
ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True)
class SubRow:
    name: str
    verbs: tuple[str, ...]
    kind: GroupVersionKind | None = None
    how: str = "store"


@dataclass(frozen=True)
class Row:
    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    verbs: tuple[str, ...] = ALL
    subresources: tuple[SubRow, ...] = ()
    singular: str = ""


SCALE = GroupVersionKind("autoscaling", "v1", "Scale")
POD = Row(
    "",
    "v1",
    "Pod",
    "pods",
    subresources=(
        SubRow("status", STATUS_VERBS),
        SubRow("exec", ("create", "get"), how="connect"),
        SubRow("log", ("get",), how="connect"),
        SubRow("eviction", ("create",), GroupVersionKind("policy", "v1", "Eviction"), "custom"),
    ),
)
NODE = Row("", "v1", "Node", "nodes", namespaced=False)
DEPLOYMENT = Row(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    subresources=(SubRow("scale", STATUS_VERBS, SCALE, "scale"), SubRow("status", STATUS_VERBS)),
)
WIDGET = Row(
    "example.com", "v1", "Widget", "widgets", subresources=(SubRow("status", STATUS_VERBS),)
)
ROWS = (POD, NODE, DEPLOYMENT, WIDGET)
WIDGET_GVK = GroupVersionKind("example.com", "v1", "Widget")
WIDGET_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A widget.",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9.5},
                "note": {"type": "string", "nullable": True},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}]},
            },
        }
    },
}


def fact(name: str) -> Any:
    path = GOLDENS / name
    if not path.exists():
        pytest.skip(f"the recorded facts are not beside this repository: {path.name}")
    return json.loads(path.read_text())


def recorded_rows() -> list[Row]:
    """The rows of a real API server's discovery."""
    rows = []
    for item in fact("api_resources.json"):
        subresources = tuple(
            SubRow(
                sub["name"],
                tuple(sub["verbs"]),
                GroupVersionKind(
                    sub["group"] or item["group"], sub["version"] or item["version"], sub["kind"]
                ),
            )
            for sub in item["subresources"]
        )
        rows.append(
            Row(
                item["group"],
                item["version"],
                item["kind"],
                item["plural"],
                item["namespaced"],
                tuple(item["verbs"]),
                subresources,
            )
        )
    return rows
