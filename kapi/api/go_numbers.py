"""Whole numbers in texts, as Go's `strconv` reads them: base 10, ASCII digits, 64 bits.

Python's `int` takes more (underscores, digits of other scripts, any size) and refuses very long
texts in words of its own, so whatever a client sends as text goes through here.
"""

import re

_signed = re.compile(r"[-+]?[0-9]+", re.ASCII).fullmatch
_unsigned = re.compile(r"[0-9]+", re.ASCII).fullmatch
_DIGITS_MAX = 20
"""More than an int64 or a uint64 ever has."""


class NumberError(ValueError):
    """The text is no such number; the message is Go's."""


def parse_int(text: str) -> int:
    """A 64-bit number with an optional sign, as `strconv.ParseInt`. Raises NumberError."""
    if not _signed(text):
        raise _error("ParseInt", text, "invalid syntax")
    digits = text.lstrip("+-").lstrip("0") or "0"
    value = int(digits) if len(digits) <= _DIGITS_MAX else 2**64
    value = -value if text.startswith("-") else value
    if not -(2**63) <= value < 2**63:
        raise _error("ParseInt", text, "value out of range")
    return value


def parse_uint(text: str) -> int:
    """A 64-bit number without a sign, as `strconv.ParseUint`. Raises NumberError."""
    if not _unsigned(text):
        raise _error("ParseUint", text, "invalid syntax")
    digits = text.lstrip("0") or "0"
    value = int(digits) if len(digits) <= _DIGITS_MAX else 2**64
    if value >= 2**64:
        raise _error("ParseUint", text, "value out of range")
    return value


def _error(function: str, text: str, why: str) -> NumberError:
    return NumberError(f'strconv.{function}: parsing "{text}": {why}')
