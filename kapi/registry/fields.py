"""Checks of single values that the validations of many kinds share.

Each returns the complaints about one value at one path. Texts are those of upstream's
`pkg/apis/core/validation/validation.go` and apimachinery's `pkg/api/validation`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from kapi.api.errors import FieldError, invalid, not_supported, required
from kapi.api.names import (
    dns_label_errors,
    dns_subdomain_errors,
    inclusive_range_error,
    label_value_errors,
    qualified_name_errors,
)
from kapi.api.object import Object

NOT_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
PROTOCOLS = ("SCTP", "TCP", "UDP")


def complaints(path: str, value: Any, texts: Iterable[str]) -> list[FieldError]:
    """One Invalid per text."""
    return [invalid(path, value, text) for text in texts]


def not_negative(value: Any, path: str) -> list[FieldError]:
    """An absent number is fine."""
    return [invalid(path, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def in_range(value: Any, low: int, high: int, path: str) -> list[FieldError]:
    """An absent number is fine."""
    if value is None or low <= value <= high:
        return []
    return [invalid(path, value, inclusive_range_error(low, high))]


def port_number(value: Any, path: str) -> list[FieldError]:
    """A port that must be there; an absent one counts as 0."""
    return in_range(value or 0, 1, 65535, path)


def one_of(value: Any, allowed: Sequence[str], path: str) -> list[FieldError]:
    return [] if value in allowed else [not_supported(path, value, allowed)]


def immutable(new: Any, old: Any, path: str) -> list[FieldError]:
    return [] if new == old else [invalid(path, new, IMMUTABLE)]


def dns_label(value: Any, path: str) -> list[FieldError]:
    text = str(value or "")
    return complaints(path, text, dns_label_errors(text))


def dns_subdomain(value: Any, path: str) -> list[FieldError]:
    text = str(value or "")
    return complaints(path, text, dns_subdomain_errors(text))


def required_name(value: Any, path: str) -> list[FieldError]:
    """A name that must be a DNS label."""
    return dns_label(value, path) if value else [required(path)]


def qualified_name(value: Any, path: str) -> list[FieldError]:
    text = str(value or "")
    return complaints(path, text, qualified_name_errors(text))


def labels(pairs: Object | None, path: str) -> list[FieldError]:
    """Complaints about label keys and values, in the order of the keys."""
    errors: list[FieldError] = []
    for key, value in sorted((pairs or {}).items()):
        errors += complaints(path, key, qualified_name_errors(key))
        errors += complaints(path, value, label_value_errors(value))
    return errors


def annotations(pairs: Object | None, path: str) -> list[FieldError]:
    """Annotation keys are qualified names in any letter case."""
    errors: list[FieldError] = []
    for key in sorted(pairs or {}):
        errors += complaints(path, key, qualified_name_errors(key.lower()))
    return errors
