"""The protobuf wire format: reading tags and values, writing fields.

Only the format itself; which number means which field is in `protobuf.py` and `gnostic.py`.
Format: https://protobuf.dev/programming-guides/encoding/
"""

import math
import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10


class MalformedMessage(ValueError):
    """The bytes are not a protobuf message."""


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned number at `at` and the position after it."""
    value = 0
    for index in range(_VARINT_BYTES_MAX):
        if at + index >= len(data):
            raise MalformedMessage("unexpected end of message")
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + index + 1
    raise MalformedMessage("integer overflow")


def signed(value: int) -> int:
    """The int64 (or int32, which is sent sign-extended) that an unsigned varint stands for."""
    return value - (1 << 64) if value >> 63 else value


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yields (field number, wire type, value); fixed-width values stay bytes, little endian."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise MalformedMessage("illegal tag 0")
        if wire_type == VARINT:
            value, at = read_varint(data, at)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            length, at = read_varint(data, at)
        elif wire_type == FIXED64:
            length = 8
        elif wire_type == FIXED32:
            length = 4
        else:
            raise MalformedMessage(f"illegal wire type {wire_type}")
        if at + length > len(data):
            raise MalformedMessage("unexpected end of message")
        yield number, wire_type, data[at : at + length]
        at += length


def double(value: int | bytes) -> float:
    """The number in a fixed 64-bit field."""
    if not isinstance(value, bytes) or len(value) != 8:
        raise MalformedMessage("a double must be 8 bytes")
    number = float(struct.unpack("<d", value)[0])
    if not math.isfinite(number):
        raise MalformedMessage("JSON has no infinity and no NaN")
    return number


def varint(value: int) -> bytes:
    """Encodes an integer; negative ones as their 64-bit two's complement."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer_field(number: int, value: int) -> bytes:
    return varint(number << 3 | VARINT) + varint(value)


def double_field(number: int, value: float) -> bytes:
    return varint(number << 3 | FIXED64) + struct.pack("<d", value)


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def text_field(number: int, value: str) -> bytes:
    return bytes_field(number, value.encode())
