"""Writes an OpenAPI v2 document as gnostic's protobuf message `openapi.v2.Document`.

Field numbers are those of gnostic's `openapiv2/OpenAPIv2.proto`. Only what `v2.document` and the
schemas of custom kinds can hold is written; vendor extensions travel as YAML text, of which JSON
is a part.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from kapi.api.object import Object
from openapi.wire import bytes_field, double_field, integer_field, text_field

_METHOD_NUMBERS = {
    "get": 2,
    "put": 3,
    "post": 4,
    "delete": 5,
    "options": 6,
    "head": 7,
    "patch": 8,
}
_SCHEMA_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_SCHEMA_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_SCHEMA_INTEGERS = {
    "exclusiveMaximum": 8,
    "exclusiveMinimum": 10,
    "maxLength": 11,
    "minLength": 12,
    "maxItems": 14,
    "minItems": 15,
    "uniqueItems": 16,
    "maxProperties": 17,
    "minProperties": 18,
    "readOnly": 27,
}
_SCHEMA_ANY = {"default": 5, "example": 30}


def encode_document(document: Object) -> bytes:
    """The bytes of `openapi.v2.Document`."""
    info = document["info"]
    return b"".join(
        (
            text_field(1, document["swagger"]),
            bytes_field(2, text_field(1, info["title"]) + text_field(2, info["version"])),
            bytes_field(8, _named(2, document["paths"], _path_item)),
            bytes_field(9, _named(1, document["definitions"], _schema)),
            bytes_field(10, _named(1, document.get("parameters", {}), _parameter)),
            *(bytes_field(12, _requirement(item)) for item in document.get("security", ())),
            bytes_field(13, _named(1, document.get("securityDefinitions", {}), _security)),
        )
    )


def _named(number: int, values: Mapping[str, Any], encode: Callable[[Any], bytes]) -> bytes:
    """gnostic's ordered maps: repeated (1 name, 2 value)."""
    return b"".join(
        bytes_field(number, text_field(1, name) + bytes_field(2, encode(value)))
        for name, value in values.items()
    )


def _any(value: Any) -> bytes:
    return bytes_field(2, orjson.dumps(value))


def _extensions(number: int, node: Object) -> bytes:
    found = {key: value for key, value in node.items() if key.startswith("x-")}
    return _named(number, found, _any)


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(text_field(number, value) for value in values)


def _path_item(item: Object) -> bytes:
    operations = (
        bytes_field(number, _operation(item[method]))
        for method, number in _METHOD_NUMBERS.items()
        if method in item
    )
    parameters = (bytes_field(9, _parameters_item(entry)) for entry in item.get("parameters", ()))
    return b"".join((*operations, *parameters, _extensions(10, item)))


def _operation(operation: Object) -> bytes:
    return b"".join(
        (
            _texts(1, operation.get("tags", ())),
            text_field(3, operation.get("description", "")),
            text_field(5, operation["operationId"]),
            _texts(6, operation.get("produces", ())),
            _texts(7, operation.get("consumes", ())),
            *(bytes_field(8, _parameters_item(item)) for item in operation["parameters"]),
            bytes_field(9, _named(1, operation["responses"], _response_value)),
            _texts(10, operation.get("schemes", ())),
            _extensions(13, operation),
        )
    )


def _parameters_item(item: Object) -> bytes:
    if "$ref" in item:
        return bytes_field(2, text_field(1, item["$ref"]))
    return bytes_field(1, _parameter(item))


def _parameter(parameter: Object) -> bytes:
    required = integer_field(4, 1) if parameter.get("required") else b""
    if parameter["in"] == "body":
        body = (
            text_field(1, parameter.get("description", ""))
            + text_field(2, parameter["name"])
            + text_field(3, "body")
            + required
            + bytes_field(5, _schema(parameter["schema"]))
        )
        return bytes_field(1, body)
    in_path = parameter["in"] == "path"
    # The two messages differ: the query's has allow_empty_value at 5 and all later numbers up one.
    shift = 0 if in_path else 1
    encoded = (
        (integer_field(1, 1) if parameter.get("required") else b"")
        + text_field(2, parameter["in"])
        + text_field(3, parameter.get("description", ""))
        + text_field(4, parameter["name"])
        + text_field(5 + shift, parameter["type"])
        + integer_field(19 + shift, int(parameter.get("uniqueItems", False)))
    )
    return bytes_field(2, bytes_field(4 if in_path else 3, encoded))


def _response_value(response: Object) -> bytes:
    schema = response.get("schema")
    encoded = text_field(1, response["description"])
    if schema is not None:
        encoded += bytes_field(2, bytes_field(1, _schema(schema)))
    return bytes_field(1, encoded)


def _schema(schema: Object) -> bytes:
    out = [
        text_field(number, schema[key]) for key, number in _SCHEMA_TEXTS.items() if key in schema
    ]
    for key, number in _SCHEMA_DOUBLES.items():
        if key in schema:
            out.append(double_field(number, float(schema[key])))
    for key, number in _SCHEMA_INTEGERS.items():
        if key in schema:
            out.append(integer_field(number, int(schema[key])))
    for key, number in _SCHEMA_ANY.items():
        if key in schema:
            out.append(bytes_field(number, _any(schema[key])))
    out.append(_texts(19, schema.get("required", ())))
    out += [bytes_field(20, _any(value)) for value in schema.get("enum", ())]
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        out.append(bytes_field(21, bytes_field(1, _schema(additional))))
    elif additional is not None:
        out.append(bytes_field(21, integer_field(2, int(additional))))
    if "type" in schema:
        out.append(bytes_field(22, text_field(1, schema["type"])))
    if "items" in schema:
        out.append(bytes_field(23, bytes_field(1, _schema(schema["items"]))))
    if "properties" in schema:
        out.append(bytes_field(25, _named(1, schema["properties"], _schema)))
    out.append(_extensions(31, schema))
    return b"".join(out)


def _requirement(requirement: Mapping[str, list[str]]) -> bytes:
    return _named(1, requirement, lambda scopes: _texts(1, scopes))


def _security(definition: Object) -> bytes:
    return bytes_field(
        2,
        text_field(1, definition["type"])
        + text_field(2, definition["name"])
        + text_field(3, definition["in"])
        + text_field(4, definition.get("description", "")),
    )
