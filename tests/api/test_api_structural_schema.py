"""Schemas of custom resources: pruning, nulls, defaults, and apply by their list types."""

from typing import Any

import pytest

from kapi.api.errors import Conflict
from kapi.api.patch.apply import apply_patch
from kapi.api.schema import DecodeError, KindSchema, structural_kind_schema

SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "s": {"type": "string", "default": "dee"},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "nul": {"type": "string", "nullable": True},
        "q": {"x-kubernetes-int-or-string": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "nested": {
            "type": "object",
            "default": {},
            "properties": {"deep": {"type": "array", "items": {"type": "object", "properties": {
                "x": {"type": "string", "default": "y"}}}}},
        },
        "m": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {
                "type": "object",
                "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
            },
        },
        "set": {
            "type": "array",
            "x-kubernetes-list-type": "set",
            "items": {"type": "string"},
        },
        "atoms": {"type": "array", "items": {"type": "string"}},
        "pod": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "properties": {"spec": {"type": "object"}},
        },
    },
}  # fmt: skip


@pytest.fixture
def foo() -> KindSchema:
    schema = {"type": "object", "properties": {"spec": SPEC, "status": {"type": "object"}}}
    return structural_kind_schema("example.com", "v1", "Foo", schema, status_is_separate=True)


def obj(spec: Any, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Foo",
        "metadata": {"name": "a"},
        "spec": spec,
        **more,
    }


def test_unknown_fields_are_pruned_and_told_in_order(foo: KindSchema) -> None:
    new = obj({"nope": 1, "any": {"z": {"y": 1}}, "nested": {"deep": [{"u": 1}]}}, extra=2)
    new["metadata"]["huh"] = 1
    assert foo.decode(new) == [
        'unknown field "extra"',
        'unknown field "metadata.huh"',
        'unknown field "spec.nested.deep[0].u"',
        'unknown field "spec.nope"',
    ]
    assert new == obj({"any": {"z": {"y": 1}}, "nested": {"deep": [{}]}})


def test_nulls_stay_only_where_they_are_allowed(foo: KindSchema) -> None:
    new = obj({"n": None, "s": None, "nul": None})
    assert foo.decode(new) == []
    assert new == obj({"nul": None})


def test_wrong_types_are_left_for_validation_but_metadata_is_decoded(foo: KindSchema) -> None:
    new = obj({"n": "x", "labels": [1], "m": {}, "q": True})
    assert foo.decode(new) == []
    assert new == obj({"n": "x", "labels": [1], "m": {}, "q": True})
    new["metadata"]["labels"] = {"a": 1}
    with pytest.raises(DecodeError, match="number into Go struct field ObjectMeta"):
        foo.decode(new)


def test_defaults(foo: KindSchema) -> None:
    new = obj({"nested": {"deep": [{}]}})
    foo.default(new)
    assert new == obj({"s": "dee", "nested": {"deep": [{"x": "y"}]}})
    bare = obj({})
    foo.default(bare)
    assert bare == obj({"s": "dee", "nested": {}})


def test_embedded_resources_keep_their_type_and_metadata(foo: KindSchema) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}
    new = obj({"pod": {**pod, "nope": 1}})
    assert foo.decode(new) == ['unknown field "spec.pod.nope"']
    assert new == obj({"pod": pod})


def test_without_a_schema_everything_is_kept() -> None:
    kind = structural_kind_schema("example.com", "v1", "Foo", None)
    new = obj({"a": [{"b": None}]}, extra=2)
    assert kind.decode(new) == []
    assert new == obj({"a": [{"b": None}]}, extra=2)


def apply(live: Any, spec: Any, manager: str, kind: KindSchema) -> dict[str, Any]:
    new = apply_patch(
        live, obj(spec), manager=manager, force=False, schema=kind, now="2026-01-01T00:00:00Z"
    )
    kind.decode(new)
    return new


def test_apply_follows_the_list_types(foo: KindSchema) -> None:
    live = apply(None, {"m": [{"k": "a", "v": 1}], "set": ["x"], "atoms": ["q"]}, "one", foo)
    live = apply(live, {"m": [{"k": "b", "v": 2}], "set": ["y"]}, "two", foo)
    assert live["spec"] == {
        "m": [{"k": "a", "v": 1}, {"k": "b", "v": 2}],
        "set": ["x", "y"],
        "atoms": ["q"],
    }
    assert live["metadata"]["managedFields"][1]["fieldsV1"] == {
        "f:spec": {
            "f:m": {'k:{"k":"b"}': {".": {}, "f:k": {}, "f:v": {}}},
            "f:set": {'v:"y"': {}},
        }
    }
    with pytest.raises(Conflict) as caught:
        apply(live, {"atoms": ["r"]}, "two", foo)
    assert caught.value.details["causes"][0]["field"] == ".spec.atoms"
    live = apply(live, {"atoms": ["q"]}, "one", foo)
    assert live["spec"] == {"m": [{"k": "b", "v": 2}], "set": ["y"], "atoms": ["q"]}


def test_free_form_objects_are_merged_field_by_field(foo: KindSchema) -> None:
    live = apply(None, {"any": {"a": {"b": 1}}}, "one", foo)
    live = apply(live, {"any": {"a": {"c": 2}}}, "two", foo)
    assert live["spec"]["any"] == {"a": {"b": 1, "c": 2}}
