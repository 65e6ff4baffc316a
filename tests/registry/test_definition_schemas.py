"""Which schemas a definition may have: structural ones, with sound patterns and defaults."""

from typing import Any

import pytest

from kapi.registry.apiextensions.schema_validation import validate_version_schema


def judged(**properties: Any) -> list[str]:
    schema = {"type": "object", "properties": properties}
    return [str(error) for error in validate_version_schema(schema, "s")]


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({}, "s.properties[a].type: Required value: must not be empty for specified object fields"),
        ({"x-kubernetes-preserve-unknown-fields": True}, None),
        ({"x-kubernetes-int-or-string": True}, None),
        (
            {"x-kubernetes-int-or-string": True, "type": "string"},
            's.properties[a].type: Invalid value: "string": '
            "must be empty if x-kubernetes-int-or-string is true",
        ),
        (
            {
                "x-kubernetes-int-or-string": True,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
            },
            None,
        ),
        (
            {"type": "array", "items": {}},
            "s.properties[a].items.type: Required value: "
            "must not be empty for specified array items",
        ),
        ({"type": "array"}, "s.properties[a].items: Required value: must be specified"),
        (
            {"type": "string", "anyOf": [{"type": "string"}]},
            "s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            {"type": "object", "anyOf": [{"properties": {"q": {"minimum": 1}}}]},
            "s.properties[a].properties[q]: Required value: "
            "because it is defined in s.properties[a].anyOf[0].properties[q]",
        ),
        (
            {"type": "object", "properties": {}, "additionalProperties": False},
            "s.properties[a].additionalProperties: Forbidden: "
            "additionalProperties cannot be set to false",
        ),
        (
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "s.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the "
            "runtime complexity becomes quadratic",
        ),
        (
            {"type": "string", "$ref": "#/x"},
            "s.properties[a].$ref: Forbidden: $ref is not supported",
        ),
        (
            {"type": "string", "pattern": "["},
            's.properties[a].pattern: Invalid value: "[": must be a valid regular expression, '
            "but isn't: error parsing regexp: missing closing ]: `[`",
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            "s.properties[a].properties: Required value: must not be empty if "
            "x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ),
        (
            {"type": "string", "x-kubernetes-list-type": "set"},
            's.properties[a].type: Invalid value: "string": '
            "must be array if x-kubernetes-list-type is set",
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}}},
            },
            "s.properties[a].items.properties[k].default: Required value: this property is in "
            "x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
    ],
)
def test_one_property(schema: dict[str, Any], complaint: str | None) -> None:
    assert judged(a=schema) == ([] if complaint is None else [complaint])


def test_metadata_may_only_be_narrowed() -> None:
    names = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}
    assert judged(metadata=names) == []
    (found,) = judged(metadata={"type": "object", "properties": {"labels": {"type": "object"}}})
    assert "must not specify anything other than name and generateName" in found


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "integer", "default": "x"}, " in body must be of type integer"),
        ({"type": "integer", "default": 0, "minimum": 1}, "should be greater than or equal to 1"),
        ({"type": "string", "default": None}, "must not be null"),
        (
            {"type": "object", "properties": {"k": {"type": "string"}}, "default": {"z": 1}},
            "must not have unknown fields",
        ),
    ],
)
def test_a_default_must_be_a_value_of_its_field(schema: dict[str, Any], complaint: str) -> None:
    (found,) = judged(a=schema)
    assert found.startswith("s.properties[a].default: ") and complaint in found


def test_good_defaults_pass_at_any_depth() -> None:
    inner = {
        "type": "object",
        "default": {},
        "properties": {"n": {"type": "integer", "default": 2}},
    }
    assert judged(a=inner, b={"type": "array", "items": inner}) == []
