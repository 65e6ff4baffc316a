"""The short hashes in the names of ReplicaSets and ControllerRevisions. Pure."""

# k8s.io/apimachinery/pkg/util/rand: no vowels, no look-alikes.
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_OFFSET = 2166136261
_PRIME = 16777619


def fnv1(data: bytes, value: int = _OFFSET) -> int:
    """FNV-1 in 32 bits; `value` continues an earlier hash."""
    for byte in data:
        value = ((value * _PRIME) & 0xFFFFFFFF) ^ byte
    return value


def fnv1a(data: bytes, value: int = _OFFSET) -> int:
    """FNV-1a in 32 bits; `value` continues an earlier hash."""
    for byte in data:
        value = ((value ^ byte) * _PRIME) & 0xFFFFFFFF
    return value


def safe_encode(value: int) -> str:
    """The decimal digits as letters and digits that spell no word."""
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(value))
