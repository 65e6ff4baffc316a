"""Where a JSON text breaks, in the words of Go's scanner, and which keys it repeats.

Only bad or unusual bodies come here; the fast path is orjson. Source of the texts:
Go's `encoding/json/scanner.go`; of the duplicate paths: sigs.k8s.io/json.
"""

import json
from typing import Any

_SPACE = " \t\r\n"
_END = "unexpected end of JSON input"
_DIGITS = "0123456789"

TOO_DEEP = "exceeded max depth"
DEPTH_MAX = 200
"""Deepest nesting of a body. Go's limit is 10 000; what walks objects here is recursive, and no
real object is nested deeper than a few dozen levels."""


class JsonSyntaxError(ValueError):
    """The message is Go's."""


def quoted_char(char: str) -> str:
    """A character as Go's scanner quotes it."""
    if char == "'":
        return r"'\''"
    if char == '"':
        return "'\"'"
    spelled = json.dumps(char, ensure_ascii=not char.isprintable())[1:-1]
    if spelled.startswith("\\u00"):
        spelled = f"\\x{spelled[4:]}"
    return f"'{spelled}'"


def _unexpected(char: str, context: str) -> JsonSyntaxError:
    return JsonSyntaxError(f"invalid character {quoted_char(char)} {context}")


class _Scanner:
    """Recursive descent over the text; raises at the byte where Go's state machine would."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def _next(self) -> str:
        """Consume one character; running out is an error everywhere this is called."""
        if self._at >= len(self._text):
            raise JsonSyntaxError(_END)
        char = self._text[self._at]
        self._at += 1
        return char

    def _next_solid(self) -> str:
        while True:
            char = self._next()
            if char not in _SPACE:
                return char

    def document(self) -> None:
        self.value(self._next_solid())
        for char in self._text[self._at :]:
            if char not in _SPACE:
                raise _unexpected(char, "after top-level value")

    def value(self, char: str, context: str = "looking for beginning of value") -> None:
        if char == "{":
            self._nested(self._object)
        elif char == "[":
            self._nested(self._array)
        elif char == '"':
            self._string()
        elif char == "-" or char in _DIGITS:
            self._number(char)
        elif char in "tfn":
            self._literal({"t": "true", "f": "false", "n": "null"}[char])
        else:
            raise _unexpected(char, context)

    def _nested(self, read: Any) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise JsonSyntaxError(TOO_DEEP)
        read()
        self._depth -= 1

    def _object(self) -> None:
        char = self._next_solid()
        if char == "}":
            return
        while True:
            if char != '"':
                raise _unexpected(char, "looking for beginning of object key string")
            self._string()
            char = self._next_solid()
            if char != ":":
                raise _unexpected(char, "after object key")
            self.value(self._next_solid())
            char = self._next_solid()
            if char == "}":
                return
            if char != ",":
                raise _unexpected(char, "after object key:value pair")
            char = self._next_solid()

    def _array(self) -> None:
        char = self._next_solid()
        if char == "]":
            return
        while True:
            self.value(char)
            char = self._next_solid()
            if char == "]":
                return
            if char != ",":
                raise _unexpected(char, "after array element")
            char = self._next_solid()

    def _string(self) -> None:
        while True:
            char = self._next()
            if char == '"':
                return
            if char == "\\":
                escape = self._next()
                if escape == "u":
                    for _ in range(4):
                        digit = self._next()
                        if digit not in "0123456789abcdefABCDEF":
                            raise _unexpected(digit, r"in \u hexadecimal character escape")
                elif escape not in 'bfnrt\\/"':
                    raise _unexpected(escape, "in string escape code")
            elif char < " ":
                raise _unexpected(char, "in string literal")

    def _literal(self, word: str) -> None:
        for expected in word[1:]:
            char = self._next()
            if char != expected:
                context = f"in literal {word} (expecting {quoted_char(expected)})"
                raise _unexpected(char, context)

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _digits(self) -> None:
        while (char := self._peek()) and char in _DIGITS:
            self._at += 1

    def _number(self, char: str) -> None:
        if char == "-":
            char = self._next()
            if char not in _DIGITS:
                raise _unexpected(char, "in numeric literal")
        if char != "0":
            self._digits()
        if self._peek() == ".":
            self._at += 1
            char = self._next()
            if char not in _DIGITS:
                raise _unexpected(char, "after decimal point in numeric literal")
            self._digits()
        if self._peek() in ("e", "E"):
            self._at += 1
            char = self._next()
            if char in "+-":
                char = self._next()
            if char not in _DIGITS:
                raise _unexpected(char, "in exponent of numeric literal")
            self._digits()


def check_syntax(text: str) -> None:
    """Raise JsonSyntaxError where Go would refuse the text."""
    _Scanner(text).document()


def too_deep(value: Any) -> bool:
    """Is the value nested deeper than bodies may be?"""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH_MAX + 1:
            return True
        following: list[Any] = []
        for node in level:
            if type(node) is dict:
                following.extend(node.values())
            elif type(node) is list:
                following.extend(node)
        level = following
    return False


class _Pairs(list[tuple[str, Any]]):
    """An object with its pairs as written, repeated keys included."""


def _merged(old: Any, new: Any) -> Any:
    """Go decodes a repeated key into the value it already has, so objects merge."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _walk(node: Any, path: str, found: list[str]) -> Any:
    """The plain value of a tree of _Pairs, noting repeated keys in the order of the text."""
    if isinstance(node, _Pairs):
        result: dict[str, Any] = {}
        for key, child in node:
            here = _joined(path, key)
            if key in result:
                found.append(here)
                result[key] = _merged(result[key], _walk(child, here, found))
            else:
                result[key] = _walk(child, here, found)
        return result
    if isinstance(node, list):
        return [_walk(child, f"{path}[{index}]", found) for index, child in enumerate(node)]
    if isinstance(node, str):
        return node.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return node


def read_slowly(text: str) -> tuple[Any, list[str]]:
    """The value and the paths of repeated keys. The text must be valid JSON."""
    tree = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
    found: list[str] = []
    value = _walk(tree, "", found)
    return value, list(dict.fromkeys(found))


def _refuse_constant(word: str) -> Any:
    raise _unexpected(word[0], "looking for beginning of value")
