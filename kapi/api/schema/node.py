"""A node of a kind's type tree."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

NodeKind = Literal[
    "object",
    "map",
    "array",
    "string",
    "integer",
    "number",
    "boolean",
    "bytes",
    "time",
    "micro_time",
    "quantity",
    "int_or_string",
    "json_schema",
    "any",
]

Trail: TypeAlias = list[tuple[str | int, str]]
"""Steps from a field outwards: (field name or index, struct that has the field or empty)."""

Decoder: TypeAlias = Callable[[Any, list[Trail]], Any]
"""(value, unknown fields so far) -> the value as stored. Raises decoders.Mismatch."""

Defaulter: TypeAlias = Callable[[Any], None]


@dataclass(slots=True, eq=False)
class SchemaNode:
    """One type where it is used: the type itself and what its field says about it.

    Nodes of one definition share their `properties`, so recursive types are cycles in the graph.
    """

    kind: NodeKind
    go_type: str = ""
    """The type's name in Go, as error texts show it: `int32`, `v1.Container`."""
    struct: str = ""
    """For objects: the name of the Go struct, which error texts put before the path."""
    format: str = ""
    properties: dict[str, "SchemaNode"] = field(default_factory=dict)
    additional: "SchemaNode | None" = None
    """The type of a map's values."""
    items: "SchemaNode | None" = None
    required: frozenset[str] = frozenset()
    enum: tuple[Any, ...] = ()

    # How patches treat the field.
    merge_key: str = ""
    patch_strategy: frozenset[str] = frozenset()
    """Of `merge`, `replace`, `retainKeys`."""
    list_type: str = ""
    """`atomic`, `set`, `map` or empty (which means atomic)."""
    map_type: str = ""
    """`atomic`, `granular` or empty (which means granular)."""
    map_keys: tuple[str, ...] = ()

    # What the field says about absence and unknown fields.
    preserve_unknown: bool = False
    omit_empty: bool = False
    """Is the field's zero value the same as its absence, so that it is not stored?"""
    nullable: bool = False
    has_default: bool = False
    default: Any = None

    decoder: Decoder | None = field(default=None, repr=False)
    defaulter: Defaulter | None = field(default=None, repr=False)
    defaults_below: bool | None = field(default=None, repr=False)

    @property
    def is_map(self) -> bool:
        return self.kind in ("object", "map")

    def child(self, key: str) -> "SchemaNode | None":
        """The node of a field or a map's value."""
        return self.properties.get(key) or self.additional
