"""From the bytes of a body to plain values, with upstream's complaints.

Owns the encodings JSON and YAML and their repeated keys; what the fields mean is the schema's
work. The usual body costs one pass of orjson; anything odd takes the slow and exact path.
"""

from typing import Any

import orjson

from kapi.api.errors import BadRequest
from kapi.api.json_syntax import (
    DEPTH_MAX,
    TOO_DEEP,
    JsonSyntaxError,
    check_syntax,
    read_slowly,
    too_deep,
)
from kapi.api.yaml_syntax import YamlError, read_yaml


def _text(body: bytes) -> str:
    """Invalid UTF-8 becomes U+FFFD, as in Go."""
    return body.decode("utf-8", "replace")


def parse_json(body: bytes) -> Any:
    """The value of a JSON body; repeated keys merge as Go merges them.

    Raises BadRequest with the text of Go's scanner, e.g. `unexpected end of JSON input`.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_odd(body)
    if body.count(b"[") + body.count(b"{") > DEPTH_MAX and too_deep(value):
        raise BadRequest(TOO_DEEP)
    return read_slowly(_text(body))[0] if _may_repeat_keys(body, value) else value


def _parse_odd(body: bytes) -> Any:
    """A body that orjson refuses: wrong, or right only by Go's looser rules for Unicode."""
    text = _text(body)
    try:
        check_syntax(text)
    except JsonSyntaxError as error:
        raise BadRequest(str(error)) from error
    return read_slowly(text)[0]


def _may_repeat_keys(body: bytes, value: Any) -> bool:
    """A cheap first look: False is certain, True sends the body to the slow reader.

    A compact body that comes out the same when written again repeats no key; otherwise the
    colons of the text are counted against those the value accounts for.
    """
    if orjson.dumps(value) == body:
        return False
    return _count_keys(value) < body.count(b":") or b"\\u003" in body


def _count_keys(value: Any) -> int:
    """Keys in the whole value, plus the colons inside its texts."""
    count = 0
    pending = [value]
    while pending:
        node = pending.pop()
        if type(node) is dict:
            for key, child in node.items():
                count += 1 + key.count(":")
                if type(child) is str:
                    count += child.count(":")
                elif type(child) is dict or type(child) is list:
                    pending.append(child)
        elif type(node) is list:
            for child in node:
                if type(child) is str:
                    count += child.count(":")
                elif type(child) is dict or type(child) is list:
                    pending.append(child)
        elif type(node) is str:
            count += node.count(":")
    return count


def duplicate_fields(body: bytes) -> list[str]:
    """`duplicate field "data.a"` for every key that the JSON body repeats, in its order.

    An undecodable body has none: `parse_json` has the word about it.
    """
    try:
        value = orjson.loads(body)
        if too_deep(value) or not _may_repeat_keys(body, value):
            return []
    except orjson.JSONDecodeError:
        try:
            check_syntax(_text(body))
        except JsonSyntaxError:
            return []
    return [f'duplicate field "{path}"' for path in read_slowly(_text(body))[1]]


def parse_yaml(body: bytes) -> Any:
    """The value of the first document of a YAML body, keys sorted. Raises BadRequest."""
    return _read_yaml(body)[0]


def yaml_duplicate_keys(body: bytes) -> list[str]:
    """`line 5: key "data" already set in map` for every key that a YAML mapping repeats."""
    return _read_yaml(body)[1]


def _read_yaml(body: bytes) -> tuple[Any, list[str]]:
    try:
        return read_yaml(_text(body))
    except YamlError as error:
        raise BadRequest(f"error converting YAML to JSON: {error}") from error
