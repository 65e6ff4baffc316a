"""Sets of field paths, and their wire form FieldsV1.

A path is a tuple of elements in their FieldsV1 spelling:
`f:spec`, `k:{"name":"c"}`, `v:"x"`, `i:0`.
Source: sigs.k8s.io/structured-merge-diff `fieldpath` (`set.go`, `serialize.go`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

Path = tuple[str, ...]

_KINDS = ("f:", "k:", "v:", "i:")


class FieldsError(ValueError):
    """The value is not FieldsV1."""


def key_element(keys: dict[str, Any]) -> str:
    """`k:{"port":80,"protocol":"TCP"}`."""
    return f"k:{orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()}"


def value_element(value: Any) -> str:
    return f"v:{orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()}"


def element_text(element: str) -> str:
    """An element as messages show it: `.spec`, `[name="c"]`, `[="x"]`, `[0]`."""
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "k:":
        keys = orjson.loads(rest)
        shown = ",".join(f"{key}={orjson.dumps(value).decode()}" for key, value in keys.items())
        return f"[{shown}]"
    return f"[={rest}]" if kind == "v:" else f"[{rest}]"


def path_text(path: Path) -> str:
    """`.spec.containers[name="c"].image`."""
    return "".join(map(element_text, path))


def _order(element: str) -> tuple[int, str]:
    return _KINDS.index(element[:2]), element


@dataclass(slots=True, eq=False)
class FieldSet:
    """Paths as a tree; a path is a member if its last element is in its parent's `members`."""

    members: set[str] = field(default_factory=set)
    children: dict[str, "FieldSet"] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not self.members and all(child.empty for child in self.children.values())

    def insert(self, path: Path) -> None:
        """The empty path is no member of any set."""
        if not path:
            return
        node = self
        for element in path[:-1]:
            found = node.children.get(element)
            if found is None:
                found = node.children[element] = FieldSet()
            node = found
        node.members.add(path[-1])

    def has(self, path: Path) -> bool:
        node: FieldSet | None = self
        for element in path[:-1]:
            node = node.children.get(element) if node else None
        return node is not None and path[-1] in node.members

    def below(self, element: str) -> "FieldSet":
        return self.children.get(element) or FieldSet()

    def union(self, other: "FieldSet") -> "FieldSet":
        if not other.members and not other.children:
            return self
        if not self.members and not self.children:
            return other
        children = {name: child.union(other.below(name)) for name, child in self.children.items()}
        for name, child in other.children.items():
            if name not in children:
                children[name] = child
        return FieldSet(self.members | other.members, children)

    def intersection(self, other: "FieldSet") -> "FieldSet":
        return FieldSet(
            self.members & other.members,
            _kept(
                {
                    name: child.intersection(other.children[name])
                    for name, child in self.children.items()
                    if name in other.children
                }
            ),
        )

    def difference(self, other: "FieldSet") -> "FieldSet":
        """The members of this set that are not in the other; what is below them stays."""
        return FieldSet(
            self.members - other.members,
            _kept(
                {
                    name: child.difference(other.children[name])
                    if name in other.children
                    else child
                    for name, child in self.children.items()
                }
            ),
        )

    def without(self, other: "FieldSet") -> "FieldSet":
        """As difference, and what is below a member of the other set goes with it."""
        if not other.members and not other.children:
            return self
        return FieldSet(
            self.members - other.members,
            _kept(
                {
                    name: child.without(other.children[name]) if name in other.children else child
                    for name, child in self.children.items()
                    if name not in other.members
                }
            ),
        )

    def paths(self, prefix: Path = ()) -> Iterator[Path]:
        """Every member, in a fixed order."""
        for element in sorted(self.members, key=_order):
            yield (*prefix, element)
        for element in sorted(self.children, key=_order):
            yield from self.children[element].paths((*prefix, element))

    def same(self, other: "FieldSet") -> bool:
        return list(self.paths()) == list(other.paths())

    def to_fields_v1(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for element in sorted(self.members | self.children.keys(), key=_order):
            child = self.children.get(element)
            inner = child.to_fields_v1() if child is not None and not child.empty else {}
            if inner and element in self.members:
                inner = {".": {}, **inner}
            if inner or element in self.members:
                result[element] = inner
        return result


def _kept(children: dict[str, FieldSet]) -> dict[str, FieldSet]:
    return {name: child for name, child in children.items() if child.members or child.children}


def from_fields_v1(fields: Any) -> FieldSet:
    """Raises FieldsError for anything that is not FieldsV1."""
    if not isinstance(fields, dict):
        raise FieldsError("fieldsV1 must be an object")
    found = FieldSet()
    for element, inner in fields.items():
        if element == ".":
            continue
        if element[:2] not in _KINDS or not isinstance(inner, dict):
            raise FieldsError(f"{element!r} is no path element")
        _check_element(element)
        if not inner or "." in inner:
            found.members.add(element)
        child = from_fields_v1(inner)
        if child.members or child.children:
            found.children[element] = child
    return found


def _check_element(element: str) -> None:
    if element.startswith("f:"):
        return
    try:
        value = orjson.loads(element[2:])
    except orjson.JSONDecodeError:
        raise FieldsError(f"{element!r} is no path element") from None
    if element.startswith("k:") and not isinstance(value, dict):
        raise FieldsError(f"{element!r} is no path element")


def of_paths(*paths: Path) -> FieldSet:
    found = FieldSet()
    for path in paths:
        found.insert(path)
    return found
