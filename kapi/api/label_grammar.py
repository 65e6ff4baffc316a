"""Lexer and parser of label selector texts, with upstream's complaints.

Source: `Lexer` and `Parser` in k8s.io/apimachinery `pkg/labels/selector.go`. The parser keeps
upstream's order of checks, since the texts of its errors depend on it.
"""

from kapi.api.label_requirement import Requirement, SelectorError, check_key, checked

_SPACE = " \t\r\n"
_SPECIAL = "=!(),><"
_SYMBOLS = ("==", "!=", "=", "!", "(", ")", ",", ">", "<")
_OPERATORS = {"in": "in", "=": "=", "==": "=", "notin": "notin", "!=": "!=", ">": ">", "<": "<"}

# Kinds of tokens that are not symbols; a symbol's kind is its own text.
_WORD, _END = "word", "end"
Token = tuple[str, str]
"""(kind, literal)."""


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    index, size = 0, len(text)
    while index < size:
        char = text[index]
        if char in _SPACE:
            index += 1
        elif char in _SPECIAL:
            symbol = next(one for one in _SYMBOLS if text.startswith(one, index))
            found.append((symbol, symbol))
            index += len(symbol)
        else:
            start = index
            while index < size and text[index] not in _SPACE and text[index] not in _SPECIAL:
                index += 1
            word = text[start:index]
            found.append((word if word in ("in", "notin") else _WORD, word))
    found.append((_END, ""))
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def peek(self) -> Token:
        """The next token where a value may stand: `in` and `notin` are words there."""
        kind, literal = self._tokens[self._at]
        return (_WORD if kind in ("in", "notin") else kind), literal

    def take(self) -> Token:
        token = self.peek()
        self._advance()
        return token

    def _take_operator(self) -> Token:
        token = self._tokens[self._at]
        self._advance()
        return token

    def _advance(self) -> None:
        self._at = min(self._at + 1, len(self._tokens) - 1)

    def requirement(self) -> Requirement:
        absent = self.peek()[0] == "!"
        if absent:
            self.take()
        kind, key = self.take()
        if kind != _WORD:
            raise SelectorError(f"found '{key}', expected: identifier")
        check_key(key)
        if absent:
            return Requirement(key, "!")
        if self.peek()[0] in (_END, ","):
            return Requirement(key, "exists")
        kind, literal = self._take_operator()
        operator = _OPERATORS.get(kind)
        if operator is None:
            raise SelectorError(f"found '{literal}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if operator in ("in", "notin") else self._exact_value()
        return checked(Requirement(key, operator, tuple(sorted(values))))

    def _values(self) -> set[str]:
        kind, literal = self.take()
        if kind != "(":
            raise SelectorError(f"found '{literal}' expected: '('")
        kind, literal = self.peek()
        if kind == ")":
            self.take()
            return {""}
        if kind not in (_WORD, ","):
            raise SelectorError(f"found '{literal}', expected: ',', ')' or identifier")
        values = self._list()
        kind, _literal = self.take()
        if kind != ")":
            raise SelectorError(f"found '{literal}', expected: ')'")
        return values

    def _list(self) -> set[str]:
        values: set[str] = set()
        while True:
            kind, literal = self.take()
            if kind == _WORD:
                values.add(literal)
                following, text = self.peek()
                if following == ")":
                    return values
                if following != ",":
                    raise SelectorError(f"found '{text}', expected: ',' or ')'")
            elif kind == ",":
                if not values:
                    values.add("")
                following, _text = self.peek()
                if following == ")":
                    values.add("")
                    return values
                if following == ",":
                    self.take()
                    values.add("")
            else:
                raise SelectorError(f"found '{literal}', expected: ',', or identifier")

    def _exact_value(self) -> set[str]:
        kind, literal = self.peek()
        if kind in (_END, ","):
            return {""}
        self.take()
        if kind != _WORD:
            raise SelectorError(f"found '{literal}', expected: identifier")
        return {literal}


def parse_requirements(text: str) -> list[Requirement]:
    """The requirements in the order of the text. Raises SelectorError."""
    parser = _Parser(text)
    found: list[Requirement] = []
    while True:
        kind, literal = parser.peek()
        if kind == _END:
            return found
        if kind not in (_WORD, "!"):
            raise SelectorError(f"found '{literal}', expected: !, identifier, or 'end of string'")
        try:
            found.append(parser.requirement())
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from None
        kind, literal = parser.take()
        if kind == _END:
            return found
        if kind != ",":
            raise SelectorError(f"found '{literal}', expected: ',' or 'end of string'")
        kind, literal = parser.peek()
        if kind not in (_WORD, "!"):
            raise SelectorError(f"found '{literal}', expected: identifier after ','")
