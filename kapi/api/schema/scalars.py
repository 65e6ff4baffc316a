"""Scalars that have a form of their own: times, bytes, quantities, numbers or names.

Each function takes what JSON gave and returns what is stored; a bad value raises BadScalar with the
text of the Go function that would have failed. Sources: Go's `time.Parse` and `encoding/base64`,
k8s.io/apimachinery `pkg/apis/meta/v1/{time,micro_time}.go`.
"""

import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from kapi.api.quantity import FORMAT_ERROR, resource_quantity, stored_quantity

_TIME_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"

# Usual spellings, which need no conversion.
_canonical_time = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ", re.ASCII
).fullmatch
_canonical_micro = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z", re.ASCII
).fullmatch
_zone = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)
_fraction = re.compile(r"[.,]\d+", re.ASCII)

# Layout element, separator before it, number of digits, smallest and largest value, name.
_ELEMENTS = (
    ("2006", "", 4, 0, 9999, "year"),
    ("01", "-", 2, 1, 12, "month"),
    ("02", "-", 2, 1, 31, "day"),
    ("15", "T", 2, 0, 23, "hour"),
    ("04", ":", 2, 0, 59, "minute"),
    ("05", ":", 2, 0, 59, "second"),
)


class BadScalar(ValueError):
    """The text that Go's parser gives."""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Time:
    """One pass of Go's `time.Parse` over a text."""

    def __init__(self, layout: str, text: str) -> None:
        self._layout, self._text, self._rest = layout, text, text

    def _cannot(self, element: str, rest: str) -> BadScalar:
        return BadScalar(
            f"parsing time {_quoted(self._text)} as {_quoted(self._layout)}:"
            f" cannot parse {_quoted(rest)} as {_quoted(element)}"
        )

    def _out_of_range(self, what: str) -> BadScalar:
        return BadScalar(f"parsing time {_quoted(self._text)}: {what} out of range")

    def read(self) -> datetime:
        numbers = [self._number(*element) for element in _ELEMENTS]
        micros = self._micros()
        offset = self._offset()
        if self._rest:
            raise BadScalar(
                f"parsing time {_quoted(self._text)}: extra text: {_quoted(self._rest)}"
            )
        try:
            moment = datetime(*numbers, micros, tzinfo=UTC)  # type: ignore[arg-type,misc]
            return moment - offset
        except (ValueError, OverflowError):
            raise self._out_of_range("day") from None

    def _number(
        self, element: str, separator: str, digits: int, low: int, high: int, name: str
    ) -> int:
        if separator:
            if not self._rest.startswith(separator):
                raise self._cannot(separator, self._rest)
            self._rest = self._rest[1:]
        text = self._rest[:digits]
        if len(text) < digits or not (text.isascii() and text.isdigit()):
            raise self._cannot(element, self._rest)
        self._rest = self._rest[digits:]
        value = int(text)
        if not low <= value <= high:
            raise self._out_of_range(name)
        return value

    def _micros(self) -> int:
        match = _fraction.match(self._rest)
        if self._layout is _MICRO_LAYOUT:
            if match is None or len(match.group()) < 7:
                raise self._cannot(".000000", self._rest)
            text, self._rest = self._rest[1:7], self._rest[7:]
            return int(text)
        if match is not None:
            self._rest = self._rest[match.end() :]
            return int(match.group()[1:7].ljust(6, "0"))
        return 0

    def _offset(self) -> timedelta:
        if self._rest.startswith("Z"):
            self._rest = self._rest[1:]
            return timedelta()
        match = _zone.match(self._rest)
        if match is None:
            raise self._cannot("Z07:00", self._rest)
        sign, hours, minutes = match.groups()
        if int(hours) > 24:
            raise self._out_of_range("time zone offset hour")
        if int(minutes) > 60:
            raise self._out_of_range("time zone offset minute")
        self._rest = self._rest[match.end() :]
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return -offset if sign == "-" else offset


def read_time(text: str) -> str:
    """RFC 3339 in any zone -> UTC in whole seconds."""
    if _canonical_time(text):
        return text
    moment = _Time(_TIME_LAYOUT, text).read()
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%SZ}"


def read_micro_time(text: str) -> str:
    """RFC 3339 with exactly six digits of fraction -> the same in UTC."""
    if _canonical_micro(text):
        return text
    moment = _Time(_MICRO_LAYOUT, text).read()
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S.%fZ}"


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _bad_byte(text: str) -> int:
    """The offset that Go's decoder complains about in a text that is not base64."""
    quantum = 0
    for index, char in enumerate(text):
        if char in "\r\n":
            continue
        if char in _ALPHABET:
            quantum += 1
            continue
        if char != "=" or quantum % 4 < 2:
            return len(text[:index].encode())
        rest = text[index + 1 :].lstrip("\r\n")
        if quantum % 4 == 2:
            if not rest:
                return len(text)
            if not rest.startswith("="):
                return len(text) - len(rest)
            rest = rest[1:].lstrip("\r\n")
        return len(text) - len(rest)
    return len(text) - quantum % 4


def read_base64(text: str) -> str:
    """Standard base64 -> its one canonical spelling."""
    if not text:
        return text
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        data = _read_loose(text)
    return binascii.b2a_base64(data, newline=False).decode()


def _read_loose(text: str) -> bytes:
    """Line breaks are allowed anywhere; nothing else is."""
    joined = text.replace("\r", "").replace("\n", "")
    if joined != text:
        try:
            return binascii.a2b_base64(joined, strict_mode=True)
        except (binascii.Error, ValueError):
            pass
    raise BadScalar(f"illegal base64 data at input byte {_bad_byte(text)}")


def _number_text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return "0"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadScalar(FORMAT_ERROR)
    return str(value)


def read_quantity(value: Any) -> str:
    """A quantity by itself, as text or number."""
    try:
        return stored_quantity(_number_text(value))
    except BadScalar:
        raise
    except ValueError as error:
        raise BadScalar(str(error)) from None


def read_resource(value: Any) -> str:
    """A quantity in a ResourceList, which is stored in canonical form."""
    try:
        return resource_quantity(_number_text(value))
    except BadScalar:
        raise
    except ValueError as error:
        raise BadScalar(str(error)) from None
