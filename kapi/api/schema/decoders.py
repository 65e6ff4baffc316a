"""Closures that check a value's types, prune unknown fields and bring scalars to stored form.

They work in place on the dict that the JSON reader made, and do what Go's decoder does: the first
wrong type stops, null is absence, unknown fields are noted and dropped. Source of the texts:
Go's `encoding/json` as forked in sigs.k8s.io/json.
"""

from collections.abc import Callable
from typing import Any

from kapi.api.schema.node import Decoder, SchemaNode, Trail
from kapi.api.schema.scalars import (
    BadScalar,
    read_base64,
    read_micro_time,
    read_quantity,
    read_resource,
    read_time,
)


class Mismatch(Exception):
    """A value of the wrong type; containers add their steps to `trail` as it passes."""

    def __init__(self, found: str, go_type: str) -> None:
        super().__init__()
        self.found = found
        self.go_type = go_type
        self.trail: Trail = []

    def text(self) -> str:
        struct = next((owner for _name, owner in self.trail if owner), "")
        if not struct:
            return f"json: cannot unmarshal {self.found} into Go value of type {self.go_type}"
        # Go's path names fields only, neither list indexes nor map keys.
        path = ".".join(str(name) for name, owner in reversed(self.trail) if owner)
        return (
            f"json: cannot unmarshal {self.found} into Go struct field {struct}.{path}"
            f" of type {self.go_type}"
        )


def field_path(trail: Trail) -> str:
    """`spec.containers[0].name`, from steps that lead outwards."""
    out = ""
    for name, _owner in reversed(trail):
        if isinstance(name, int):
            out += f"[{name}]"
        else:
            out += f".{name}" if out else name
    return out


_JSON_NAMES = {
    str: "string", list: "array", dict: "object", bool: "bool", int: "number", float: "number",
}  # fmt: skip


def _wrong(value: Any, go_type: str, *, numeric: bool = False) -> Mismatch:
    name = _JSON_NAMES.get(type(value), "null")
    if numeric and name == "number":
        name = f"number {value!r}"
    return Mismatch(name, go_type)


def _decode_string(value: Any, _unknown: list[Trail]) -> Any:
    if type(value) is not str:
        raise _wrong(value, "string")
    return value


def _decode_boolean(value: Any, _unknown: list[Trail]) -> Any:
    if type(value) is not bool:
        raise _wrong(value, "bool")
    return value


def _integer_decoder(go_type: str) -> Decoder:
    limit = 2**31 if go_type == "int32" else 2**63

    def decode(value: Any, _unknown: list[Trail]) -> Any:
        if type(value) is not int or not -limit <= value < limit:
            raise _wrong(value, go_type, numeric=True)
        return value

    return decode


def _decode_number(value: Any, _unknown: list[Trail]) -> Any:
    if type(value) is not float and type(value) is not int:
        raise _wrong(value, "float64")
    return value


def _decode_int_or_string(value: Any, _unknown: list[Trail]) -> Any:
    if type(value) is str:
        return value
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise _wrong(value, "int32", numeric=True)
    return value


class _TextError(Mismatch):
    """An error of a type's own reader, which comes without a path."""

    def __init__(self, message: str) -> None:
        super().__init__("", "")
        self._message = message

    def text(self) -> str:
        return self._message


def _text_decoder(read: Callable[[str], str], go_type: str, *, bare: bool) -> Decoder:
    """For texts with a form of their own. `bare` types complain without naming their field."""

    def decode(value: Any, _unknown: list[Trail]) -> Any:
        if type(value) is not str:
            found = _wrong(value, go_type)
            if bare:
                raise _TextError(
                    f"json: cannot unmarshal {found.found} into Go value of type {go_type}"
                )
            raise found
        try:
            return read(value)
        except BadScalar as error:
            raise _TextError(str(error)) from None

    return decode


def _quantity_decoder(read: Callable[[Any], str]) -> Decoder:
    def decode(value: Any, _unknown: list[Trail]) -> Any:
        try:
            return read(value)
        except BadScalar as error:
            raise _TextError(str(error)) from None

    return decode


def _decode_any(value: Any, _unknown: list[Trail]) -> Any:
    return value


def note(unknown: list[Trail], since: int, name: str | int, owner: str) -> None:
    """Add a step to the unknown fields found below it."""
    for trail in unknown[since:]:
        trail.append((name, owner))


def _array_decoder(node: SchemaNode) -> Decoder:
    items = node.items
    assert items is not None
    go_type = node.go_type
    decode_item: Decoder | None = None
    zero = zero_value(items)

    def decode(value: Any, unknown: list[Trail]) -> Any:
        nonlocal decode_item
        if type(value) is not list:
            raise _wrong(value, go_type)
        if decode_item is None:
            decode_item = decoder_of(items)
        index, before = 0, len(unknown)
        try:
            for index, item in enumerate(value):
                decoded = zero() if item is None else decode_item(item, unknown)
                if decoded is not item:
                    value[index] = decoded
                if len(unknown) != before:
                    note(unknown, before, index, "")
                    before = len(unknown)
        except Mismatch as mismatch:
            mismatch.trail.append((index, ""))
            raise
        return value

    return decode


def _map_decoder(node: SchemaNode) -> Decoder:
    additional = node.additional
    assert additional is not None
    go_type = node.go_type
    if additional.kind == "quantity":
        decode_value: Decoder = _quantity_decoder(read_resource)
    else:
        decode_value = decoder_of(additional)
    zero = zero_value(additional)

    def decode(value: Any, unknown: list[Trail]) -> Any:
        if type(value) is not dict:
            raise _wrong(value, go_type)
        key, before = "", len(unknown)
        try:
            for key, item in value.items():
                decoded = zero() if item is None else decode_value(item, unknown)
                if decoded is not item:
                    value[key] = decoded
                if len(unknown) != before:
                    note(unknown, before, key, "")
                    before = len(unknown)
        except Mismatch as mismatch:
            mismatch.trail.append((key, ""))
            raise
        return value

    return decode


def zero_value(node: SchemaNode) -> Callable[[], Any]:
    """What Go makes of a null element."""
    match node.kind:
        case "object" | "map":
            return dict
        case "array":
            return list
        case "integer" | "number" | "int_or_string":
            return int
        case "boolean":
            return bool
        case "quantity":
            return lambda: "0"
        case "any" | "json_schema" | "time" | "micro_time":
            return lambda: None
        case _:
            return str


Fields = dict[str, tuple[Decoder, bool]]
"""Field name -> (decoder, is the zero value dropped?)."""


def _object_decoder(node: SchemaNode) -> Decoder:
    fields: Fields = {}
    struct, go_type = node.struct, node.go_type
    keeps_unknown = node.preserve_unknown

    def decode(value: Any, unknown: list[Trail]) -> Any:
        if type(value) is not dict:
            raise _wrong(value, go_type)
        if not fields:
            # Made late, since a recursive type's fields lead back to it.
            for name, child in node.properties.items():
                fields[name] = (decoder_of(child), child.omit_empty)
        dropped: list[str] = []
        name, before = "", len(unknown)
        try:
            for name, item in value.items():
                field = fields.get(name)
                if field is None:
                    if not keeps_unknown:
                        dropped.append(name)
                        unknown.append([(name, struct)])
                        before += 1
                    continue
                if item is None:
                    dropped.append(name)
                    continue
                decoded = field[0](item, unknown)
                if decoded is not item:
                    value[name] = decoded
                if len(unknown) != before:
                    note(unknown, before, name, struct)
                    before = len(unknown)
                if not decoded and field[1]:
                    dropped.append(name)
        except Mismatch as mismatch:
            mismatch.trail.append((name, struct))
            raise
        for name in dropped:
            del value[name]
        return value

    return decode


def _json_schema_decoder(node: SchemaNode) -> Decoder:
    """JSONSchemaProps or something else: a boolean, a list of schemas or of texts."""
    schema = node.items
    assert schema is not None

    def decode(value: Any, unknown: list[Trail]) -> Any:
        if type(value) is dict:
            return decoder_of(schema)(value, unknown)
        if type(value) is list:
            for index, item in enumerate(value):
                if type(item) is dict:
                    before = len(unknown)
                    value[index] = decoder_of(schema)(item, unknown)
                    note(unknown, before, index, "")
        return value

    return decode


_SIMPLE: dict[str, Decoder] = {
    "string": _decode_string,
    "boolean": _decode_boolean,
    "number": _decode_number,
    "int_or_string": _decode_int_or_string,
    "any": _decode_any,
    "quantity": _quantity_decoder(read_quantity),
    "time": _text_decoder(read_time, "string", bare=True),
    "micro_time": _text_decoder(read_micro_time, "string", bare=True),
    "bytes": _text_decoder(read_base64, "[]uint8", bare=False),
}
_INTEGERS = {name: _integer_decoder(name) for name in ("int32", "int64")}


def decoder_of(node: SchemaNode) -> Decoder:
    """The node's decoder, made on first use."""
    found = node.decoder
    if found is None:
        match node.kind:
            case "object":
                found = _object_decoder(node)
            case "map":
                found = _map_decoder(node)
            case "array":
                found = _array_decoder(node)
            case "json_schema":
                found = _json_schema_decoder(node)
            case "integer":
                found = _INTEGERS.get(node.go_type, _INTEGERS["int64"])
            case _:
                found = _SIMPLE[node.kind]
        node.decoder = found
    return found
