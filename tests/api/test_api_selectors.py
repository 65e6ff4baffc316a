"""Selectors: grammar, complaints, matching."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.api.errors import BadRequest
from kapi.api.selectors import (
    LabelSelector,
    Requirement,
    label_selector_from_object,
    parse_field_selector,
    parse_label_selector,
    set_selector,
    validate_label_selector,
)

LABELS = {"g": "x", "n": "1"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("n=1", True),
        ("n==1", True),
        ("n!=1", False),
        ("z!=1", True),
        ("n in (1,2)", True),
        (" n  in ( 1 , 2 ) ", True),
        ("n notin (1,2)", False),
        ("z notin (1)", True),
        ("n", True),
        ("!n", False),
        ("!z", True),
        ("n>0", True),
        ("n>1", False),
        ("n<2", True),
        ("g>0", False),
        ("g=x,n=2", False),
        ("n in ()", False),
        ("n=", False),
        ("in in (in)", False),
    ],
)
def test_label_selectors_match(text: str, matches: bool) -> None:
    assert parse_label_selector(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("=1", "found '=', expected: !, identifier, or 'end of string'"),
        ("n=1=2", "found '=', expected: ',' or 'end of string'"),
        ("n in (1", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("n in 1", "unable to parse requirement: found '1' expected: '('"),
        ("g,", "found '', expected: identifier after ','"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        (
            "a b=1",
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        ),
        (
            "n>abc",
            'unable to parse requirement: values[0]: Invalid value: "abc":'
            " for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "n=" + "v" * 64,
            f'unable to parse requirement: values[0][n]: Invalid value: "{"v" * 64}":'
            " must be no more than 63 bytes",
        ),
    ],
)
def test_label_selector_complaints(text: str, complaint: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_label_selector(text)
    assert caught.value.message == complaint


def test_selector_objects() -> None:
    assert not label_selector_from_object(None).matches(LABELS)
    assert label_selector_from_object({}).matches(LABELS)
    assert label_selector_from_object({}).empty
    selector = {
        "matchLabels": {"g": "x"},
        "matchExpressions": [
            {"key": "n", "operator": "In", "values": ["1", "3"]},
            {"key": "z", "operator": "DoesNotExist"},
        ],
    }
    assert label_selector_from_object(selector).matches(LABELS)
    assert not label_selector_from_object(selector).matches({**LABELS, "z": ""})
    with pytest.raises(BadRequest, match='"Is" is not a valid label selector operator'):
        label_selector_from_object({"matchExpressions": [{"key": "a", "operator": "Is"}]})
    assert set_selector({"n": "1"}).matches(LABELS)


def test_selector_object_complaints() -> None:
    bad = {
        "matchLabels": {"a b": "-"},
        "matchExpressions": [
            {"key": "k", "operator": "In"},
            {"key": "k", "operator": "Exists", "values": ["v"]},
            {"key": "k", "operator": "Is"},
        ],
    }
    found = [str(error) for error in validate_label_selector(bad, "spec.selector")]
    assert len(found) == 5
    assert found[2:] == [
        "spec.selector.matchExpressions[0].values: Required value: must be specified when"
        " `operator` is 'In' or 'NotIn'",
        "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when"
        " `operator` is 'Exists' or 'DoesNotExist'",
        'spec.selector.matchExpressions[2].operator: Invalid value: "Is": not a valid selector'
        " operator",
    ]


def test_field_selectors() -> None:
    selector = parse_field_selector(r"metadata.name=a\,b,status.phase!=Running")
    assert selector.requirements == (
        ("metadata.name", "=", "a,b"),
        ("status.phase", "!=", "Running"),
    )
    assert selector.exact("metadata.name") == "a,b"
    assert selector.matches({"metadata.name": "a,b", "status.phase": "Pending"})
    assert not selector.matches({"metadata.name": "a,b", "status.phase": "Running"})
    assert parse_field_selector("==").empty
    assert parse_field_selector(str(selector)) == selector


@pytest.mark.parametrize("text", ["metadata.name", "metadata.name in (a)"])
def test_field_selector_complaints(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_field_selector(text)
    assert caught.value.message == f"invalid selector: '{text}'; can't understand '{text}'"


keys = st.sampled_from(["a", "b", "example.com/c", "in", "notin"])
values = st.sampled_from(["", "x", "1", "in", "a_b.c"])
requirements = st.one_of(
    st.builds(lambda key: Requirement(key, "exists"), keys),
    st.builds(lambda key: Requirement(key, "!"), keys),
    st.builds(
        lambda k, op, v: Requirement(k, op, (v,)), keys, st.sampled_from(["=", "!="]), values
    ),
    st.builds(
        lambda k, op, v: Requirement(k, op, tuple(sorted(v))),
        keys,
        st.sampled_from(["in", "notin"]),
        st.sets(values, min_size=1, max_size=3),
    ),
    st.builds(
        lambda k, op, v: Requirement(k, op, (str(v),)),
        keys,
        st.sampled_from("><"),
        st.integers(-9, 9).filter(lambda number: number >= 0),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(requirements, max_size=4), st.dictionaries(keys, values))
def test_printing_and_parsing_agree(found: list[Requirement], labels: dict[str, str]) -> None:
    selector = LabelSelector(tuple(found))
    again = parse_label_selector(str(selector))
    assert sorted(map(str, again.requirements)) == sorted(map(str, found))
    assert again.matches(labels) == selector.matches(labels)


@settings(max_examples=100, deadline=None)
@given(keys, st.sets(values, min_size=1), st.dictionaries(keys, values))
def test_notin_is_the_opposite_of_in(key: str, wanted: set[str], labels: dict[str, str]) -> None:
    inside = Requirement(key, "in", tuple(wanted)).matches(labels)
    assert Requirement(key, "notin", tuple(wanted)).matches(labels) is not inside
