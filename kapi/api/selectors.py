"""Label and field selectors: parse, print, match.

Sources of grammar and texts: k8s.io/apimachinery `pkg/labels/selector.go`, `pkg/fields/selector.go`
and `pkg/apis/meta/v1/{helpers.go,validation}`. Parsing a label selector's text is in
`label_grammar.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kapi.api import errors
from kapi.api.errors import BadRequest, FieldError
from kapi.api.label_grammar import parse_requirements
from kapi.api.label_requirement import Requirement, SelectorError
from kapi.api.names import label_value_errors, qualified_name_errors

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "FieldSelector",
    "LabelSelector",
    "Requirement",
    "label_selector_from_object",
    "parse_field_selector",
    "parse_label_selector",
    "set_selector",
    "validate_label_selector",
]


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold. `nothing` is the selector that matches no object at all."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def empty(self) -> bool:
        """Does it match everything?"""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        found = labels or {}
        return all(requirement.matches(found) for requirement in self.requirements)

    def __str__(self) -> str:
        """The text that parses to an equal selector, requirements in order of key."""
        return ",".join(str(one) for one in sorted(self.requirements, key=lambda one: one.key))


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


@lru_cache(maxsize=1024)
def _parsed_labels(text: str) -> LabelSelector:
    return LabelSelector(tuple(parse_requirements(text)))


def parse_label_selector(text: str) -> LabelSelector:
    """Read `a=b,c!=d,e in (f,g),!h,i>3`. Raises BadRequest with upstream's text."""
    try:
        return _parsed_labels(text)
    except SelectorError as error:
        raise BadRequest(str(error)) from error


def set_selector(labels: Mapping[str, str] | None) -> LabelSelector:
    """Equality on every pair: a Service's or ReplicationController's `spec.selector`."""
    pairs = sorted((labels or {}).items())
    return LabelSelector(tuple(Requirement(key, "=", (value,)) for key, value in pairs))


_EXPRESSION_OPERATORS = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
    # Node selectors have these two as well; label selectors are validated against them.
    "Gt": ">",
    "Lt": "<",
}


def expression_requirement(expression: Mapping[str, Any]) -> Requirement:
    """A `matchExpressions` entry. Raises BadRequest for an operator that does not exist."""
    name = expression.get("operator", "")
    operator = _EXPRESSION_OPERATORS.get(name)
    if operator is None:
        raise BadRequest(f'"{name}" is not a valid label selector operator')
    values = tuple(sorted(set(expression.get("values") or ())))
    return Requirement(expression.get("key", ""), operator, values)


def label_selector_from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """A metav1.LabelSelector: None matches nothing, an empty one everything.

    Raises BadRequest for an unknown operator; other faults are for `validate_label_selector`.
    """
    if selector is None:
        return NOTHING
    requirements = [
        Requirement(key, "=", (value,))
        for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    requirements += map(expression_requirement, selector.get("matchExpressions") or ())
    return LabelSelector(tuple(requirements))


def _expression_errors(expression: Mapping[str, Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be specified when `operator` is 'In' or 'NotIn'"
            found.append(errors.required(f"{path}.values", detail))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(errors.forbidden(f"{path}.values", detail))
    else:
        found.append(errors.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = expression.get("key", "")
    found += [errors.invalid(f"{path}.key", key, text) for text in qualified_name_errors(key)]
    for index, value in enumerate(values):
        found += [
            errors.invalid(f"{path}.values[{index}]", value, text)
            for text in label_value_errors(value)
        ]
    return found


def validate_label_selector(selector: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    """Complaints about a metav1.LabelSelector; None has none."""
    if selector is None:
        return []
    found: list[FieldError] = []
    labels_path = f"{path}.matchLabels"
    for key, value in (selector.get("matchLabels") or {}).items():
        found += [errors.invalid(labels_path, key, text) for text in qualified_name_errors(key)]
        found += [errors.invalid(labels_path, value, text) for text in label_value_errors(value)]
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        found += _expression_errors(expression, f"{path}.matchExpressions[{index}]")
    return found


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Equality and inequality on a few named fields; which fields exist is the server's to say."""

    requirements: tuple[tuple[str, str, str], ...] = ()
    """(field, `=` or `!=`, value)."""

    @property
    def empty(self) -> bool:
        return not self.requirements

    def matches(self, fields: Mapping[str, str]) -> bool:
        """A field that is not there counts as the empty string."""
        return all(
            (fields.get(field, "") == value) == (operator == "=")
            for field, operator, value in self.requirements
        )

    def exact(self, field: str) -> str | None:
        """The value that `field` must have, where the selector says so."""
        for name, operator, value in self.requirements:
            if name == field and operator == "=":
                return value
        return None

    def __str__(self) -> str:
        return ",".join(f"{name}{op}{_escaped(value)}" for name, op, value in self.requirements)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _terms(text: str) -> list[str]:
    """Split at commas that no backslash protects."""
    terms, start, escaped = [], 0, False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(text[start:index])
            start = index + 1
    return [*terms, text[start:]]


def _split_term(term: str) -> tuple[str, str, str] | None:
    for index in range(len(term)):
        for operator in ("!=", "==", "="):
            if term.startswith(operator, index):
                kind = "!=" if operator == "!=" else "="
                return term[:index], kind, term[index + len(operator) :]
    return None


def _unescaped(value: str) -> str:
    if not any(char in value for char in "\\,="):
        return value
    out: list[str] = []
    characters = iter(value)
    for char in characters:
        if char == "\\":
            following = next(characters, "")
            if following not in ("\\", ",", "=") or not following:
                raise BadRequest(
                    f"invalid field selector: invalid escape sequence: {char}{following}"
                )
            out.append(following)
        elif char in ",=":
            raise BadRequest(f"invalid field selector: unescaped character in value: {char}")
        else:
            out.append(char)
    return "".join(out)


def parse_field_selector(text: str) -> FieldSelector:
    """Read `metadata.name=a,status.phase!=Running`. Raises BadRequest with upstream's text."""
    found: list[tuple[str, str, str]] = []
    for term in _terms(text):
        if not term:
            continue
        split = _split_term(term)
        if split is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        field, operator, value = split
        value = _unescaped(value)
        if field or value:
            # A term with neither side selects everything, as upstream's transformation has it.
            found.append((field, operator, value))
    return FieldSelector(tuple(found))
