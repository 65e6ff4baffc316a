"""YAML as upstream's server reads it: converted to JSON, with go-yaml's rules for scalars.

PyYAML's own resolver follows YAML 1.1 more closely than go-yaml does (sexagesimal numbers,
timestamps); this loader keeps PyYAML's parser and replaces the rules.
Source: sigs.k8s.io/yaml with its fork of go-yaml v2 (`resolve.go`).
"""

import re
from collections.abc import Callable
from math import isinf
from typing import Any

import yaml

from kapi.api.json_syntax import DEPTH_MAX, TOO_DEEP

_BOOLEANS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE"), True),
    **dict.fromkeys(("on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE"), False),
    **dict.fromkeys(("off", "Off", "OFF"), False),
}
_NULLS = ("", "~", "null", "Null", "NULL")
# Styles of scalars that are texts whatever they look like.
_QUOTED = ("'", '"', "|", ">")
_integer = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)").fullmatch
_float = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?").fullmatch


# 64 bits written in base 2, with its prefix.
_INTEGER_DIGITS_MAX = 66

_STR = "tag:yaml.org,2002:str"

_ALIASED_NODES_MAX = 400_000
"""What go-yaml lets aliases add before it looks at their share."""


class YamlError(ValueError):
    """The text is not YAML that can become JSON."""


def _scalar(text: str) -> Any:
    """What an unquoted scalar means."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    whole = _whole(text) if _integer(text) else None
    if whole is not None:
        return whole
    if _float(text):
        number = float(text)
        if isinf(number):
            return text
        # JSON made by Go writes whole numbers without a fraction.
        return int(number) if number.is_integer() and abs(number) < 1e15 else number
    return text


def _whole(text: str) -> int | None:
    """The integer, None for what only looks like one or has more than 64 bits."""
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    octal = len(digits) > 1 and digits.startswith("0") and digits.strip("01234567") == ""
    if len(digits) > _INTEGER_DIGITS_MAX:
        return None
    try:
        value = sign * int(digits, 8 if octal else 0)
    except ValueError:
        return None
    return value if -(2**63) <= value < 2**64 else None


def _key(value: Any) -> str:
    """A mapping key as JSON needs it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return value
    raise YamlError("unsupported map key: only scalars can be keys")


class _Reader:
    """Node tree to plain value; collects the keys that a mapping repeats."""

    def __init__(self, resolve: Callable[..., str], length: int) -> None:
        self._resolve = resolve
        self.duplicates: list[str] = []
        self._open: list[yaml.Node] = []
        # A text without aliases has no more nodes than characters.
        self._budget = _ALIASED_NODES_MAX + length

    def read(self, node: yaml.Node | None) -> Any:
        if node is None:
            return None
        self._budget -= 1
        if self._budget < 0 or node in self._open:
            raise YamlError("document contains excessive aliasing")
        if len(self._open) > DEPTH_MAX:
            raise YamlError(TOO_DEEP)
        if isinstance(node, yaml.ScalarNode):
            return self._read_scalar(node)
        self._open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.read(child) for child in node.value]
            assert isinstance(node, yaml.MappingNode)
            return self._read_mapping(node)
        finally:
            self._open.pop()

    def _read_scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        if node.style in _QUOTED or (node.tag == _STR and self._tagged(text)):
            return text
        return _scalar(text)

    def _tagged(self, text: str) -> bool:
        """Was a plain scalar tagged `!!str`? Then PyYAML's own guess was another."""
        return bool(self._resolve(yaml.ScalarNode, text, (True, False)) != _STR)

    def _read_mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        result: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value == "<<":
                merged = self.read(value_node)
                for one in merged if isinstance(merged, list) else [merged]:
                    if not isinstance(one, dict):
                        raise YamlError("map merge requires map or sequence of maps as the value")
                    inherited = {**one, **inherited}
                continue
            key = _key(self.read(key_node))
            if key in result:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f'line {line}: key "{key}" already set in map')
            result[key] = self.read(value_node)
        # JSON made from YAML has its keys in order, and messages about fields follow it.
        return dict(sorted({**inherited, **result}.items()))


def _go_text(error: yaml.YAMLError) -> str:
    """go-yaml's message; it counts lines from 0, and one more for errors of its scanner."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"yaml: {error}"
    line = 0
    if error.problem_mark is not None and error.problem_mark.line:
        line = error.problem_mark.line
        if isinstance(error, yaml.scanner.ScannerError):
            line += 1
    elif error.context_mark is not None:
        line = error.context_mark.line
    place = f"line {line}: " if line else ""
    return f"yaml: {place}{error.problem or error.context}"


def read_yaml(text: str) -> tuple[Any, list[str]]:
    """The first document's value and its repeated keys as `line 5: key "data" already set in map`.

    Raises YamlError.
    """
    loader = yaml.CSafeLoader(text)
    try:
        node = loader.get_node() if loader.check_node() else None
    except yaml.YAMLError as error:
        raise YamlError(_go_text(error)) from error
    finally:
        loader.dispose()
    reader = _Reader(loader.resolve, len(text))
    return reader.read(node), reader.duplicates
