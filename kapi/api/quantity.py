"""Resource quantities: exact decimal numbers with SI or binary suffixes.

`1500m`, `0.5Gi` and `12e6` are quantities. They are read into Decimal without loss, and written in
the one canonical form that upstream's server would store: the largest suffix that keeps an integer.
Source of the grammar, limits and texts: k8s.io/apimachinery `pkg/api/resource/quantity.go`.
"""

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Literal

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

FORMAT_ERROR = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
SUFFIX_ERROR = "unable to parse quantity's suffix"
NUMERIC_ERROR = "unable to parse numeric part of quantity"

_grammar = re.compile(r"([+-]?)([0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII).fullmatch
_number = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", re.ASCII).fullmatch
_exponent = re.compile(r"[eE][-+]?[0-9]+", re.ASCII).fullmatch

_DECIMAL_SUFFIXES = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_BINARY_SUFFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SUFFIX_OF_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL_SUFFIXES.items()}
_MAXIMUM = Decimal(2**63 - 1)
_NANO = Decimal(1).scaleb(-9)

# Wide enough that no legal quantity is ever rounded by arithmetic itself.
_EXACT = Context(prec=400)


class QuantityError(ValueError):
    """The text is not a quantity; the message is upstream's."""


def _split(text: str) -> tuple[Decimal, Format]:
    """The exact value before limits apply, and the family of its suffix."""
    match = _grammar(text)
    if match is None:
        raise QuantityError(FORMAT_ERROR)
    sign, number, suffix = match.groups()
    if not _number(number):
        raise QuantityError(FORMAT_ERROR if number.count(".") > 1 else NUMERIC_ERROR)
    value = Decimal(sign + number)
    if suffix in _DECIMAL_SUFFIXES:
        return _EXACT.scaleb(value, _DECIMAL_SUFFIXES[suffix]), "DecimalSI"
    if suffix in _BINARY_SUFFIXES:
        return _EXACT.multiply(value, Decimal(2 ** _BINARY_SUFFIXES[suffix])), "BinarySI"
    if _exponent(suffix):
        exponent = int(suffix[1:])
        if abs(exponent) > 999:
            # Beyond every limit either way: the caps below decide.
            exponent = 999 if exponent > 0 else -999
        return _EXACT.scaleb(value, exponent), "DecimalExponent"
    raise QuantityError(SUFFIX_ERROR)


def _limited(value: Decimal) -> Decimal:
    """Round away from zero to nano, cap at what an int64 holds."""
    if value > _MAXIMUM:
        return _MAXIMUM
    if value < -_MAXIMUM:
        return -_MAXIMUM
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -9:
        rounding = ROUND_CEILING if value > 0 else ROUND_FLOOR
        return value.quantize(_NANO, rounding=rounding, context=_EXACT)
    return value


def _read(text: str) -> tuple[Decimal, Format]:
    value, style = _split(text)
    return _limited(value), style


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Decimal:
    return _read(text)[0]


def parse_quantity(text: str | int | float) -> Decimal:
    """The exact value; raises ValueError with upstream's text."""
    return _parsed(text if isinstance(text, str) else str(text))


def format_of(text: str) -> Format:
    """The family of the suffix, which arithmetic on quantities keeps."""
    return _read(text)[1]


def format_quantity(value: Decimal, like: Format = "DecimalSI") -> str:
    """The canonical text: integer mantissa, largest suffix, no precision lost."""
    if not value:
        return "0"
    if like == "BinarySI" and not -1024 < value < 1024 and value == value.to_integral_value():
        return _binary(int(value))
    return _decimal(value, like == "DecimalExponent")


def _binary(value: int) -> str:
    exponent = 0
    while value % 1024 == 0 and exponent < 60:
        value //= 1024
        exponent += 10
    suffix = next((name for name, bits in _BINARY_SUFFIXES.items() if bits == exponent), "")
    return f"{value}{suffix}"


def _decimal(value: Decimal, exponential: bool) -> str:
    sign, digits, exponent = _limited(value).normalize(_EXACT).as_tuple()
    assert isinstance(exponent, int)
    mantissa = int("".join(map(str, digits)))
    shift = exponent % 3
    mantissa *= 10**shift
    exponent -= shift
    if exponential:
        suffix = f"e{exponent}" if exponent else ""
    else:
        while exponent > 18:
            mantissa, exponent = mantissa * 1000, exponent - 3
        suffix = _SUFFIX_OF_EXPONENT[exponent]
    return f"{'-' if sign else ''}{mantissa}{suffix}"


@lru_cache(maxsize=4096)
def canonical_quantity(text: str) -> str:
    """`1000m` -> `1`, `0.5Gi` -> `512Mi`; raises ValueError with upstream's text."""
    value, style = _read(text)
    return format_quantity(value, style)


@lru_cache(maxsize=4096)
def resource_quantity(text: str) -> str:
    """Canonical form of an entry of a ResourceList, which upstream rounds up to milli units.

    Source: `SetDefaults_ResourceList` in k8s.io/kubernetes `pkg/apis/core/v1/defaults.go`.
    """
    value, style = _read(text)
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -3:
        rounding = ROUND_CEILING if value > 0 else ROUND_FLOOR
        value = value.quantize(Decimal("0.001"), rounding=rounding, context=_EXACT)
    return format_quantity(value, style)


@lru_cache(maxsize=4096)
def stored_quantity(text: str) -> str:
    """The form in which a lone quantity is stored.

    Upstream keeps the text as it came when the number is short enough for its fast path, and
    writes the canonical form otherwise (`1024Mi` stays, `0.5Gi` becomes `512Mi`).
    """
    value, style = _read(text)
    match = _grammar(text)
    invariant_number = match.group(2) if match else ""
    whole, _, fraction = invariant_number.partition(".")
    whole = whole.lstrip("0")
    suffix = match.group(3) if match else ""
    if style == "BinarySI":
        bits = _BINARY_SUFFIXES[suffix]
        precision = -1 if fraction else 15 - len(whole) - bits * 3 // 10 - 1
        scale = 0
    else:
        precision = 18 - len(whole) - len(fraction)
        scale = _DECIMAL_SUFFIXES.get(suffix, int(suffix[1:]) if _exponent(suffix) else 0)
        scale -= len(fraction)
    if precision >= 0 and scale >= -9:
        return text
    return format_quantity(value, style)
