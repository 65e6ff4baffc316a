"""An object against the OpenAPI schema of its custom kind.

The texts are those of k8s.io/kube-openapi `pkg/validation/{validate,errors}` as
apiextensions-apiserver `pkg/apiserver/validation` turns them into field errors. On an update, parts
that did not change are not judged again (upstream calls it ratcheting), so that a schema made
stricter does not lock up objects it would refuse.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from kapi.api.errors import FieldError, invalid, not_supported, required, too_long, too_many
from kapi.api.object import Object
from kapi.registry.custom.cel import matches
from kapi.registry.custom.formats import FORMATS

NOWHERE = "<nil>"
"""The path of errors that upstream raises without one."""

_ABSENT: Any = object()
_INTEGER_LIMITS = {"int32": 2**31, "int64": 2**63}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is: `path` in the Status, `name` in the sentence (they differ for status)."""

    path: str
    name: str

    def field(self, key: str) -> "Place":
        return Place(
            f"{self.path}.{key}" if self.path else key, f"{self.name}.{key}" if self.name else key
        )

    def index(self, index: int) -> "Place":
        return Place(f"{self.path}[{index}]", f"{self.name}[{index}]")


ROOT = Place("", "")


def type_name(value: Any) -> str:
    """The JSON type of a value, in the schema's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def validate_schema(
    schema: Object, value: Any, place: Place = ROOT, old: Any = _ABSENT
) -> list[FieldError]:
    """Every complaint about `value`; parts equal to `old` are taken as they are."""
    if old is not _ABSENT and place.path and value == old:
        return []
    found = _type_errors(schema, value, place)
    if value is None and schema.get("nullable"):
        return found + _enum_errors(schema, value, place)
    found += _combined_errors(schema, value, place)
    if isinstance(value, str):
        found += _string_errors(schema, value, place)
    elif isinstance(value, bool):
        pass
    elif isinstance(value, int | float):
        found += _number_errors(schema, value, place)
    elif isinstance(value, list):
        found += _list_errors(schema, value, place, old)
    found += _enum_errors(schema, value, place)
    if isinstance(value, dict):
        found += _object_errors(schema, value, place, old)
    return found


def _type_errors(schema: Object, value: Any, place: Place) -> list[FieldError]:
    wanted = schema.get("type") or ""
    if schema.get("x-kubernetes-int-or-string"):
        wanted = "integer,string"
    if value is None and schema.get("nullable"):
        return []
    if not wanted:
        return []
    actual = type_name(value)
    if actual in wanted.split(",") or (wanted == "number" and actual == "integer"):
        return _format_errors(schema, value, place)
    return [_type_error(place, wanted, actual)]


def _type_error(place: Place, wanted: str, shown: str) -> FieldError:
    text = orjson.dumps(shown).decode()
    return FieldError(
        "FieldValueTypeInvalid",
        place.path,
        f"Invalid value: {text}: {place.name} in body must be of type {wanted}: {text}",
    )


def _format_errors(schema: Object, value: Any, place: Place) -> list[FieldError]:
    if not isinstance(value, str):
        return []
    form = str(schema.get("format") or "")
    check = FORMATS.get(form)
    return [] if check is None or check(value) else [_type_error(place, form, value)]


def _string_errors(schema: Object, value: str, place: Place) -> list[FieldError]:
    found = []
    longest, shortest, pattern = (schema.get(k) for k in ("maxLength", "minLength", "pattern"))
    if longest is not None and len(value) > longest:
        found.append(too_long(place.path, longest))
    if shortest is not None and len(value) < shortest:
        text = f"{place.name} in body should be at least {shortest} chars long"
        found.append(invalid(place.path, value, text))
    if pattern and not matches(value, pattern):
        text = f"{place.name} in body should match '{pattern}'"
        found.append(invalid(place.path, value, text))
    return found


def _number_errors(schema: Object, value: int | float, place: Place) -> list[FieldError]:
    found = []
    if schema.get("type") == "integer" and isinstance(value, float) and not value.is_integer():
        text = f"Checked value must be of type integer (default format) in {place.name}"
        found.append(invalid(NOWHERE, "", text))
    limit = _INTEGER_LIMITS.get(str(schema.get("format") or ""))
    if limit is not None and not -limit <= value < limit:
        form = schema["format"]
        text = f"Checked value must be of type integer with format {form} in {place.name}"
        found.append(invalid(NOWHERE, "", text))
    step, most, least = (schema.get(key) for key in ("multipleOf", "maximum", "minimum"))
    body = f"{place.name} in body"
    if step and (value / step) % 1:
        found.append(invalid(place.path, value, f"{body} should be a multiple of {_go(step)}"))
    if most is not None:
        if schema.get("exclusiveMaximum") and value >= most:
            found.append(invalid(place.path, value, f"{body} should be less than {_go(most)}"))
        elif value > most:
            text = f"{body} should be less than or equal to {_go(most)}"
            found.append(invalid(place.path, value, text))
    if least is not None:
        if schema.get("exclusiveMinimum") and value <= least:
            found.append(invalid(place.path, value, f"{body} should be greater than {_go(least)}"))
        elif value < least:
            text = f"{body} should be greater than or equal to {_go(least)}"
            found.append(invalid(place.path, value, text))
    return found


def _go(number: int | float) -> str:
    """A number as Go's %v prints a float: without a fraction it does not have."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def _list_errors(schema: Object, value: list[Any], place: Place, old: Any) -> list[FieldError]:
    found = []
    most, least, items = (schema.get(key) for key in ("maxItems", "minItems", "items"))
    if isinstance(items, dict):
        before = _correlated(schema, value, old)
        for index, item in enumerate(value):
            found += validate_schema(items, item, place.index(index), before(index))
    if most is not None and len(value) > most:
        found.append(too_many(place.path, len(value), most))
    if least is not None and len(value) < least:
        text = f"{place.name} in body should have at least {least} items"
        found.append(invalid(place.path, len(value), text))
    return found


def _correlated(schema: Object, value: list[Any], old: Any) -> Callable[[int], Any]:
    """The old item that an index's item was, for lists whose items have keys."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if schema.get("x-kubernetes-list-type") != "map" or not keys or not isinstance(old, list):
        return lambda _index: _ABSENT
    by_key = {_map_key(item, keys): item for item in old}
    return lambda index: by_key.get(_map_key(value[index], keys), _ABSENT)


def _map_key(item: Any, keys: list[str]) -> str:
    found = [item.get(key) for key in keys] if isinstance(item, dict) else [item]
    return orjson.dumps(found).decode()


def _enum_errors(schema: Object, value: Any, place: Place) -> list[FieldError]:
    allowed = schema.get("enum")
    if not allowed or any(type(item) is type(value) and item == value for item in allowed):
        return []
    return [not_supported(place.path, value, allowed)]


def _object_errors(schema: Object, value: Object, place: Place, old: Any) -> list[FieldError]:
    found = []
    properties: Object = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    wanted = list(schema.get("required") or ())
    if schema.get("x-kubernetes-embedded-resource"):
        wanted += [key for key in ("apiVersion", "kind") if key not in wanted]
    found += [required(place.field(key).path) for key in wanted if key not in value]
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None and len(value) > most:
        found.append(too_many(place.path, len(value), most))
    if least is not None and len(value) < least:
        text = f"{place.name} in body should have at least {least} properties"
        found.append(invalid(place.path, len(value), text))
    before = old if isinstance(old, dict) else {}
    for key in sorted(value):
        below = properties.get(key)
        if below is None and isinstance(additional, dict):
            below = additional
        if below is not None:
            found += validate_schema(below, value[key], place.field(key), before.get(key, _ABSENT))
    return found


def _combined_errors(schema: Object, value: Any, place: Place) -> list[FieldError]:
    """allOf, anyOf, oneOf and not; of alternatives that all failed, the nearest one is told."""
    found: list[FieldError] = []
    for key, judge in (("anyOf", _any_of), ("oneOf", _one_of), ("allOf", _all_of)):
        choices = schema.get(key)
        if choices:
            found += judge([validate_schema(item, value, place) for item in choices], place)
    refused = schema.get("not")
    if refused and not validate_schema(refused, value, place):
        found.append(_whole(place, "must not validate the schema (not)"))
    return found


def _whole(place: Place, text: str) -> FieldError:
    return invalid(NOWHERE, "", f'"{place.name}" {text}')


def _any_of(results: list[list[FieldError]], place: Place) -> list[FieldError]:
    if any(not result for result in results):
        return []
    return [_whole(place, "must validate at least one schema (anyOf)"), *min(results, key=len)]


def _one_of(results: list[list[FieldError]], place: Place) -> list[FieldError]:
    valid = sum(1 for result in results if not result)
    if valid == 1:
        return []
    why = f"Found {valid} valid alternatives" if valid else "Found none valid"
    found = [_whole(place, f"must validate one and only one schema (oneOf). {why}")]
    return found if valid else [*found, *min(results, key=len)]


def _all_of(results: list[list[FieldError]], place: Place) -> list[FieldError]:
    failed = [error for result in results for error in result]
    if not failed:
        return []
    why = "" if any(not result for result in results) else ". None validated"
    return [*failed, _whole(place, f"must validate all the schemas (allOf){why}")]
