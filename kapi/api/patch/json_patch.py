"""RFC 6902 JSON patch, with the leniencies and limits of upstream's server.

Sources: RFC 6902, github.com/evanphx/json-patch as k8s.io/apiserver uses it (negative indexes
count from the end), `pkg/endpoints/handlers/patch.go` for limits and texts.
"""

import re
from typing import Any

import orjson

from kapi.api.errors import BadRequest, Invalid, RequestEntityTooLarge
from kapi.api.json_syntax import too_deep
from kapi.api.object import clone

OPERATIONS_MAX = 10_000
COPIED_BYTES_MAX = 3 * 1024 * 1024

_REFUSED = "the server rejected our request due to an error in our request"
_MISSING = object()
_index = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII).fullmatch


class _Refused(Exception):
    """An operation that cannot be applied; clients only see the one generic text."""


def _pointer(path: Any) -> list[str]:
    if not isinstance(path, str):
        raise _Refused
    if not path:
        return []
    # Like upstream, whatever stands before the first slash is not looked at.
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _position(token: str, size: int) -> int:
    """A list index; negative ones count from the end."""
    if not _index(token):
        raise _Refused
    index = int(token)
    if index < 0:
        index += size
    if not 0 <= index < size:
        raise _Refused
    return index


def _child(parent: Any, token: str) -> Any:
    if isinstance(parent, dict):
        if token not in parent:
            raise _Refused
        return parent[token]
    if isinstance(parent, list):
        return parent[_position(token, len(parent))]
    raise _Refused


def _get(document: Any, tokens: list[str]) -> Any:
    for token in tokens:
        document = _child(document, token)
    return document


def _add(document: Any, tokens: list[str], value: Any) -> Any:
    if not tokens:
        return value
    parent, token = _get(document, tokens[:-1]), tokens[-1]
    if isinstance(parent, dict):
        parent[token] = value
    elif isinstance(parent, list):
        if token == "-":
            parent.append(value)
        else:
            parent.insert(_position(token, len(parent) + 1), value)
    else:
        raise _Refused
    return document


def _replace(document: Any, tokens: list[str], value: Any) -> Any:
    if not tokens:
        return value
    parent, token = _get(document, tokens[:-1]), tokens[-1]
    _child(parent, token)
    if isinstance(parent, dict):
        parent[token] = value
    else:
        parent[_position(token, len(parent))] = value
    return document


def _remove(document: Any, tokens: list[str]) -> Any:
    if not tokens:
        raise _Refused
    parent, token = _get(document, tokens[:-1]), tokens[-1]
    _child(parent, token)
    if isinstance(parent, dict):
        del parent[token]
    else:
        del parent[_position(token, len(parent))]
    return document


def _same(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1, though 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def _value(operation: dict[str, Any]) -> Any:
    value = operation.get("value", _MISSING)
    if value is _MISSING:
        raise _Refused
    return clone(value)


class _CopyBudget:
    """Copies of copies double with each operation; their sizes are added up and limited."""

    def __init__(self) -> None:
        self._left = COPIED_BYTES_MAX

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _Refused


def _apply(document: Any, operation: dict[str, Any], budget: _CopyBudget) -> Any:
    tokens = _pointer(operation.get("path"))
    match operation.get("op"):
        case "add":
            return _add(document, tokens, _value(operation))
        case "replace":
            return _replace(document, tokens, _value(operation))
        case "remove":
            return _remove(document, tokens)
        case "move":
            source = _pointer(operation.get("from"))
            if tokens[: len(source)] == source and len(tokens) > len(source):
                raise _Refused
            moved = _get(document, source)
            return _add(_remove(document, source), tokens, moved)
        case "copy":
            source = _pointer(operation.get("from"))
            copied = orjson.dumps(_get(document, source))
            budget.spend(len(copied))
            return _add(document, tokens, orjson.loads(copied))
        case "test":
            if not _same(_get(document, tokens), _value(operation)):
                raise _Refused
            return document
        case _:
            raise _Refused


def apply_json_patch(doc: Any, patch: Any) -> Any:
    """The patched document.

    Raises BadRequest if `patch` is not a list of operations, RequestEntityTooLarge for more than
    10 000 of them, and Invalid with upstream's one generic text if an operation fails.
    """
    if not isinstance(patch, list) or not all(isinstance(one, dict) for one in patch):
        shown = "object" if isinstance(patch, dict) else "value"
        raise BadRequest(
            f"error decoding patch: json: cannot unmarshal {shown} into Go value of type"
            " jsonpatch.Patch"
        )
    if len(patch) > OPERATIONS_MAX:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(patch)}"
        )
    document = clone(doc)
    budget = _CopyBudget()
    try:
        for operation in patch:
            document = _apply(document, operation, budget)
    except _Refused:
        raise Invalid(_REFUSED) from None
    if too_deep(document):
        raise Invalid(_REFUSED)
    return document
