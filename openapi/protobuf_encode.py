"""Encodes objects as Kubernetes protobuf, for clients that accept nothing else.

The inverse of `protobuf`, over the same table. A field that JSON does not carry is not written:
Go's decoders take a missing field for its zero value.
"""

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from kapi.api.object import Object, split_api_version
from openapi import wire
from openapi.protobuf import MAGIC
from openapi.protobuf_types import MessageField, message_fields, message_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS = 1_000_000_000


class NoProtobufForm(Exception):
    """The kind has no message: a custom resource, a Table."""


def encode_envelope(obj: Object) -> bytes:
    """The object in its envelope. Raises NoProtobufForm."""
    api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    group, version = split_api_version(api_version)
    message = message_of(group, version, kind)
    if message is None:
        raise NoProtobufForm(f"{kind} in {api_version} has no protobuf form")
    content = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    type_meta = wire.text_field(1, api_version) + wire.text_field(2, kind)
    raw = _message(message, content)
    return MAGIC + wire.bytes_field(1, type_meta) + wire.bytes_field(2, raw)


def encode_watch_frame(kind: str, obj: Object) -> bytes:
    """One event of a watch: four bytes of length, then a meta.v1.WatchEvent."""
    raw = wire.bytes_field(1, encode_envelope(obj))
    event = wire.text_field(1, kind) + wire.bytes_field(2, raw)
    return len(event).to_bytes(4, "big") + event


@cache
def _numbers(message: str) -> tuple[dict[str, tuple[int, MessageField]], tuple[Any, ...]]:
    """Fields by JSON name, and the embedded messages with their numbers."""
    fields = message_fields(message)
    named = {field.name: (number, field) for number, field in fields.items() if field.name}
    embedded = tuple((number, field.type) for number, field in fields.items() if not field.name)
    return named, embedded


@cache
def _knows(message: str) -> frozenset[str]:
    """Every JSON name that belongs to the message, embedded ones included."""
    named, embedded = _numbers(message)
    return frozenset(named).union(*(_knows(inner) for _number, inner in embedded))


def _message(message: str, content: Mapping[str, Any]) -> bytes:
    named, embedded = _numbers(message)
    parts = []
    for name, value in content.items():
        known = named.get(name)
        if known is not None and value is not None:
            parts.append(_field(known[0], known[1], value))
    for number, inner in embedded:
        own = {name: value for name, value in content.items() if name in _knows(inner)}
        if own:
            parts.append(wire.bytes_field(number, _message(inner, own)))
    return b"".join(parts)


def _field(number: int, field: MessageField, value: Any) -> bytes:
    if field.is_map:
        return b"".join(
            wire.bytes_field(number, wire.text_field(1, key) + _single(2, field.type, entry))
            for key, entry in value.items()
        )
    if field.repeated:
        return b"".join(_single(number, field.type, item) for item in value)
    return _single(number, field.type, value)


def _single(number: int, kind: str, value: Any) -> bytes:
    if kind == "s":
        return wire.text_field(number, str(value))
    if kind in ("i", "b"):
        return wire.integer_field(number, int(value))
    if kind == "d":
        return wire.double_field(number, float(value))
    if kind == "y":
        return wire.bytes_field(number, base64.b64decode(value))
    special = _SPECIAL.get(kind)
    return wire.bytes_field(number, special(value) if special else _message(kind, value))


def _moment(value: Any) -> bytes:
    if value is None:
        return b""
    since = datetime.fromisoformat(value) - _EPOCH
    seconds = since.days * 86400 + since.seconds
    parts = wire.integer_field(1, seconds)
    if since.microseconds:
        parts += wire.integer_field(2, since.microseconds * 1000)
    return parts


def _quantity(value: Any) -> bytes:
    return wire.text_field(1, str(value))


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return wire.integer_field(1, 1) + wire.text_field(3, value)
    return wire.integer_field(1, 0) + wire.integer_field(2, int(value))


def _raw_json(value: Any) -> bytes:
    return b"" if value is None else wire.bytes_field(1, orjson.dumps(value))


def _strings(value: Any) -> bytes:
    return b"".join(wire.text_field(1, str(item)) for item in value)


_UNITS = {"h": 3600 * _NANOS, "m": 60 * _NANOS, "s": _NANOS, "ms": 10**6, "us": 10**3, "ns": 1}


def _duration(value: Any) -> bytes:
    """Go's notation (`1m30s`, `0.5s`) as nanoseconds."""
    text, sign = str(value), 1
    if text.startswith("-"):
        text, sign = text[1:], -1
    total, digits, unit = 0.0, "", ""
    for letter in text + "0":
        if letter.isdigit() or letter == ".":
            if unit:
                total += float(digits) * _UNITS[unit]
                digits, unit = "", ""
            digits += letter
        else:
            unit += letter
    return wire.integer_field(1, sign * round(total))


_SCHEMA = "apiextensions.v1.JSONSchemaProps"


def _schema_or_array(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(wire.bytes_field(2, _message(_SCHEMA, item)) for item in value)
    return wire.bytes_field(1, _message(_SCHEMA, value))


def _schema_or_bool(value: Any) -> bytes:
    if isinstance(value, bool):
        return wire.integer_field(1, int(value))
    return wire.integer_field(1, 1) + wire.bytes_field(2, _message(_SCHEMA, value))


def _schema_or_strings(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(wire.text_field(2, str(item)) for item in value)
    return wire.bytes_field(1, _message(_SCHEMA, value))


_SPECIAL: dict[str, Callable[[Any], bytes]] = {
    "Time": _moment,
    "MicroTime": _moment,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Raw": _raw_json,
    "Strings": _strings,
    "Duration": _duration,
    "apiextensions.v1.JSONSchemaPropsOrArray": _schema_or_array,
    "apiextensions.v1.JSONSchemaPropsOrBool": _schema_or_bool,
    "apiextensions.v1.JSONSchemaPropsOrStringArray": _schema_or_strings,
}
