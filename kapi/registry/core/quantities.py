"""Quantities inside resource lists: canonical spelling, comparison."""

from decimal import ROUND_CEILING, Decimal
from typing import Any

from kapi.api.object import Object
from kapi.api.quantity import canonical_quantity, parse_quantity

_MILLI = Decimal("0.001")


def amount(quantity: Any) -> Decimal:
    """The number a quantity stands for; 0 for text that is none (validation complains of it)."""
    try:
        return parse_quantity(quantity)
    except ValueError:
        return Decimal(0)


def canonical_resources(resources: Object) -> None:
    """Spell limits and requests as upstream stores them, rounded up to thousandths."""
    for kind in ("limits", "requests"):
        quantities = resources.get(kind)
        if quantities:
            canonical_list(quantities)


def canonical_list(quantities: dict[str, Any]) -> None:
    """Spell every quantity of a ResourceList canonically, in place."""
    for name, quantity in quantities.items():
        try:
            number = parse_quantity(quantity)
        except ValueError:
            continue
        if number % _MILLI:
            milli = number.quantize(_MILLI, rounding=ROUND_CEILING) * 1000
            quantities[name] = canonical_quantity(f"{int(milli)}m")
        else:
            quantities[name] = canonical_quantity(str(quantity))
