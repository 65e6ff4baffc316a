"""The table of protobuf messages: which number is which JSON field, and of what type.

`protobuf_fields.json` holds one line per message, `"apps.v1.Deployment": "1 metadata
meta.v1.ObjectMeta,2 spec ..."`; names drop the `k8s.io.api.` in front. Each field is
`number name type`, where

- the type is `s` string, `b` bool, `i` integer, `d` double, `y` bytes, another message's name, or
  one of the types with a JSON form of their own (`Time`, `Quantity`, `IntOrString`, `Raw`, ...);
- `{` in front of a type makes a map from strings to it, `*` behind it a list;
- `!` behind it says that zero is a value: the Go field is a pointer (sent only when set), or one
  that Go's JSON writes even when empty. Without it, zero on the wire means unset, because Go
  writes every field that is not a pointer;
- the name `-` is a Go-embedded message, whose fields belong to the object around it.

Numbers are those of the `generated.proto` files of k8s.io/api, apimachinery,
apiextensions-apiserver and kube-aggregator.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TypeAlias

import orjson


@dataclass(frozen=True, slots=True)
class MessageField:
    """One field of a message; `name` is its JSON name, empty where the message is embedded."""

    name: str
    type: str
    repeated: bool
    is_map: bool
    keeps_zero: bool


MessageFields: TypeAlias = dict[int, MessageField]


@cache
def _table() -> dict[str, str]:
    data = resources.files("openapi").joinpath("protobuf_fields.json").read_bytes()
    table: dict[str, str] = orjson.loads(data)
    return table


def _field(text: str) -> tuple[int, MessageField]:
    number, name, kind = text.split(" ")
    return int(number), MessageField(
        name="" if name == "-" else name,
        type=kind.strip("{*!"),
        repeated=kind.endswith("*"),
        is_map=kind.startswith("{"),
        keeps_zero=kind.endswith("!"),
    )


@cache
def message_fields(message: str) -> MessageFields:
    """The fields of a message of the table; KeyError if there is none of that name."""
    row = _table()[message]
    return dict(_field(text) for text in row.split(",")) if row else {}


def message_names() -> tuple[str, ...]:
    return tuple(_table())


def message_of(group: str, version: str, kind: str) -> str | None:
    """The message of a kind, or None if it has no protobuf form.

    The option kinds belong to meta/v1 but are registered in every group version, as upstream's
    `metav1.AddToGroupVersion` does, so clients send `policy/v1` DeleteOptions.
    """
    package = group.partition(".")[0] or "core"
    own = f"{package}.{version}.{kind}"
    if own in _table():
        return own
    shared = f"meta.v1.{kind}"
    if kind.endswith("Options") and shared in _table():
        return shared
    return shared if group in ("", "meta.k8s.io") and shared in _table() else None
