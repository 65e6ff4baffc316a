"""Values seen through their types: which fields they have, how they differ, how they merge.

Maps and keyed lists are walked field by field; scalars, atomic maps and other lists are leaves.
Source: sigs.k8s.io/structured-merge-diff `typed` (`validate.go`, `tofieldset.go`, `compare.go`,
`remove.go`; merging is in `typed_merge.py`).
"""

from dataclasses import dataclass, field
from typing import Any

from kapi.api.patch.field_set import (
    FieldSet,
    Path,
    element_text,
    key_element,
    path_text,
    value_element,
)
from kapi.api.schema.node import SchemaNode

ABSENT: Any = object()
"""No value at all, as opposed to null."""

# Fields that no type declares, where the type allows them: maps merge, all else is a leaf.
DEDUCED = SchemaNode("map", preserve_unknown=True)
DEDUCED.additional = DEDUCED


class TypedError(ValueError):
    """The value does not fit its type; the message starts with the path."""


def is_granular_map(node: SchemaNode) -> bool:
    if node.map_type == "atomic":
        return False
    return node.is_map or (node.kind == "any" and node.preserve_unknown)


def is_keyed_list(node: SchemaNode) -> bool:
    return node.kind == "array" and node.list_type in ("map", "set")


def child_node(node: SchemaNode, name: str) -> SchemaNode | None:
    """The type of a map's entry; None if the type declares no such field."""
    found = node.properties.get(name) or node.additional
    if found is None and node.preserve_unknown:
        return DEDUCED
    return found


def item_element(node: SchemaNode, item: Any) -> str:
    """The path element of a keyed list's item; keys left out take their default."""
    if node.list_type == "set":
        return value_element(item)
    if not isinstance(item, dict):
        return value_element(item)
    keys: dict[str, Any] = {}
    properties = node.items.properties if node.items else {}
    for name in node.map_keys:
        value = item.get(name)
        if value is None:
            value = _missing_key(properties.get(name))
        keys[name] = value
    return key_element(keys)


def _missing_key(declared: SchemaNode | None) -> Any:
    """What stands for a key that was left out: its default, else Go's empty string."""
    if declared is None:
        return None
    if declared.has_default:
        return declared.default
    return "" if declared.kind == "string" else None


def indexed(node: SchemaNode, items: list[Any]) -> dict[str, Any]:
    """Path element -> item; of duplicates the first."""
    found: dict[str, Any] = {}
    for item in items:
        found.setdefault(item_element(node, item), item)
    return found


# Validation -----------------------------------------------------------------------------------


def _shown(value: Any) -> str:
    return f"&value.valueUnstructured{{Value:{_go_syntax(value)}}}"


def _go_syntax(value: Any) -> str:
    """Go's %#v of decoded JSON, as far as scalars go."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        inner = ", ".join(f'"{key}":{_go_syntax(item)}' for key, item in sorted(value.items()))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_go_syntax, value))}}}"
    return "interface {}(nil)" if value is None else str(value)


def validate(value: Any, node: SchemaNode, path: Path = ()) -> None:
    """Raise TypedError where an applied value does not fit its type.

    Null fits every type.
    """
    if value is None:
        return
    if node.is_map or (node.kind == "any" and node.preserve_unknown and isinstance(value, dict)):
        _validate_map(value, node, path)
    elif node.kind == "array":
        _validate_list(value, node, path)
    else:
        _validate_scalar(value, node, path)


def _validate_map(value: Any, node: SchemaNode, path: Path) -> None:
    if not isinstance(value, dict):
        if node is DEDUCED:
            return
        raise TypedError(f"{path_text(path)}: expected map, got &{{{value}}}")
    for name, item in value.items():
        child = child_node(node, name)
        here = (*path, f"f:{name}")
        if child is None:
            raise TypedError(f"{path_text(here)}: field not declared in schema")
        validate(item, child, here)


def _validate_list(value: Any, node: SchemaNode, path: Path) -> None:
    if not isinstance(value, list):
        raise TypedError(f"{path_text(path)}: expected list, got &{{{value}}}")
    assert node.items is not None
    seen: set[str] = set()
    for index, item in enumerate(value):
        element = f"i:{index}"
        if is_keyed_list(node):
            if node.list_type == "map" and not isinstance(item, dict):
                raise TypedError(
                    f"{path_text(path)}: element {index}: associative list with keys may not"
                    " have non-map elements"
                )
            element = item_element(node, item)
            if element in seen:
                raise TypedError(
                    f"{path_text(path)}: duplicate entries for key {element_text(element)}"
                )
            seen.add(element)
        validate(item, node.items, (*path, element))


_SCALARS: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("string", (str,)),
    "bytes": ("string", (str,)),
    "time": ("string", (str,)),
    "micro_time": ("string", (str,)),
    "boolean": ("boolean", (bool,)),
    "integer": ("numeric (int or float)", (int, float)),
    "number": ("numeric (int or float)", (int, float)),
}


def _validate_scalar(value: Any, node: SchemaNode, path: Path) -> None:
    expected = _SCALARS.get(node.kind)
    if expected is None:
        return
    name, types = expected
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise TypedError(f"{path_text(path)}: expected {name}, got {_shown(value)}")


# The fields a value has -----------------------------------------------------------------------


def to_field_set(value: Any, node: SchemaNode) -> FieldSet:
    """The fields that an applied configuration claims."""
    found = FieldSet()
    _collect(value, node, (), found)
    return found


def _collect(value: Any, node: SchemaNode, path: Path, found: FieldSet) -> None:
    if is_granular_map(node) and (value is None or isinstance(value, dict)):
        for name, item in (value or {}).items():
            here = (*path, f"f:{name}")
            child = child_node(node, name) or DEDUCED
            _collect(item, child, here, found)
            if item is None or item == {} or name not in node.properties:
                found.insert(here)
    elif is_keyed_list(node) and (value is None or isinstance(value, list)):
        assert node.items is not None
        for item in value or ():
            here = (*path, item_element(node, item))
            _collect(item, node.items, here, found)
            found.insert(here)
    else:
        found.insert(path)


# Differences ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Comparison:
    """Which fields came, went and changed."""

    added: FieldSet = field(default_factory=FieldSet)
    removed: FieldSet = field(default_factory=FieldSet)
    modified: FieldSet = field(default_factory=FieldSet)

    @property
    def same(self) -> bool:
        return self.added.empty and self.removed.empty and self.modified.empty

    def without(self, ignored: FieldSet) -> "Comparison":
        return Comparison(
            self.added.without(ignored),
            self.removed.without(ignored),
            self.modified.without(ignored),
        )


def compare(old: Any, new: Any, node: SchemaNode) -> Comparison:
    found = Comparison()
    _compare(old, new, node, (), found)
    return found


def _compare(old: Any, new: Any, node: SchemaNode, path: Path, found: Comparison) -> None:
    if old is new or (old is not ABSENT and new is not ABSENT and old == new):
        return
    if not node.nullable and _is_nothing(old) and _is_nothing(new):
        # A built-in kind's null and absent fields are the same nil in Go.
        return
    if is_granular_map(node) and _both(old, new, dict):
        before, after = _contents(old, {}), _contents(new, {})
        if before or after:
            whole = type(old) is not dict or type(new) is not dict
            for name in dict.fromkeys((*before, *after)):
                child = child_node(node, name) or DEDUCED
                here = (*path, f"f:{name}")
                left, right = before.get(name, ABSENT), after.get(name, ABSENT)
                if whole and _is_nothing(left) and _is_nothing(right):
                    # A struct that comes or goes brings or takes its nulls.
                    _note_presence(left, right, here, found)
                else:
                    _compare(left, right, child, here, found)
            _note_presence(old, new, path, found)
            return
    elif is_keyed_list(node) and _both(old, new, list):
        assert node.items is not None
        before, after = indexed(node, _contents(old, [])), indexed(node, _contents(new, []))
        if before or after:
            for element in dict.fromkeys((*before, *after)):
                left, right = before.get(element, ABSENT), after.get(element, ABSENT)
                _compare(left, right, node.items, (*path, element), found)
            _note_presence(old, new, path, found)
            return
    if not _note_presence(old, new, path, found):
        found.modified.insert(path)


def _is_nothing(side: Any) -> bool:
    return side is ABSENT or side is None


def _both(old: Any, new: Any, kind: type) -> bool:
    """Can both sides be read as the kind? Null and absence can."""
    return all(side is ABSENT or side is None or type(side) is kind for side in (old, new))


def _contents(side: Any, nothing: Any) -> Any:
    return nothing if side is ABSENT or side is None else side


def _note_presence(old: Any, new: Any, path: Path, found: Comparison) -> bool:
    if old is ABSENT:
        found.added.insert(path)
        return True
    if new is ABSENT:
        found.removed.insert(path)
        return True
    return False


# Removal --------------------------------------------------------------------------------------


def remove_items(value: Any, node: SchemaNode, removed: FieldSet) -> Any:
    """The value without the members of `removed`; what becomes empty becomes null."""
    if is_granular_map(node) and isinstance(value, dict):
        result: dict[str, Any] = {}
        for name, item in value.items():
            element = f"f:{name}"
            if element in removed.members:
                continue
            below = removed.children.get(element)
            if below is not None and not below.empty:
                item = remove_items(item, child_node(node, name) or DEDUCED, below)
            result[name] = item
        return result or None
    if is_keyed_list(node) and isinstance(value, list):
        assert node.items is not None
        items: list[Any] = []
        for item in value:
            element = item_element(node, item)
            if element in removed.members:
                continue
            below = removed.children.get(element)
            if below is not None and not below.empty:
                item = remove_items(item, node.items, below)
            items.append(item)
        return items or None
    return value


def with_named_fields(found: FieldSet, node: SchemaNode | None) -> FieldSet:
    """The set with every declared field that has members below it as a member too."""
    members = set(found.members)
    children: dict[str, FieldSet] = {}
    for element, child in found.children.items():
        name = element[2:]
        if element.startswith("f:"):
            inner = child_node(node, name) if node is not None else None
            if node is not None and name in node.properties:
                members.add(element)
        else:
            inner = node.items if node is not None else None
        children[element] = with_named_fields(child, inner)
    return FieldSet(members, children)
