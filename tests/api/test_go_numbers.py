"""Numbers in texts are read as Go reads them, whatever Python would take."""

import pytest

from kapi.api.go_numbers import NumberError, parse_int, parse_uint


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("-5", -5), ("+7", 7), ("000012", 12), (str(2**63 - 1), 2**63 - 1)],
)
def test_signed_numbers(text, value):
    assert parse_int(text) == value


def test_unsigned_numbers():
    assert parse_uint(str(2**64 - 1)) == 2**64 - 1
    assert parse_uint("0" * 5000 + "1") == 1


@pytest.mark.parametrize("text", ["", "1_0", " 1", "1.0", "\u00b2", "\u0663", "0x1", "--1"])
def test_what_only_python_takes_is_refused(text):
    with pytest.raises(NumberError, match="invalid syntax"):
        parse_int(text)
    with pytest.raises(NumberError, match="invalid syntax"):
        parse_uint(text)


@pytest.mark.parametrize("text", [str(2**64), "9" * 5000])
def test_numbers_of_more_than_64_bits_are_refused_in_gos_words(text):
    with pytest.raises(NumberError) as signed:
        parse_int(text)
    assert str(signed.value) == f'strconv.ParseInt: parsing "{text}": value out of range'
    with pytest.raises(NumberError) as unsigned:
        parse_uint(text)
    assert str(unsigned.value) == f'strconv.ParseUint: parsing "{text}": value out of range'


def test_unsigned_numbers_have_no_sign():
    with pytest.raises(NumberError):
        parse_uint("+1")
