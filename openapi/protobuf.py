"""Decodes Kubernetes protobuf request bodies into objects as JSON would have brought them.

kubectl's and helm's typed clients write every body this way and have no fallback. A body is the
four bytes `k8s\\0` and a `runtime.Unknown` message around the object's own message. Go writes
zero values of fields that are not pointers, so those mean "unset"; `protobuf_types` says for each
field whether zero is a value. Answers to such requests may be JSON, so nothing is encoded here.

Upstream: apimachinery `pkg/runtime/serializer/protobuf`, and the `MarshalJSON` methods of the
types with a JSON form of their own.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from kapi.api.errors import BadRequest
from kapi.api.object import Object, split_api_version
from openapi import wire
from openapi.protobuf_types import MessageField, message_fields, message_of
from openapi.wire import MalformedMessage

MAGIC = b"k8s\x00"
_DEPTH_MAX = 100
"""CRD schemas nest; a body that nests deeper than this is an attack, not a schema."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSET = object()
"""Stands for a value that JSON would not have carried at all."""


def decode_envelope(body: bytes) -> tuple[str, str, Object]:
    """The body's apiVersion and kind, and the object (with both set, without nulls).

    Raises BadRequest where the bytes are not an envelope, the kind has no protobuf form, or the
    message inside is malformed.
    """
    if not body.startswith(MAGIC):
        raise BadRequest(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        api_version, kind, raw = _unknown(body[len(MAGIC) :])
        group, version = split_api_version(api_version)
        message = message_of(group, version, kind)
        if message is None:
            raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}"')
        decoded = _message(message, raw, 0)
    except (MalformedMessage, UnicodeDecodeError, OverflowError, orjson.JSONDecodeError) as error:
        raise BadRequest(f"the body of the request could not be decoded: {error}") from error
    return api_version, kind, {"apiVersion": api_version, "kind": kind, **decoded}


def _unknown(data: bytes) -> tuple[str, str, bytes]:
    api_version = kind = ""
    raw = b""
    for number, _, value in wire.fields(data):
        if number == 1:
            for inner, _, text in wire.fields(_as_bytes(value)):
                if inner == 1:
                    api_version = _text(text)
                elif inner == 2:
                    kind = _text(text)
        elif number == 2:
            raw = _as_bytes(value)
        elif number == 3 and value:
            raise MalformedMessage("contentEncoding is not supported")
    return api_version, kind, raw


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedMessage("expected a length-delimited field")
    return value


def _text(value: int | bytes) -> str:
    return _as_bytes(value).decode()


def _integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise MalformedMessage("expected a varint field")
    return wire.signed(value)


def _boolean(value: int | bytes) -> bool:
    return _integer(value) != 0


def _base64(value: int | bytes) -> str:
    return base64.b64encode(_as_bytes(value)).decode()


_SCALARS: dict[str, Callable[[int | bytes], Any]] = {
    "s": _text,
    "i": _integer,
    "b": _boolean,
    "d": wire.double,
    "y": _base64,
}
_PACKABLE = ("i", "b")


def _message(name: str, data: bytes, depth: int) -> Object:
    if depth > _DEPTH_MAX:
        raise MalformedMessage(f"messages nest deeper than {_DEPTH_MAX}")
    table = message_fields(name)
    found: Object = {}
    for number, _, value in wire.fields(data):
        known = table.get(number)
        if known is None:
            # A newer client's field; upstream's generated code skips it too.
            continue
        if known.is_map:
            key, entry = _map_entry(known, _as_bytes(value), depth)
            found.setdefault(known.name, {})[key] = entry
        elif known.repeated:
            found.setdefault(known.name, []).extend(_elements(known, value, depth))
        else:
            _set(found, known, value, depth)
    return found


def _set(found: Object, known: MessageField, value: int | bytes, depth: int) -> None:
    decoded = _value(known.type, value, depth)
    if not known.name:
        found.update(decoded)
    elif decoded is _UNSET or (
        not decoded and not isinstance(decoded, dict | list) and not known.keeps_zero
    ):
        found.pop(known.name, None)
    else:
        found[known.name] = decoded


def _value(kind: str, value: int | bytes, depth: int) -> Any:
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar(value)
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(_as_bytes(value), depth + 1)
    return _message(kind, _as_bytes(value), depth + 1)


def _elements(known: MessageField, value: int | bytes, depth: int) -> list[Any]:
    if known.type in _PACKABLE and isinstance(value, bytes):
        packed, at = [], 0
        while at < len(value):
            number, at = wire.read_varint(value, at)
            packed.append(_SCALARS[known.type](number))
        return packed
    decoded = _value(known.type, value, depth)
    return [None if decoded is _UNSET else decoded]


def _map_entry(known: MessageField, data: bytes, depth: int) -> tuple[str, Any]:
    key, raw = "", b""
    for number, _, value in wire.fields(data):
        if number == 1:
            key = _text(value)
        elif number == 2:
            raw = _as_bytes(value)
    decoded = _value(known.type, raw, depth)
    return key, None if decoded is _UNSET else decoded


# Types whose JSON is not their protobuf message spelled out.


def _numbered(data: bytes) -> dict[int, int | bytes]:
    return {number: value for number, _, value in wire.fields(data)}


def _moment(data: bytes) -> datetime | None:
    """Seconds and nanoseconds since 1970; Go's zero time is the empty message."""
    if not data:
        return None
    parts = _numbered(data)
    seconds, nanos = _integer(parts.get(1, 0)), _integer(parts.get(2, 0))
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


def _spelled(moment: datetime, precision: str) -> str:
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _time(data: bytes, _: int) -> Any:
    moment = _moment(data)
    return _UNSET if moment is None else _spelled(moment, "seconds")


def _micro_time(data: bytes, _: int) -> Any:
    moment = _moment(data)
    return _UNSET if moment is None else _spelled(moment, "microseconds")


def _quantity(data: bytes, _: int) -> str:
    return _text(_numbered(data).get(1, b"")) or "0"


def _int_or_string(data: bytes, _: int) -> int | str:
    parts = _numbered(data)
    if _integer(parts.get(1, 0)) == 0:
        return _integer(parts.get(2, 0))
    return _text(parts.get(3, b""))


def _raw_json(data: bytes, _: int) -> Any:
    """RawExtension, FieldsV1, JSON: bytes that are themselves JSON."""
    raw = _as_bytes(_numbered(data).get(1, b""))
    decoded = orjson.loads(raw) if raw else None
    return _UNSET if decoded is None else decoded


def _strings(data: bytes, _: int) -> list[str]:
    return [_text(value) for number, _, value in wire.fields(data) if number == 1]


def _duration(data: bytes, _: int) -> str:
    """Nanoseconds, in Go's notation. Seconds with a fraction is one of its accepted spellings."""
    nanos = _integer(_numbered(data).get(1, 0))
    whole, rest = divmod(abs(nanos), 1_000_000_000)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if nanos < 0 else ''}{whole}{fraction}s"


_SCHEMA = "apiextensions.v1.JSONSchemaProps"


def _schema_or_array(data: bytes, depth: int) -> Any:
    parts = list(wire.fields(data))
    many = [_message(_SCHEMA, _as_bytes(value), depth) for number, _, value in parts if number == 2]
    if many:
        return many
    one = [_message(_SCHEMA, _as_bytes(value), depth) for number, _, value in parts if number == 1]
    return one[-1] if one else _UNSET


def _schema_or_bool(data: bytes, depth: int) -> Any:
    parts = _numbered(data)
    if 2 in parts:
        return _message(_SCHEMA, _as_bytes(parts[2]), depth)
    return _boolean(parts.get(1, 0))


def _schema_or_strings(data: bytes, depth: int) -> Any:
    parts = _numbered(data)
    if 1 in parts:
        return _message(_SCHEMA, _as_bytes(parts[1]), depth)
    return [_text(value) for number, _, value in wire.fields(data) if number == 2]


_SPECIAL: dict[str, Callable[[bytes, int], Any]] = {
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Raw": _raw_json,
    "Strings": _strings,
    "Duration": _duration,
    "apiextensions.v1.JSONSchemaPropsOrArray": _schema_or_array,
    "apiextensions.v1.JSONSchemaPropsOrBool": _schema_or_bool,
    "apiextensions.v1.JSONSchemaPropsOrStringArray": _schema_or_strings,
}
