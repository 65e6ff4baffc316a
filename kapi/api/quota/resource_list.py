"""Arithmetic on ResourceLists: quantities by name, as texts.

A sum is written in the format of its first operand that is not zero. Source: k8s.io/apiserver
`pkg/quota/v1/resources.go`.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from kapi.api.quantity import format_of, format_quantity, parse_quantity

ResourceList = Mapping[str, str]


def amount(quantity: str) -> Decimal:
    return parse_quantity(quantity)


def _combined(first: str, second: str, value: Decimal) -> str:
    return format_quantity(value, format_of(first if amount(first) else second))


def _merged(
    first: ResourceList, second: ResourceList, rule: Callable[[Decimal, Decimal], Decimal]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in {**first, **second}:
        one, other = first.get(name, "0"), second.get(name, "0")
        found[name] = _combined(one, other, rule(amount(one), amount(other)))
    return found


def add(first: ResourceList, second: ResourceList) -> dict[str, str]:
    return _merged(first, second, lambda one, other: one + other)


def largest(first: ResourceList, second: ResourceList) -> dict[str, str]:
    return _merged(first, second, max)


def increase(new: ResourceList, old: ResourceList) -> dict[str, str]:
    """How much more `new` is than `old`, name by name; what shrank is 0."""
    return _merged(new, old, lambda one, other: max(one - other, Decimal(0)))


def mask(quantities: ResourceList, names: Iterable[str]) -> dict[str, str]:
    """Those of `quantities` that are among `names`."""
    wanted = set(names)
    return {name: value for name, value in quantities.items() if name in wanted}


def exceeded(used: ResourceList, hard: ResourceList) -> list[str]:
    """Sorted names of what is used beyond its limit."""
    return sorted(
        name for name, value in used.items() if name in hard and amount(value) > amount(hard[name])
    )


def printed(quantities: ResourceList) -> str:
    """`cpu=1,pods=2`, sorted."""
    return ",".join(f"{name}={value}" for name, value in sorted(quantities.items()))
