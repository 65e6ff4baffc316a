"""Objects against the schema of their custom kind: the texts that clients see."""

from typing import Any

import pytest

from kapi.env import parse_time
from kapi.registry.custom.cel import matches, pattern_error
from kapi.registry.custom.columns import Columns
from kapi.registry.custom.invariants import validate_lists
from kapi.registry.custom.json_path import JsonPath
from kapi.registry.custom.validation import validate_schema


def judged(schema: dict[str, Any], value: Any, *old: Any) -> list[str]:
    whole = {"type": "object", "properties": {"f": schema}}
    before = {"old": {"f": old[0]}} if old else {}
    return [str(error) for error in validate_schema(whole, {"f": value}, **before)]


@pytest.mark.parametrize(
    ("schema", "value", "complaint"),
    [
        (
            {"type": "integer"},
            "x",
            'Invalid value: "string": f in body must be of type integer: "string"',
        ),
        ({"type": "integer"}, 2.0, None),
        ({"type": "number"}, 2, None),
        (
            {"type": "integer"},
            True,
            'Invalid value: "boolean": f in body must be of type integer: "boolean"',
        ),
        (
            {"type": "string"},
            None,
            'Invalid value: "null": f in body must be of type string: "null"',
        ),
        ({"type": "string", "nullable": True}, None, None),
        (
            {"type": "integer", "minimum": 1},
            0,
            "Invalid value: 0: f in body should be greater than or equal to 1",
        ),
        (
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            1,
            "Invalid value: 1: f in body should be greater than 1",
        ),
        (
            {"type": "number", "maximum": 1.5},
            2,
            "Invalid value: 2: f in body should be less than or equal to 1.5",
        ),
        (
            {"type": "integer", "multipleOf": 3},
            7,
            "Invalid value: 7: f in body should be a multiple of 3",
        ),
        ({"type": "string", "maxLength": 2}, "abc", "Too long: may not be more than 2 bytes"),
        (
            {"type": "string", "minLength": 2},
            "a",
            'Invalid value: "a": f in body should be at least 2 chars long',
        ),
        (
            {"type": "string", "pattern": "^[a-z]+$"},
            "A",
            "Invalid value: \"A\": f in body should match '^[a-z]+$'",
        ),
        (
            {"type": "string", "enum": ["a", "b"]},
            "c",
            'Unsupported value: "c": supported values: "a", "b"',
        ),
        ({"type": "string", "format": "date-time"}, "2020-01-01T00:00:00Z", None),
        (
            {"type": "string", "format": "ipv4"},
            "1.2.3",
            'Invalid value: "1.2.3": f in body must be of type ipv4: "1.2.3"',
        ),
        ({"type": "string", "format": "unheard-of"}, "x", None),
        (
            {"type": "array", "maxItems": 1, "items": {}},
            [1, 2],
            "Too many: 2: must have at most 1 item",
        ),
        (
            {"type": "array", "minItems": 1, "items": {}},
            [],
            "Invalid value: 0: f in body should have at least 1 items",
        ),
        (
            {"type": "object", "maxProperties": 1},
            {"a": 1, "b": 2},
            "Too many: 2: must have at most 1 item",
        ),
        ({"x-kubernetes-int-or-string": True}, "5%", None),
        (
            {"x-kubernetes-int-or-string": True},
            1.5,
            'Invalid value: "number": f in body must be of type integer,string: "number"',
        ),
    ],
)
def test_one_value(schema: dict[str, Any], value: Any, complaint: str | None) -> None:
    assert judged(schema, value) == ([] if complaint is None else [f"f: {complaint}"])


def test_a_required_field_is_named_where_it_should_be() -> None:
    schema = {"type": "array", "items": {"type": "object", "required": ["k"]}}
    assert judged(schema, [{"k": 1}, {}]) == ["f[1].k: Required value"]


def test_map_values_are_judged_by_their_schema() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    (found,) = judged(schema, {"a": "x", "b": 1})
    assert found.startswith('f.b: Invalid value: "integer"')


def test_alternatives_say_what_the_nearest_one_lacks() -> None:
    schema = {"type": "object", "anyOf": [{"required": ["x", "z"]}, {"required": ["y"]}]}
    assert judged(schema, {"y": 1}) == []
    assert judged(schema, {}) == [
        '<nil>: Invalid value: "": "f" must validate at least one schema (anyOf)',
        "f.y: Required value",
    ]
    either = {"oneOf": [{"required": ["x"]}, {"required": ["y"]}]}
    (found,) = judged(either, {"x": 1, "y": 1})
    assert found.endswith("one and only one schema (oneOf). Found 2 valid alternatives")
    (found,) = judged({"not": {"required": ["x"]}}, {"x": 1})
    assert found.endswith('"f" must not validate the schema (not)')


def test_what_an_update_leaves_alone_is_not_judged_again() -> None:
    strict = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    assert judged(strict, {"a": 1, "b": "new"}, {"a": 1, "b": "old"}) == []
    assert len(judged(strict, {"a": 2, "b": "new"}, {"a": 1, "b": "old"})) == 1


def test_items_with_keys_are_recognized_wherever_they_stand() -> None:
    item = {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string"}}}
    schema = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    old = [{"k": "a", "v": 1}]
    assert judged(schema, [{"k": "b", "v": "x"}, {"k": "a", "v": 1}], old) == []


def test_sets_and_keys_repeat_nothing() -> None:
    by_key = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name", "port"],
        "items": {"type": "object", "properties": {"port": {"type": "integer", "default": 80}}},
    }
    value = [{"name": "a"}, {"name": "a", "port": 80}, {"name": "a", "port": 81}]
    assert [str(error) for error in validate_lists(by_key, value, "l")] == [
        'l[1]: Duplicate value: {"name":"a","port":80}'
    ]


def test_patterns_are_gos_and_cannot_run_forever() -> None:
    assert matches("abc\n", "^abc$") is False
    assert matches("a" * 5000 + "b", "^(a+)+$") is False
    assert pattern_error("(") == "error parsing regexp: missing closing ): `(`"
    assert pattern_error("(?=a)").startswith("error parsing regexp: invalid or unsupported Perl")
    assert pattern_error("^[a-z]{1,3}$") == ""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.n", [3]),
        (".spec.ports[*].p", [80, 443]),
        (".spec.ports[-1].p", [443]),
        (".spec.ports[0:1].p", [80]),
        (".metadata.labels['a\\.b/c']", ["x"]),
        (".metadata.labels.a\\.b/c", ["x"]),
        ('.spec.ports[?(@.name=="tls")].p', [443]),
        (".spec.ports[?(@.p>100)].name", ["tls"]),
        (".spec.none.deeper", []),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    obj = {
        "metadata": {"labels": {"a.b/c": "x"}},
        "spec": {"n": 3, "ports": [{"name": "web", "p": 80}, {"name": "tls", "p": 443}]},
    }
    assert JsonPath(path).find(obj) == found


def test_a_path_that_cannot_be_followed_is_refused() -> None:
    with pytest.raises(ValueError, match="unrecognized"):
        JsonPath(".spec..n")


def test_cells_have_the_types_of_their_columns() -> None:
    columns = Columns(
        [
            {"name": "I", "type": "integer", "jsonPath": ".spec.i"},
            {"name": "S", "type": "string", "jsonPath": ".spec.list"},
            {"name": "B", "type": "boolean", "jsonPath": ".spec.i"},
            {"name": "D", "type": "date", "jsonPath": ".spec.when"},
            {"name": "X", "type": "string", "jsonPath": ".spec.none"},
        ]
    )
    obj = {
        "metadata": {"name": "n"},
        "spec": {"i": 2.0, "list": ["a", 1], "when": "2024-01-01T00:00:00Z"},
    }
    row = columns.row(obj, parse_time("2024-01-01T00:05:00Z"))
    assert row == ["n", 2, '["a",1]', None, "5m", None]
