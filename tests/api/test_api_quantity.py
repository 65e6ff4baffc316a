"""Quantities: exact values, canonical texts, upstream's complaints."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.api.quantity import (
    FORMAT_ERROR,
    NUMERIC_ERROR,
    SUFFIX_ERROR,
    QuantityError,
    canonical_quantity,
    format_quantity,
    parse_quantity,
    resource_quantity,
    stored_quantity,
)

SUFFIXES = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
SUFFIXES += ["e3", "E-2", "e+6"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1000m", "1"),
        ("0.5Gi", "512Mi"),
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("1.5", "1500m"),
        ("1500", "1500"),
        ("1000", "1k"),
        ("0", "0"),
        ("0Gi", "0"),
        ("-1.5Gi", "-1536Mi"),
        ("12e6", "12e6"),
        ("1e3", "1e3"),
        ("1.1Ki", "1126400m"),
        ("1000Ki", "1000Ki"),
        ("0.0000000001", "1n"),
        ("100Ei", "9223372036854775807"),
        (".5", "500m"),
        ("5.", "5"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert canonical_quantity(text) == canonical


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1x", FORMAT_ERROR),
        ("", FORMAT_ERROR),
        ("abc", FORMAT_ERROR),
        ("1.2.3", FORMAT_ERROR),
        ("1 ", FORMAT_ERROR),
        ("١", FORMAT_ERROR),
        (".", NUMERIC_ERROR),
        ("1GG", SUFFIX_ERROR),
    ],
)
def test_complaints(text: str, complaint: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_quantity(text)
    assert str(caught.value) == complaint


def test_resource_lists_round_up_to_milli() -> None:
    assert resource_quantity("100u") == "1m"
    assert resource_quantity("1000m") == "1"


def test_a_lone_quantity_keeps_its_text_if_short() -> None:
    assert stored_quantity("1024Mi") == "1024Mi"
    assert stored_quantity("0.5Gi") == "512Mi"


def test_numbers_are_quantities() -> None:
    assert parse_quantity(2) == 2
    assert parse_quantity(0.5) == Decimal("0.5")


numbers = st.builds(
    lambda sign, whole, fraction: f"{sign}{whole}{fraction}",
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**6),
    st.sampled_from(["", ".", ".5", ".125", ".000001"]),
)


@settings(max_examples=200, deadline=None)
@given(numbers, st.sampled_from(SUFFIXES))
def test_canonical_form_keeps_the_value_and_settles(number: str, suffix: str) -> None:
    text = number + suffix
    canonical = canonical_quantity(text)
    assert parse_quantity(canonical) == parse_quantity(text)
    # A binary quantity may lose its suffix (28578.125Ki is 29264000), and with it its family.
    settled = canonical_quantity(canonical)
    assert parse_quantity(settled) == parse_quantity(text)
    assert canonical_quantity(settled) == settled


@settings(max_examples=200, deadline=None)
@given(
    st.decimals(-(10**12), 10**12, places=9),
    st.sampled_from(["DecimalSI", "BinarySI", "DecimalExponent"]),
)
def test_formatting_is_exact(value: Decimal, like: str) -> None:
    assert parse_quantity(format_quantity(value, like)) == value  # type: ignore[arg-type]
