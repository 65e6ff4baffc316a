"""JSON patch and merge patch: the RFCs' rules, limits, and properties over random documents."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.api.errors import BadRequest, Invalid, RequestEntityTooLarge
from kapi.api.patch.json_patch import apply_json_patch
from kapi.api.patch.merge_patch import apply_merge_patch

DOC = {"a": {"b": [1, 2, 3], "c/d": "x", "e~f": "y"}, "n": None, "t": True}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/z", "value": 1}], {**DOC, "z": 1}),
        ([{"op": "replace", "path": "", "value": {"w": 1}}], {"w": 1}),
        ([{"op": "test", "path": "/a/c~1d", "value": "x"}], DOC),
        ([{"op": "test", "path": "/a/e~0f", "value": "y"}], DOC),
        ([{"op": "test", "path": "/n", "value": None}], DOC),
        ([], DOC),
    ],
)
def test_operations_on_objects(operations: list[dict[str, Any]], expected: Any) -> None:
    assert apply_json_patch(DOC, operations) == expected


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/-", "value": 9}, [1, 2, 3, 9]),
        ({"op": "add", "path": "/0", "value": 9}, [9, 1, 2, 3]),
        ({"op": "add", "path": "/3", "value": 9}, [1, 2, 3, 9]),
        ({"op": "replace", "path": "/1", "value": 9}, [1, 9, 3]),
        ({"op": "remove", "path": "/0"}, [2, 3]),
        ({"op": "remove", "path": "/-1"}, [1, 2]),
        ({"op": "move", "from": "/0", "path": "/2"}, [2, 3, 1]),
        ({"op": "copy", "from": "/0", "path": "/-"}, [1, 2, 3, 1]),
    ],
)
def test_operations_on_lists(operation: dict[str, Any], expected: list[int]) -> None:
    assert apply_json_patch([1, 2, 3], [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/a/b/9"},
        {"op": "add", "path": "/a/b/9", "value": 1},
        {"op": "add", "path": "/a/b/x", "value": 1},
        {"op": "add", "path": "/a/b/01", "value": 1},
        {"op": "add", "path": "/nope/x", "value": 1},
        {"op": "add", "path": "/z"},
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "remove", "path": "/nope"},
        {"op": "test", "path": "/t", "value": 1},
        {"op": "test", "path": "/nope", "value": None},
        {"op": "move", "from": "/a", "path": "/a/b"},
        {"op": "leap", "path": "/a"},
        {"op": "add", "path": 5, "value": 1},
    ],
)
def test_operations_that_cannot_be_applied(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        apply_json_patch(DOC, [operation])
    assert caught.value.message == "the server rejected our request due to an error in our request"


def test_limits() -> None:
    test = {"op": "test", "path": "/t", "value": True}
    assert apply_json_patch(DOC, [test] * 10_000) == DOC
    with pytest.raises(RequestEntityTooLarge, match="maximum operations in a JSON patch is 10000"):
        apply_json_patch(DOC, [test] * 10_001)
    with pytest.raises(BadRequest):
        apply_json_patch(DOC, {"op": "add"})
    doubling = [{"op": "copy", "from": "", "path": f"/{step}"} for step in range(40)]
    with pytest.raises(Invalid):
        apply_json_patch(DOC, doubling)
    deeper = [{"op": "add", "path": "/a" * depth, "value": {}} for depth in range(1, 400)]
    with pytest.raises(Invalid):
        apply_json_patch({}, deeper)


@pytest.mark.parametrize(
    ("doc", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "b"}, ["c"], ["c"]),
    ],
)
def test_merge_patch_examples_of_the_rfc(doc: Any, patch: Any, expected: Any) -> None:
    assert apply_merge_patch(doc, patch) == expected


scalars = st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=3)
documents = st.dictionaries(
    st.text("abc/~", min_size=1, max_size=3),
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("abc/~", max_size=3), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=4,
)


def merge_diff(old: Any, new: Any) -> Any:
    """A merge patch from one document without nulls to another."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old or type(old[key]) is not type(value) or old[key] != value:
            patch[key] = merge_diff(old.get(key), value)
    return patch


def json_diff(old: Any, new: Any, path: str = "") -> list[dict[str, Any]]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [{"op": "replace", "path": path, "value": new}]
    operations: list[dict[str, Any]] = []
    for key in old:
        here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in new:
            operations.append({"op": "remove", "path": here})
        else:
            operations += json_diff(old[key], new[key], here)
    for key in new:
        if key not in old:
            here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            operations.append({"op": "add", "path": here, "value": new[key]})
    return operations


@settings(max_examples=120, deadline=None)
@given(documents, documents)
def test_a_merge_diff_leads_to_the_other_document(old: Any, new: Any) -> None:
    before = copy.deepcopy(old)
    patch = merge_diff(old, new)
    assert apply_merge_patch(old, patch) == new
    assert old == before
    assert apply_merge_patch(new, patch) == new


@settings(max_examples=120, deadline=None)
@given(documents, documents)
def test_a_json_diff_leads_to_the_other_document(old: Any, new: Any) -> None:
    before = copy.deepcopy(old)
    assert apply_json_patch(old, json_diff(old, new)) == new
    assert old == before
