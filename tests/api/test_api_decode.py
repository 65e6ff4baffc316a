"""Bodies: JSON with Go's complaints, repeated keys, YAML with go-yaml's scalars."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.api.decode import duplicate_fields, parse_json, parse_yaml, yaml_duplicate_keys
from kapi.api.errors import BadRequest


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b'{"apiVersion":"v1",', "unexpected end of JSON input"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b"", "unexpected end of JSON input"),
        (b"  \n", "unexpected end of JSON input"),
        (b'{"a":1} x', "invalid character 'x' after top-level value"),
        (b'{"a":"\\q"}', "invalid character 'q' in string escape code"),
        (b'{"a":"a\tb"}', "invalid character '\\t' in string literal"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b"nul", "unexpected end of JSON input"),
        (b"nuL", "invalid character 'L' in literal null (expecting 'l')"),
        (b"01", "invalid character '1' after top-level value"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"[" * 10001, "exceeded max depth"),
        (b"[" * 300 + b"]" * 300, "exceeded max depth"),
    ],
)
def test_json_complaints(body: bytes, complaint: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json(body)
    assert caught.value.message == complaint


def test_repeated_keys_merge_and_are_named() -> None:
    body = b'{"data":{"a":"1","a":"2"},"data":{"b":"3"},"l":[{"x":1,"x":2}]}'
    assert parse_json(body) == {"data": {"a": "2", "b": "3"}, "l": [{"x": 2}]}
    assert duplicate_fields(body) == [
        'duplicate field "data.a"',
        'duplicate field "data"',
        'duplicate field "l[0].x"',
    ]
    assert duplicate_fields(b'[{"op":"add","value":1,"value":2}]') == [
        'duplicate field "[0].value"'
    ]
    assert duplicate_fields(b"{") == []


def test_unicode_is_read_as_go_does() -> None:
    assert parse_json(b'{"a":"\\ud800x\xff"}') == {"a": "\ufffdx\ufffd"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(json_values, st.booleans())
def test_ordinary_bodies_come_through(value: object, spaced: bool) -> None:
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 if spaced else 0)
    assert parse_json(body) == value
    assert duplicate_fields(body) == []


def test_yaml_scalars() -> None:
    body = b"""\
name: y
mode: 0644
float: 1e3
text: "yes"
time: 2001-01-01
sexagesimal: 1:30
nothing: ~
tagged: !!str 1
eight: 08
1: a
base: &base {p: 1}
derived: {<<: *base, q: 2}
"""
    assert parse_yaml(body) == {
        "name": True,
        "mode": 420,
        "float": 1000,
        "text": "yes",
        "time": "2001-01-01",
        "sexagesimal": "1:30",
        "nothing": None,
        "tagged": "1",
        "eight": 8,
        "1": "a",
        "base": {"p": 1},
        "derived": {"p": 1, "q": 2},
    }


def test_yaml_repeated_keys() -> None:
    body = b'a: 1\nb:\n  c: 1\n  c: 2\ndata: {a: "1"}\ndata: {b: "2"}\n'
    assert yaml_duplicate_keys(body) == [
        'line 4: key "c" already set in map',
        'line 6: key "data" already set in map',
    ]
    assert parse_yaml(body) == {"a": 1, "b": {"c": 2}, "data": {"b": "2"}}


def test_yaml_has_one_document_and_sorted_keys() -> None:
    assert list(parse_yaml(b"b: 1\na: 2\n---\nc: 3\n")) == ["a", "b"]


@pytest.mark.parametrize(
    "body", [b"a: [", b"a:\n\tb: 1\n", b"a: b: c", b"&x [*x, *x]", b"[" * 300 + b"]" * 300]
)
def test_bad_yaml(body: bytes) -> None:
    with pytest.raises(BadRequest, match="error converting YAML to JSON"):
        parse_yaml(body)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"a: [", "yaml: line 1: did not find expected node content"),
        (b"a:\n\tb: 1\n", "yaml: line 2: found character that cannot start any token"),
        (b"a: b: c", "yaml: mapping values are not allowed in this context"),
    ],
)
def test_yaml_complaints_are_go_yamls(body: bytes, complaint: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_yaml(body)
    assert caught.value.message == f"error converting YAML to JSON: {complaint}"


def test_yaml_bombs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(BadRequest, match="excessive aliasing"):
        parse_yaml("\n".join(lines).encode())


@pytest.mark.parametrize(
    "text, value",
    [
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("18446744073709551616", 18446744073709551616.0),
        ("9" * 5000, "9" * 5000),
        ("0b_", "0b_"),
        ("0o17", 15),
        ("017", 15),
        ("08", 8),
    ],
)
def test_yaml_numbers_have_64_bits(text: str, value: object) -> None:
    read = parse_yaml(f"a: {text}".encode())["a"]
    assert (read, type(read)) == (value, type(value))
