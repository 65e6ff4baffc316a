"""Strategic merge: lists by key, directives, order, and upstream's complaints."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.api.errors import ApiError, BadRequest
from kapi.api.patch.strategic_merge import apply_strategic_merge
from kapi.api.schema import kind_schema

_deployment = kind_schema("apps", "v1", "Deployment")
assert _deployment is not None
ROOT = _deployment.root


def deployment(containers: list[Any], **pod: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": containers, **pod}}}}


def merged(containers: list[Any], patch: dict[str, Any]) -> list[Any]:
    """The containers after a patch of the pod's spec."""
    doc = deployment(containers)
    before = copy.deepcopy((doc, patch))
    result = apply_strategic_merge(doc, {"spec": {"template": {"spec": patch}}}, ROOT)
    assert (doc, patch) == before
    found = result["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, list)
    return found


C = {"name": "c", "image": "i", "args": ["x", "y"]}
D = {"name": "d", "image": "i"}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"containers": [{"name": "d", "image": "j"}]}, [C, {**D, "image": "j"}]),
        ({"containers": [{"name": "e", "image": "k"}]}, [{"name": "e", "image": "k"}, C, D]),
        ({"containers": [{"name": "c", "args": ["z"]}]}, [{**C, "args": ["z"]}, D]),
        ({"containers": [{"name": "c", "args": None}]}, [{"name": "c", "image": "i"}, D]),
        ({"containers": [{"name": "d", "$patch": "delete"}]}, [C]),
        ({"containers": [{"name": "zz", "$patch": "delete"}]}, [C, D]),
        ({"containers": [{"name": "q"}, {"$patch": "replace"}]}, [{"name": "q"}]),
        ({"$setElementOrder/containers": [{"name": "d"}, {"name": "c"}]}, [D, C]),
        (
            {
                "$setElementOrder/containers": [{"name": "e"}, {"name": "c"}],
                "containers": [{"name": "e"}],
            },
            [{"name": "e"}, C, D],
        ),
    ],
)
def test_lists_merge_by_key(patch: dict[str, Any], expected: list[Any]) -> None:
    assert merged([C, D], patch) == expected


def test_keys_are_those_of_the_patch_not_of_apply() -> None:
    ports = [{"containerPort": 80, "protocol": "TCP"}]
    patch = {"containers": [{"name": "c", "ports": [{"containerPort": 80, "protocol": "UDP"}]}]}
    (found,) = merged([{"name": "c", "ports": ports}], patch)
    assert found["ports"] == [{"containerPort": 80, "protocol": "UDP"}]


def test_retain_keys() -> None:
    doc = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert apply_strategic_merge(doc, patch, ROOT) == {"spec": {"strategy": {"type": "Recreate"}}}
    patch["spec"]["strategy"]["rollingUpdate"] = {}
    with pytest.raises(BadRequest, match="invalid patch format of retainKeys"):
        apply_strategic_merge(doc, patch, ROOT)


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"finalizers": ["e/d", "e/a"]}, ["e/d", "e/a", "e/c"]),
        ({"$deleteFromPrimitiveList/finalizers": ["e/a"]}, ["e/c"]),
        ({"$setElementOrder/finalizers": ["e/c", "e/a"]}, ["e/c", "e/a"]),
        ({"finalizers": None}, None),
    ],
)
def test_primitive_lists(patch: dict[str, Any], expected: list[str] | None) -> None:
    doc = {"metadata": {"finalizers": ["e/a", "e/c"]}}
    result = apply_strategic_merge(doc, {"metadata": patch}, ROOT)
    assert result["metadata"].get("finalizers") == expected


def test_maps_are_replaced_or_deleted_on_request() -> None:
    doc = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    replace = {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}
    assert apply_strategic_merge(doc, replace, ROOT) == {"metadata": {"labels": {"c": "3"}}}
    delete = {"metadata": {"labels": {"$patch": "delete"}}}
    assert apply_strategic_merge(doc, delete, ROOT) == {"metadata": {"labels": {}}}


def test_what_is_new_comes_without_nulls_and_directives() -> None:
    patch = deployment(
        [{"name": "c", "env": [{"name": "A", "$patch": "delete"}, {"name": "B", "value": None}]}],
        nodeSelector={"a": None, "c": "d"},
    )
    assert apply_strategic_merge({}, patch, ROOT) == deployment(
        [{"name": "c", "env": [{"name": "B"}]}], nodeSelector={"c": "d"}
    )


@pytest.mark.parametrize(
    ("patch", "code", "complaint"),
    [
        (
            {"containers": [{"image": "k"}]},
            500,
            "map: map[image:k] does not contain declared merge key: name",
        ),
        (
            {
                "$setElementOrder/containers": [{"name": "c"}],
                "containers": [{"name": "d", "image": "t"}],
            },
            500,
            "The order in patch list:\n[map[image:t name:d]]\n doesn't match $setElementOrder"
            " list:\n[map[name:c]]\n",
        ),
        (
            {"containers": [{"name": "c", "$patch": "leap"}]},
            500,
            "unknown patch type: leap in map: map[$patch:leap name:c]",
        ),
        (
            {"$setElementOrder": []},
            400,
            "invalid patch format of setElementOrder list",
        ),
        ({"containers": [[]]}, 422, "lists of lists are not supported"),
    ],
)
def test_complaints(patch: dict[str, Any], code: int, complaint: str) -> None:
    with pytest.raises(ApiError) as caught:
        merged([C, D], patch)
    assert caught.value.message == complaint
    assert caught.value.code == code


names = st.sampled_from("abcdef")
containers = st.lists(
    st.builds(lambda name, image: {"name": name, "image": image}, names, st.sampled_from("xyz")),
    max_size=5,
    unique_by=lambda item: item["name"],
)


@settings(max_examples=120, deadline=None)
@given(containers, containers)
def test_merging_keeps_every_name_once_and_is_idempotent(
    live: list[dict[str, str]], patch: list[dict[str, str]]
) -> None:
    once = merged(live, {"containers": patch})
    found = [item["name"] for item in once]
    assert sorted(found) == sorted({item["name"] for item in (*live, *patch)})
    assert [name for name in found if name in {item["name"] for item in patch}] == [
        item["name"] for item in patch
    ]
    images = {item["name"]: item["image"] for item in (*live, *patch)}
    assert all(item["image"] == images[item["name"]] for item in once)
    assert merged(once, {"containers": patch}) == once


@settings(max_examples=120, deadline=None)
@given(containers, st.permutations("abcdef"))
def test_an_order_sorts_what_it_names(live: list[dict[str, str]], order: list[str]) -> None:
    result = merged(live, {"$setElementOrder/containers": [{"name": name} for name in order]})
    found = [item["name"] for item in result]
    assert found == sorted((item["name"] for item in live), key=order.index)
