"""The JSONPath of printer columns, selectable fields and scale: fields, indexes, filters.

A path is `.spec.replicas`, `.metadata.labels['a\\.b']`, `.status.conditions[0].type`,
`.spec.ports[*].port`, `.status.conditions[?(@.type=="Ready")].status`. What upstream's
k8s.io/client-go `util/jsonpath` knows beyond that (unions, recursive descent, ranges over
several paths) is refused where a definition names it.
"""

import operator
import re
from dataclasses import dataclass
from typing import Any

_FIELD = re.compile(r"\.((?:[^.\[\]\\'\"]|\\.)+)")
_QUOTED = re.compile(r"\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\]")
_INDEX = re.compile(r"\[(-?\d+)\]")
_SLICE = re.compile(r"\[(-?\d*):(-?\d*)\]")
_FILTER = re.compile(
    r"\[\?\(\s*@((?:\.[A-Za-z0-9_\-]+|\[[^\]]*\])+)\s*(?:(==|!=|<=|>=|<|>)\s*"
    r"(\"[^\"]*\"|'[^']*'|-?\d+(?:\.\d+)?|true|false))?\s*\)\]"
)


@dataclass(frozen=True, slots=True)
class _Filter:
    """`[?(@.type=="Ready")]`; an empty operator asks only whether the field is there."""

    path: "JsonPath"
    operator: str
    literal: Any


_ORDER = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}

Step = str | int | slice | _Filter


class JsonPath:
    """A parsed path. Raises ValueError for what it does not know."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = _parsed(text)

    def find(self, value: Any) -> list[Any]:
        """Every value the path leads to; empty where a step finds nothing."""
        found = [value]
        for step in self.steps:
            found = [item for parent in found for item in _taken(parent, step)]
        return found

    def first(self, value: Any) -> Any:
        """The first value, None where there is none."""
        found = self.find(value)
        return found[0] if found else None

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The field names, if the path is made of nothing else."""
        names = tuple(step for step in self.steps if isinstance(step, str))
        return names if len(names) == len(self.steps) else None


def _parsed(text: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    position = 0
    while position < len(text):
        rest = text[position:]
        if rest.startswith(("[*]", ".*")):
            steps.append(slice(None))
            position += 3 if rest.startswith("[") else 2
            continue
        for pattern in (_FIELD, _QUOTED, _INDEX, _SLICE, _FILTER):
            match = pattern.match(rest)
            if match is not None:
                steps.append(_step(pattern, match))
                position += match.end()
                break
        else:
            raise ValueError(f"unrecognized characters at {rest!r}")
    return tuple(steps)


def _step(pattern: re.Pattern[str], match: re.Match[str]) -> Step:
    if pattern is _FIELD:
        return re.sub(r"\\(.)", r"\1", match[1])
    if pattern is _QUOTED:
        return re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2])
    if pattern is _INDEX:
        return int(match[1])
    if pattern is _SLICE:
        return slice(*(int(bound) if bound else None for bound in match.groups()))
    return _Filter(JsonPath(match[1]), match[2] or "", _literal(match[3]))


def _literal(text: str | None) -> Any:
    if not text:
        return None
    if text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    return float(text) if "." in text else int(text)


def _taken(value: Any, step: Step) -> list[Any]:
    if isinstance(step, str):
        return [value[step]] if isinstance(value, dict) and step in value else []
    if isinstance(step, slice) and isinstance(value, dict):
        return list(value.values()) if step == slice(None) else []
    if not isinstance(value, list):
        return []
    if isinstance(step, int):
        return [value[step]] if -len(value) <= step < len(value) else []
    if isinstance(step, slice):
        return value[step]
    return [item for item in value if _passes(item, step)]


def _passes(item: Any, step: _Filter) -> bool:
    found = step.path.find(item)
    if not step.operator:
        return bool(found)
    if not found:
        return False
    value, literal = found[0], step.literal
    if step.operator == "==":
        return bool(value == literal)
    if step.operator == "!=":
        return bool(value != literal)
    try:
        return bool(_ORDER[step.operator](value, literal))
    except TypeError:
        return False
