"""`x-kubernetes-validations`: rules in CEL, compiled once per schema and evaluated per write.

Rules that mention oldSelf are about a change and run only where there is an old value, unless
`optionalOldSelf` says otherwise; the others are not run again on parts that did not change.
Source: k8s.io/apiextensions-apiserver `pkg/apiserver/schema/cel/validation.go`.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from kapi.api.errors import FieldError
from kapi.api.object import Object
from kapi.registry.custom.cel import HAS_OLD, OLD_VALUE, CelError, Evaluate, evaluator
from kapi.registry.custom.rule_types import escaped, text_type

_OLD = re.compile(r"\boldSelf\b")
_REASONS = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}
_ABSENT: Any = object()


def rules_of(schema: Object) -> list[Object]:
    return schema.get("x-kubernetes-validations") or []


def has_rules(schema: Object) -> bool:
    """Is there a rule anywhere in the schema?"""
    return bool(rules_of(schema)) or any(has_rules(below) for _step, below in children(schema))


def children(schema: Object) -> Iterator[tuple[str, Object]]:
    """The schemas of properties, map values (`*`) and items (`[]`)."""
    for name, below in (schema.get("properties") or {}).items():
        yield f".{name}", below
    for step, key in (("*", "additionalProperties"), ("[]", "items")):
        below = schema.get(key)
        if isinstance(below, dict):
            yield step, below


def with_old(expression: str, *, optional: bool) -> str:
    """The expression as it is compiled: an optional oldSelf is bound around it."""
    if not optional:
        return expression
    bound = f"{HAS_OLD} ? optional.of({OLD_VALUE}) : optional.none()"
    return f"cel.bind(oldSelf, {bound}, {expression})"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One rule, ready to run."""

    text: str
    run: Evaluate
    message: str
    say: Evaluate | None
    reason: str
    field_path: str
    about_change: bool
    optional_old: bool


def _rule(given: Object) -> _Rule:
    text, optional = given["rule"], bool(given.get("optionalOldSelf"))
    say = given.get("messageExpression")
    return _Rule(
        text,
        evaluator(with_old(text, optional=optional)),
        given.get("message") or "",
        evaluator(with_old(say, optional=optional)) if say else None,
        given.get("reason") or "FieldValueInvalid",
        given.get("fieldPath") or "",
        bool(_OLD.search(text)),
        optional,
    )


class Rules:
    """The rules of a schema and of everything below it. Raises CelError if one does not compile."""

    def __init__(self, schema: Object) -> None:
        self._schema = schema
        self._own = [_rule(given) for given in rules_of(schema)]
        self._below = {step: Rules(below) for step, below in children(schema) if has_rules(below)}

    def validate(self, value: Any, old: Any = _ABSENT, path: str = "") -> list[FieldError]:
        """Every rule that `value` breaks. Raises nothing: what fails to run is an error too."""
        found: list[FieldError] = []
        if self._own and value is not None:
            found += self._judge(value, old, path)
        if isinstance(value, dict):
            for key in sorted(value):
                below = self._below.get(f".{key}")
                if below is None and key not in (self._schema.get("properties") or {}):
                    below = self._below.get("*")
                if below is not None:
                    before = old.get(key, _ABSENT) if isinstance(old, dict) else _ABSENT
                    found += below.validate(value[key], before, f"{path}.{key}" if path else key)
        elif isinstance(value, list) and "[]" in self._below:
            for index, item in enumerate(value):
                before = self._before(item, old)
                found += self._below["[]"].validate(item, before, f"{path}[{index}]")
        return found

    def _before(self, item: Any, old: Any) -> Any:
        """What an item of a list with keys was before."""
        keys = self._schema.get("x-kubernetes-list-map-keys")
        if not keys or not isinstance(old, list) or not isinstance(item, dict):
            return _ABSENT
        wanted = [item.get(key) for key in keys]
        return next(
            (
                other
                for other in old
                if isinstance(other, dict) and [other.get(key) for key in keys] == wanted
            ),
            _ABSENT,
        )

    def _judge(self, value: Any, old: Any, path: str) -> list[FieldError]:
        had = old is not _ABSENT and old is not None
        unchanged = had and old == value
        before = cel_value(self._schema, old) if had else None
        variables: dict[str, Any] = {
            "self": cel_value(self._schema, value),
            "oldSelf": before,
            OLD_VALUE: before,
            HAS_OLD: had,
        }
        found = []
        for rule in self._own:
            if rule.about_change and not had and not rule.optional_old:
                continue
            if unchanged and not rule.about_change:
                continue
            error = _broken(rule, variables, path)
            if error is not None:
                found.append(error)
        return found


def _broken(rule: _Rule, variables: dict[str, Any], path: str) -> FieldError | None:
    try:
        if rule.run(variables) is True:
            return None
    except CelError as error:
        text = rule.message or rule.text
        return FieldError(
            "FieldValueInvalid",
            path or "<nil>",
            f"Invalid value: {error} evaluating rule: {text}",
        )
    where = f"{path}{rule.field_path}" if path else rule.field_path.removeprefix(".")
    return FieldError(
        rule.reason, where or "<nil>", f"{_REASONS[rule.reason]}: {_said(rule, variables)}"
    )


def _said(rule: _Rule, variables: dict[str, Any]) -> str:
    if rule.say is not None:
        try:
            text = rule.say(variables)
        except CelError:
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text.strip()
    return rule.message or f"failed rule: {rule.text}"


def cel_value(schema: Object, value: Any) -> Any:
    """A JSON value as rules see it: escaped names, times and bytes as such."""
    if isinstance(value, dict):
        properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
        spelled: Object = {}
        for key, item in value.items():
            below = properties.get(key)
            if below is not None:
                spelled[escaped(key)] = cel_value(below, item)
            elif isinstance(additional, dict):
                spelled[key] = cel_value(additional, item)
            else:
                spelled[key] = item
        return spelled
    if isinstance(value, list):
        items = schema.get("items")
        return [cel_value(items, item) for item in value] if isinstance(items, dict) else value
    if isinstance(value, str):
        return _text(schema, value)
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _text(schema: Object, value: str) -> Any:
    kind = text_type(schema)
    try:
        if kind == "timestamp":
            return _moment(value)
        if kind == "duration":
            return _duration(value)
        if kind == "bytes":
            return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return value
    return value


def _moment(value: str) -> Any:
    from google.protobuf.timestamp_pb2 import Timestamp

    stamp = Timestamp()
    stamp.FromJsonString(value.upper() if "T" in value.upper() else f"{value}T00:00:00Z")
    return stamp


_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_UNITS |= {"h": 3600 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def _duration(value: str) -> Any:
    from google.protobuf.duration_pb2 import Duration

    parts = _PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value.lstrip("-"):
        raise ValueError(value)
    nanoseconds = sum(round(float(number) * _UNITS[unit]) for number, unit in parts)
    duration = Duration()
    duration.FromNanoseconds(-nanoseconds if value.startswith("-") else nanoseconds)
    return duration


def spelled_rule(given: Object) -> str:
    """A rule as Go prints the struct in messages."""
    shown = {
        "Rule": given.get("rule") or "",
        "Message": given.get("message") or "",
        "MessageExpression": given.get("messageExpression") or "",
        "Reason": given.get("reason"),
        "FieldPath": given.get("fieldPath") or "",
        "OptionalOldSelf": given.get("optionalOldSelf"),
    }
    text = orjson.dumps(shown).decode()
    for plain, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(plain, code)
    return text
