"""The CEL engine: one environment for evaluating rules, and its regular expressions.

The engine is Google's cel-cpp by way of `cel-expr-python`, loaded when the first rule or pattern
needs it (2 ms, 13 MB). Its regular expressions are RE2, whose language is Go's, and which cannot be
made to run forever. Beyond the standard functions there are the extensions for strings, math,
optional values and bindings, and of Kubernetes' own libraries those for lists (but not indexOf: its
name is the strings'), sets and regular expressions, and the `is...` questions of the others.
What a rule cannot use (URLs, quantities, addresses and versions as values, format libraries) makes
its definition invalid with the engine's own message.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from kapi.api.quantity import parse_quantity
from kapi.registry.custom.formats import FORMATS

HAS_OLD, OLD_VALUE = "_has_old", "_old_value"
"""Variables that an optional oldSelf is made of; no rule names them by accident."""

Evaluate = Callable[[dict[str, Any]], Any]


class CelError(Exception):
    """An expression does not compile, or did not come to a value. The message is the engine's."""


def _engine() -> Any:
    from cel_expr_python import cel

    return cel


def _extensions() -> list[Any]:
    from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

    return [
        ext_strings.ExtStrings(),
        ext_math.ExtMath(),
        ext_optional.ExtOptional(),
        ext_bindings.ExtBindings(),
    ]


@cache
def _plain_environment() -> Any:
    """Where rules are evaluated: self and oldSelf are whatever they turn out to be."""
    cel = _engine()
    names = ("self", "oldSelf", OLD_VALUE)
    return environment({**dict.fromkeys(names, cel.Type.DYN), HAS_OLD: cel.Type.BOOL})


def environment(variables: dict[str, Any], pool: Any = None) -> Any:
    """An environment with every function rules may use, for these variables and types."""
    return _engine().NewEnv(
        pool, variables=variables, extensions=_extensions(), functions=_functions()
    )


def compiled(env: Any, expression: str) -> Any:
    """The compiled expression. Raises CelError with the engine's text, cleaned of its frame."""
    try:
        return env.compile(expression)
    except RuntimeError as error:
        text = str(error).removeprefix("INVALID_ARGUMENT: ")
        text = re.sub(r" \[[A-Z_]+\]$", "", text)
        text = re.sub(r"(undefined field '[^']*') not found in struct '[^']*'", r"\1", text)
        raise CelError(text) from None


def evaluator(expression: str) -> Evaluate:
    """A function from variables to the expression's value. It raises CelError."""
    program = compiled(_plain_environment(), expression)
    error_type = _engine().Type.ERROR

    def evaluate(variables: dict[str, Any]) -> Any:
        try:
            result = program.eval(data=variables)
        except (RuntimeError, ValueError, TypeError) as error:
            raise CelError(str(error)) from None
        if result.type() == error_type:
            raise CelError(_evaluation_error(str(result.plain_value())))
        return result.plain_value()

    return evaluate


def _evaluation_error(text: str) -> str:
    text = re.sub(r"^[A-Z_]+: ", "", text)
    missing = re.match(r'Key not found in map : "(.*)"$', text)
    return f"no such key: {missing[1]}" if missing else text


# Regular expressions -------------------------------------------------------------------------


@cache
def _matching() -> Any:
    cel = _engine()
    env = cel.NewEnv(variables={"text": cel.Type.STRING, "pattern": cel.Type.STRING})
    return env.compile("text.matches(pattern)")


def matches(text: str, pattern: str) -> bool:
    """Does the pattern match anywhere in the text? A pattern that is none matches nothing."""
    return _matching().eval(data={"text": text, "pattern": pattern}).plain_value() is True


_RE2_TO_GO = (
    ("missing ): ", "missing closing ): "),
    ("missing ]: ", "missing closing ]: "),
    ("no argument for repetition operator: ", "missing argument to repetition operator: "),
    ("bad repetition operator: ", "invalid nested repetition operator: "),
    ("invalid repetition size: ", "invalid repeat count: "),
    ("invalid perl operator: ", "invalid or unsupported Perl syntax: "),
)


def pattern_error(pattern: str) -> str:
    """Why the pattern is no regular expression, as Go says it; empty if it is one."""
    found = _matching().eval(data={"text": "", "pattern": pattern}).plain_value()
    if isinstance(found, bool):
        return ""
    text = str(found).rpartition("invalid regular expression: ")[2]
    for theirs, gos in _RE2_TO_GO:
        if text.startswith(theirs):
            text = gos + text.removeprefix(theirs)
            break
    reason, _colon, part = text.partition(": ")
    if not part or reason.startswith(("missing closing ]", "missing closing )")):
        part = pattern[pattern.rfind("[") :] if reason.endswith("]") else pattern
    return f"error parsing regexp: {reason}: `{part}`"


# Functions -----------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """A list or scalar as Python has it."""
    if hasattr(value, "plain_value"):
        return value.plain_value()
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _total(values: list[Any]) -> Any:
    items = [_plain(item) for item in values]
    return sum(items[1:], items[0]) if items else 0


def _is_sorted(values: list[Any]) -> bool:
    items = [_plain(item) for item in values]
    return all(left <= right for left, right in itertools.pairwise(items))


def _find(text: str, pattern: str) -> str:
    found = _found(text, pattern, 1)
    return found[0] if found else ""


def _found(text: str, pattern: str, limit: int) -> list[str]:
    """The engine finds whether, not where: Python's own matcher does, on checked patterns."""
    if pattern_error(pattern):
        raise ValueError(pattern_error(pattern))
    found = [match[0] for match in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except ValueError:
        return False
    return True


def _contains(whole: list[Any], part: list[Any]) -> bool:
    items = [_plain(item) for item in whole]
    return all(_plain(item) in items for item in part)


def _functions() -> Sequence[Any]:
    cel = _engine()
    kinds = cel.Type
    several = kinds.List(kinds.DYN)

    def declare(name: str, *overloads: Any) -> Any:
        return cel.FunctionDecl(name, list(overloads))

    def member(name: str, returns: Any, takes: list[Any], run: Callable[..., Any]) -> Any:
        return cel.Overload(name, returns, takes, True, run)

    def question(name: str, run: Callable[..., bool]) -> Any:
        return declare(name, cel.Overload(f"{name}_string", kinds.BOOL, [kinds.STRING], False, run))

    def of_sets(name: str, run: Callable[..., bool]) -> Any:
        overload = cel.Overload(f"sets_{name}", kinds.BOOL, [several, several], False, run)
        return declare(f"sets.{name}", overload)

    def either(a: list[Any], b: list[Any]) -> bool:
        items = [_plain(item) for item in a]
        return any(_plain(item) in items for item in b)

    text, whole = kinds.STRING, kinds.INT
    return (
        declare("sum", member("list_sum", kinds.DYN, [several], _total)),
        declare("min", member("list_min", kinds.DYN, [several], lambda v: min(map(_plain, v)))),
        declare("max", member("list_max", kinds.DYN, [several], lambda v: max(map(_plain, v)))),
        declare("isSorted", member("list_is_sorted", kinds.BOOL, [several], _is_sorted)),
        declare("find", member("string_find", text, [text, text], _find)),
        declare(
            "findAll",
            member(
                "string_find_all", kinds.List(text), [text, text], lambda t, p: _found(t, p, -1)
            ),
            member("string_find_all_n", kinds.List(text), [text, text, whole], _found),
        ),
        question("isQuantity", _is_quantity),
        question("isURL", FORMATS["uri"]),
        question("isIP", lambda value: FORMATS["ipv4"](value) or FORMATS["ipv6"](value)),
        question("isCIDR", FORMATS["cidr"]),
        of_sets("contains", _contains),
        of_sets("equivalent", lambda a, b: _contains(a, b) and _contains(b, a)),
        of_sets("intersects", either),
    )
