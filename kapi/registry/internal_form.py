"""Objects in the form upstream's internal types have, which some messages quote as JSON.

A table maps a type's name to its fields in declaration order; a word is a field, `:` separates its
kind. Kinds: nothing (a string), `i` (a number), `b` (a bool), `?` (null where unset), `q` (a
quantity), `qs` (quantities by name), `json` (printed as on the wire), `any` (an object of which
only the first level is spelled as in Go), a type's name, `*Type` (a type or null), `[]Type` (a
list or null).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from kapi.api.object import Object
from kapi.api.quantity import canonical_quantity

Types = Mapping[str, str]

_WIRE_NAMES = {"CephFS": "cephfs", "StorageOS": "storageos"}


def internal_form(obj: Object, type_name: str, types: Types) -> dict[str, Any]:
    """Every field of the type, null or zero where `obj` lacks it."""
    return {
        name: _render(obj.get(wire), kind, types) for name, wire, kind in _fields(types[type_name])
    }


@lru_cache(maxsize=256)
def _fields(description: str) -> tuple[tuple[str, str, str], ...]:
    """(name in Go, name on the wire, kind) of a type's fields."""
    found = []
    for word in description.split():
        name, _, kind = word.partition(":")
        found.append((name, _WIRE_NAMES.get(name) or _wire_name(name), kind))
    return tuple(found)


def _wire_name(name: str) -> str:
    """`HTTPGet` -> `httpGet`, `TTY` -> `tty`, `Name` -> `name`."""
    run = len(name) - len(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    head = run if run == len(name) else max(1, run - 1)
    return name[:head].lower() + name[head:]


def _render(value: Any, kind: str, types: Types) -> Any:
    if kind.startswith("[]"):
        return [internal_form(item, kind[2:], types) for item in value] if value else None
    if kind.startswith("*"):
        return None if value is None else internal_form(value, kind[1:], types)
    rule = _RULES.get(kind)
    return rule(value) if rule is not None else internal_form(value or {}, kind, types)


def _quantities(value: Any) -> Any:
    if not value:
        return None
    return {key: canonical_quantity(str(item)) for key, item in sorted(value.items())}


def _first_level(value: Any) -> Any:
    if value is None:
        return None
    return {key[:1].upper() + key[1:]: item for key, item in value.items()}


_RULES: dict[str, Callable[[Any], Any]] = {
    "": lambda value: value or "",
    "i": lambda value: value or 0,
    "b": bool,
    "?": lambda value: None if value in ([], {}) else value,
    "q": lambda value: canonical_quantity(str(value or 0)),
    "qs": _quantities,
    "json": lambda value: value,
    "any": _first_level,
}
