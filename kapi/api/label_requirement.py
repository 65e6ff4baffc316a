"""One requirement of a label selector: what it matches, what makes it invalid, how it prints.

Source: `Requirement` in k8s.io/apimachinery `pkg/labels/selector.go`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kapi.api.errors import invalid
from kapi.api.go_numbers import NumberError, parse_int
from kapi.api.names import label_value_errors, qualified_name_errors


class SelectorError(ValueError):
    """The text is not a selector; the message is upstream's."""


def _int64(text: str) -> int | None:
    try:
        return parse_int(text)
    except NumberError:
        return None


@dataclass(frozen=True, slots=True)
class Requirement:
    """`operator` is one of `=`, `!=`, `in`, `notin`, `exists`, `!`, `>`, `<`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return found is not None and found in self.values
            case "!=" | "notin":
                return found is None or found not in self.values
            case "exists":
                return found is not None
            case "!":
                return found is None
            case _:
                return found is not None and self._compares(found)

    def _compares(self, found: str) -> bool:
        left = _int64(found)
        right = _int64(self.values[0]) if len(self.values) == 1 else None
        if left is None or right is None:
            return False
        return left > right if self.operator == ">" else left < right

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


def check_key(key: str, path: str = "<nil>") -> None:
    found = qualified_name_errors(key)
    if found:
        raise SelectorError(str(invalid(path, key, "; ".join(found))))


def checked(requirement: Requirement) -> Requirement:
    """The requirement itself, or SelectorError with every complaint about its values."""
    complaints: list[str] = []
    if requirement.operator in (">", "<"):
        complaints += [
            str(
                invalid(
                    f"values[{index}]",
                    value,
                    "for 'Gt', 'Lt' operators, the value must be an integer",
                )
            )
            for index, value in enumerate(requirement.values)
            if _int64(value) is None
        ]
    for index, value in enumerate(requirement.values):
        found = label_value_errors(value)
        if found:
            path = f"values[{index}][{requirement.key}]"
            complaints.append(str(invalid(path, value, "; ".join(found))))
    if complaints:
        unique = list(dict.fromkeys(complaints))
        raise SelectorError(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")
    return requirement
