"""Objects in the form upstream's internal types have, which some messages quote as JSON.

A table maps a type's name to its fields in declaration order; a word is a field, `:` separates its
kind. Kinds: nothing (a string), `i` (a number), `b` (a bool), `?` (null where unset), `raw` (as on
the wire), a type's name, `*Type` (a type or null), `[]Type` (a list or null).
"""

from collections.abc import Mapping
from typing import Any

from kapi.api.object import Object

Types = Mapping[str, str]


def internal_form(obj: Object, type_name: str, types: Types) -> dict[str, Any]:
    """Every field of the type, null or zero where `obj` lacks it."""
    found: dict[str, Any] = {}
    for word in types[type_name].split():
        name, _, kind = word.partition(":")
        found[name] = _render(obj.get(_wire_name(name)), kind, types)
    return found


def _wire_name(name: str) -> str:
    """`CEL` -> `cel`, `NonResourceURLs` -> `nonResourceURLs`, `APIGroups` -> `apiGroups`."""
    run = len(name) - len(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    head = run if run == len(name) else max(1, run - 1)
    return name[:head].lower() + name[head:]


def _render(value: Any, kind: str, types: Types) -> Any:
    if kind.startswith("[]"):
        return [internal_form(item, kind[2:], types) for item in value] if value else None
    if kind.startswith("*"):
        return None if value is None else internal_form(value, kind[1:], types)
    if kind == "":
        return value or ""
    if kind == "i":
        return value or 0
    if kind == "b":
        return bool(value)
    if kind == "raw":
        return value
    if kind == "?":
        return None if value in ([], {}) else value
    return internal_form(value or {}, kind, types)
