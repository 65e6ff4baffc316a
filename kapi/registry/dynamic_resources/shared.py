"""Checks that claims, classes and slices share.

Source: k8s.io/kubernetes `pkg/apis/resource/validation/validation.go`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from kapi.api.errors import (
    FieldError,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from kapi.api.names import c_identifier_errors, label_value_errors, qualified_name_errors
from kapi.api.object import Object
from kapi.registry.expressions import device_selector_errors
from kapi.registry.fields import complaints, dns_subdomain

MOST_SELECTORS = 32
MOST_CONFIGS = 32
EFFECTS = ("NoExecute", "NoSchedule", "None")
_LONGEST_EXPRESSION = 10 * 1024
_LONGEST_PARAMETERS = 10 * 1024
_LONGEST_DRIVER = 63
_LONGEST_IDENTIFIER = 32
_OPERATORS = ("Equal", "Exists")

Judge = Callable[[Any, str], list[FieldError]]


def each(
    items: Sequence[Any] | None, most: int, judge: Judge, path: str, key: str = ""
) -> list[FieldError]:
    """Complaints about a list: too long, what `judge` says of an item, doubles of field `key`."""
    items = items or []
    errors: list[FieldError] = []
    if len(items) > most:
        errors.append(too_many(path, len(items), most))
    seen: set[Any] = set()
    for index, item in enumerate(items):
        own = f"{path}[{index}]"
        errors += judge(item, own)
        if key:
            name = item.get(key) or ""
            if name in seen:
                errors.append(duplicate(own, name))
            seen.add(name)
    return errors


def selector(item: Object, path: str) -> list[FieldError]:
    cel = item.get("cel")
    if cel is None:
        return [required(f"{path}.cel")]
    expression = str(cel.get("expression") or "")
    if len(expression.encode()) > _LONGEST_EXPRESSION:
        return [too_long(f"{path}.cel.expression", _LONGEST_EXPRESSION)]
    if not expression:
        return [required(f"{path}.cel.expression")]
    return device_selector_errors(expression, f"{path}.cel.expression")


def configuration(item: Object, path: str) -> list[FieldError]:
    """A driver's parameters, which only the driver understands."""
    opaque = item.get("opaque")
    if opaque is None:
        return [required(f"{path}.opaque")]
    path = f"{path}.opaque"
    errors = driver_name(opaque.get("driver"), f"{path}.driver")
    parameters, own = opaque.get("parameters"), f"{path}.parameters"
    if parameters is None:
        errors.append(required(own))
    elif len(orjson.dumps(parameters)) > _LONGEST_PARAMETERS:
        errors.append(too_long(own, _LONGEST_PARAMETERS))
    elif not isinstance(parameters, dict):
        errors.append(invalid(own, "<value omitted>", "must be a valid JSON object"))
    return errors


def driver_name(name: str | None, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    errors = dns_subdomain(name, path)
    if len(name) > _LONGEST_DRIVER:
        errors.append(too_long(path, _LONGEST_DRIVER))
    return errors


def toleration(item: Object, path: str) -> list[FieldError]:
    key, operator = item.get("key") or "", item.get("operator") or ""
    errors: list[FieldError] = []
    if key:
        errors += complaints(f"{path}.key", key, qualified_name_errors(key))
    if operator == "Exists":
        if item.get("value"):
            text = "must be empty for operator `Exists`"
            errors.append(invalid(f"{path}.value", item["value"], text))
    elif operator == "Equal":
        value = item.get("value") or ""
        errors += complaints(f"{path}.value", value, label_value_errors(value))
    else:
        errors.append(not_supported(f"{path}.operator", operator, _OPERATORS))
    if operator == "Equal" and not key:
        text = (
            'operator must be Exists when `key` is empty, which means "match all keys and all '
            'values"'
        )
        errors.append(invalid(f"{path}.operator", operator, text))
    effect = item.get("effect") or ""
    if effect and effect not in EFFECTS:
        errors.append(not_supported(f"{path}.effect", effect, EFFECTS))
    return errors


def qualified_identifier(name: str, path: str) -> list[FieldError]:
    """`identifier`, or `domain/identifier`."""
    if not name:
        return [required(path, "name must not be empty")]
    domain, slash, rest = name.rpartition("/")
    if not slash:
        return identifier(name, path)
    if "/" in domain:
        text = "must not contain more than one slash"
        return [invalid(path, name, text)]
    errors: list[FieldError] = []
    if not domain:
        errors.append(required(path, "the domain must not be empty"))
    else:
        errors += driver_name(domain, path)
    if not rest:
        return [*errors, required(path, "the name must not be empty")]
    return errors + identifier(rest, path)


def fully_qualified(name: str, path: str) -> list[FieldError]:
    """`domain/identifier`, and nothing less."""
    errors = qualified_identifier(name, path)
    if name and "/" not in name:
        text = "a fully qualified name must be a domain and a name separated by a slash"
        errors.append(invalid(path, name, text))
    return errors


def identifier(name: str, path: str) -> list[FieldError]:
    errors = complaints(path, name, c_identifier_errors(name))
    if len(name) > _LONGEST_IDENTIFIER:
        errors.append(too_long(path, _LONGEST_IDENTIFIER))
    return errors
