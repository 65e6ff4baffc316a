"""How an object becomes a stored value, and how its resourceVersion gets back in.

A revision is known only after the write, so stored values carry none. The encoder puts `kind`,
`apiVersion` and `metadata` first; the resourceVersion is then spliced in as metadata's first
field, which costs one copy of the bytes instead of a decode and an encode.
"""

from typing import Any

import orjson

_METADATA = b'"metadata":{'


def encode(obj: dict[str, Any]) -> bytes:
    """The stored form: JSON, kind, apiVersion and metadata first, no resourceVersion."""
    metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k != "resourceVersion"}
    ordered = {"kind": obj.get("kind"), "apiVersion": obj.get("apiVersion"), "metadata": metadata}
    for key, value in obj.items():
        if key not in ordered:
            ordered[key] = value
    return orjson.dumps(ordered)


def with_revision(value: bytes, revision: int) -> bytes:
    """The stored value as clients see it at `revision`."""
    head, separator, tail = value.partition(_METADATA)
    assert separator, "a stored value has no metadata"
    comma = b"" if tail.startswith(b"}") else b","
    return b'%b%b"resourceVersion":"%d"%b%b' % (head, separator, revision, comma, tail)


def at_revision(data: bytes, old: int, new: int) -> bytes:
    """What `with_revision` gave for `old`, as it would be for `new`."""
    before = b'%b"resourceVersion":"%d"' % (_METADATA, old)
    head, separator, tail = data.partition(before)
    assert separator, "the bytes carry another resourceVersion"
    return b'%b%b"resourceVersion":"%d"%b' % (head, _METADATA, new, tail)


def decode(value: bytes, revision: int) -> dict[str, Any]:
    """The object with its resourceVersion set."""
    obj: dict[str, Any] = orjson.loads(value)
    obj["metadata"]["resourceVersion"] = str(revision)
    return obj
