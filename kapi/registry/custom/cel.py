"""The CEL engine: one environment for evaluating rules, and its regular expressions.

The engine is Google's cel-cpp by way of `cel-expr-python`, loaded when the first rule or pattern
needs it (2 ms, 13 MB). Its regular expressions are RE2, whose language is Go's, and which cannot be
made to run forever. Beyond the standard functions there are its extensions for strings, math, sets,
optional values, bindings and comprehensions of two variables, and Kubernetes' own functions. What a
rule cannot use makes its definition invalid, with the engine's own message.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from kapi.registry.custom.cel_libraries import functions, value_pool

HAS_OLD, OLD_VALUE = "_has_old", "_old_value"
"""Variables that an optional oldSelf is made of; no rule names them by accident."""

Evaluate = Callable[[dict[str, Any]], Any]


class CelError(Exception):
    """An expression does not compile, or did not come to a value. The message is the engine's."""


def _engine() -> Any:
    from cel_expr_python import cel

    return cel


_EXTENSIONS = """
extensions:
- name: bindings
- name: math
- name: optional
- name: sets
- name: strings
- name: two-var-comprehensions
"""


@cache
def _plain_environment() -> Any:
    """Where rules are evaluated: self and oldSelf are whatever they turn out to be."""
    cel = _engine()
    names = ("self", "oldSelf", OLD_VALUE)
    return environment({**dict.fromkeys(names, cel.Type.DYN), HAS_OLD: cel.Type.BOOL})


def environment(variables: dict[str, Any], pool: Any = None) -> Any:
    """An environment with every function rules may use, for these variables and their types.

    `pool` holds the message types of the variables, and those of `cel_libraries`.
    """
    cel = _engine()
    return cel.NewEnv(
        pool or value_pool(),
        config=cel.NewEnvConfigFromYaml(_EXTENSIONS),
        variables=variables,
        functions=functions(),
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
