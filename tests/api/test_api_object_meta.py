"""Metadata: what creation and update refuse, in upstream's words."""

from typing import Any

import pytest

from kapi.api.names import dns_subdomain_errors
from kapi.api.object_meta import (
    field_manager_errors,
    validate_object_meta,
    validate_object_meta_update,
)

IMMUTABLE = "field is immutable"


def complaints(meta: dict[str, Any], *, namespaced: bool = True) -> list[str]:
    found = validate_object_meta(
        meta,
        namespaced=namespaced,
        name_errors=lambda name, prefix: dns_subdomain_errors(name, prefix=prefix),
    )
    return [str(error) for error in found]


def test_good_metadata() -> None:
    meta = {
        "name": "a",
        "namespace": "default",
        "labels": {"example.com/a_b.c": "", "K": "V.v_v-v"},
        "annotations": {"EX.com/A": "anything at all é\n"},
        "finalizers": ["example.com/a", "kubernetes"],
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u"}
        ],
    }
    assert complaints(meta) == []


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({}, ["metadata.name: Required value: name or generateName is required"]),
        (
            {"name": "a", "finalizers": ["hold"]},
            [
                'metadata.finalizers[0]: Invalid value: "hold": name is neither a standard'
                " finalizer name nor is it fully qualified"
            ],
        ),
        (
            {"name": "a", "finalizers": ["orphan", "foregroundDeletion"]},
            [
                'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer'
                " orphan and foregroundDeletion cannot be both set"
            ],
        ),
        (
            {"name": "a", "ownerReferences": [{}]},
            [
                'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
                'metadata.ownerReferences.kind: Invalid value: "": must not be empty',
                'metadata.ownerReferences.name: Invalid value: "": must not be empty',
                'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
            ],
        ),
        (
            {
                "name": "a",
                "ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "u"}],
            },
            [
                "metadata.ownerReferences: Invalid value:"
                ' {"apiVersion":"v1","kind":"Event","name":"x","uid":"u"}:'
                " /v1, Kind=Event is disallowed from being an owner"
            ],
        ),
        (
            {"name": "a", "annotations": {"a": "x" * 262144}},
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            {"name": "a", "generation": -1},
            ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ],
)
def test_creation_refuses(meta: dict[str, Any], expected: list[str]) -> None:
    assert complaints({"namespace": "default", **meta}) == expected


def test_only_one_controller() -> None:
    owners = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": name, "controller": True}
        for name in ("x", "y")
    ]
    (found,) = complaints({"name": "a", "namespace": "default", "ownerReferences": owners})
    assert found.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for'
        " ConfigMap/x and ConfigMap/y"
    )


def test_namespaces() -> None:
    assert complaints({"name": "a"}) == ["metadata.namespace: Required value"]
    assert complaints({"name": "a", "namespace": "b"}, namespaced=False) == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


def test_updates_keep_what_is_immutable() -> None:
    old = {"name": "a", "uid": "1", "resourceVersion": "5", "generation": 3}
    assert validate_object_meta_update(old, old) == []
    new = {"name": "a", "uid": "2", "generation": 2}
    assert [str(error) for error in validate_object_meta_update(new, old)] == [
        'metadata.resourceVersion: Invalid value: "": must be specified for an update',
        "metadata.generation: Invalid value: 2: must not be decremented",
        f'metadata.uid: Invalid value: "2": {IMMUTABLE}',
    ]


def test_a_dying_object_gets_no_new_finalizers() -> None:
    old = {"name": "a", "resourceVersion": "5", "deletionTimestamp": "2001-01-01T00:00:00Z"}
    new = {**old, "finalizers": ["example.com/a"]}
    assert [str(error) for error in validate_object_meta_update(new, old)] == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being"
        ' deleted, found new finalizers []string{"example.com/a"}'
    ]
    assert validate_object_meta_update(old, new) == []


def test_field_managers() -> None:
    assert field_manager_errors("a b", "fieldManager") == []
    assert [str(error) for error in field_manager_errors("a\x01b", "fieldManager")] == [
        'fieldManager: Invalid value: "a\\x01b": invalid character U+0001 (at position 1)'
    ]
    assert [str(error) for error in field_manager_errors("m" * 129, "fieldManager")] == [
        "fieldManager: Too long: may not be more than 128 bytes"
    ]
