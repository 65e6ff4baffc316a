"""What a structural schema promises beyond the schema itself: list keys, sets, embedded objects.

Sources: k8s.io/apiextensions-apiserver `pkg/apiserver/schema/{listtype,objectmeta}`.
"""

from typing import Any

import orjson

from kapi.api.errors import FieldError, duplicate
from kapi.api.object import Object
from kapi.registry.fields import annotations, labels


def validate_lists(schema: Object, value: Any, path: str = "") -> list[FieldError]:
    """Repeated items of sets and repeated keys of maps, at any depth."""
    found: list[FieldError] = []
    if isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(value):
            if isinstance(items, dict):
                found += validate_lists(items, item, f"{path}[{index}]")
        return found + _repeated(schema, value, path)
    if isinstance(value, dict):
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for key in sorted(value):
            below = properties.get(key) or (additional if isinstance(additional, dict) else None)
            if below is not None:
                found += validate_lists(below, value[key], f"{path}.{key}" if path else key)
    return found


def _repeated(schema: Object, value: list[Any], path: str) -> list[FieldError]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("set", "map"):
        return []
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    defaults = {
        key: shape["default"]
        for key, shape in ((schema.get("items") or {}).get("properties") or {}).items()
        if "default" in shape
    }
    found, seen, told = [], set(), set()
    for index, item in enumerate(value):
        shown = item
        if kind == "map":
            if not isinstance(item, dict):
                continue
            shown = {key: item.get(key, defaults.get(key)) for key in keys}
            shown = {key: part for key, part in shown.items() if part is not None}
        mark = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
        if mark in seen and mark not in told:
            found.append(duplicate(f"{path}[{index}]", shown))
            told.add(mark)
        seen.add(mark)
    return found


def validate_embedded(schema: Object, value: Any, path: str = "") -> list[FieldError]:
    """Labels and annotations of objects inside objects."""
    found: list[FieldError] = []
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for index, item in enumerate(value):
                found += validate_embedded(items, item, f"{path}[{index}]")
    elif isinstance(value, dict):
        if schema.get("x-kubernetes-embedded-resource") and path:
            meta = value.get("metadata")
            if isinstance(meta, dict):
                found += labels(meta.get("labels"), f"{path}.metadata.labels")
                found += annotations(meta.get("annotations"), f"{path}.metadata.annotations")
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            below = properties.get(key) or (additional if isinstance(additional, dict) else None)
            if below is not None:
                found += validate_embedded(below, item, f"{path}.{key}" if path else key)
    return found
