"""The parts of an nftables table as values, and their spelling in nft's language.

Chains, sets and maps are compared by value, so equal rules never cause a write.
"""

import hashlib
from base64 import b32encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# nft and kernels that are still in use refuse longer names than 127 bytes.
_NAME_BYTES_MAX = 120


@dataclass(frozen=True, slots=True)
class Chain:
    """`hook` is the base chain's declaration (`type nat hook ...`), empty for a plain chain."""

    rules: tuple[str, ...] = ()
    hook: str = ""


@dataclass(frozen=True, slots=True)
class SetSpec:
    """Declaration of a set or, with `is_map`, of a map. `dynamic`: packets fill it."""

    declaration: str
    is_map: bool = False
    dynamic: bool = False

    @property
    def keyword(self) -> str:
        return "map" if self.is_map else "set"


Element = tuple[str, str]
"""Name of the set or map, and the key within it."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A table's contents, or one Service's share of them. A set's elements have the value ``."""

    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, SetSpec] = field(default_factory=dict)
    elements: Mapping[Element, str] = field(default_factory=dict)

    def listing(self, table: str) -> str:
        """The whole table as text, sorted: for people, goldens and comparisons."""
        lines = [f"table {table} {{"]
        for name, spec in sorted(self.sets.items()):
            lines.append(f"\t{spec.keyword} {name} {{")
            lines.append(f"\t\t{spec.declaration}")
            for (owner, key), value in sorted(self.elements.items()):
                if owner == name:
                    lines.append(f"\t\t{element_text(key, value)}")
            lines.append("\t}")
        for name, chain in sorted(self.chains.items()):
            lines.append(f"\tchain {name} {{")
            if chain.hook:
                lines.append(f"\t\t{chain.hook}")
            lines.extend(f"\t\t{rule}" for rule in chain.rules)
            lines.append("\t}")
        lines.append("}")
        return "\n".join(lines) + "\n"


def element_text(key: str, value: str) -> str:
    return f"{key} : {value}" if value else key


def merge(shares: Iterable[tuple[str, Ruleset]]) -> Ruleset:
    """One table out of shares, each with its owner's name.

    Where two owners claim the same element (one external address in two Services) the owner that
    comes first in the alphabet has it: any fixed choice will do, but it must be one.
    """
    chains: dict[str, Chain] = {}
    sets: dict[str, SetSpec] = {}
    elements: dict[Element, str] = {}
    for _, share in sorted(shares, key=lambda pair: pair[0]):
        chains.update(share.chains)
        sets.update(share.sets)
        for element, value in share.elements.items():
            elements.setdefault(element, value)
    return Ruleset(chains, sets, elements)


def hashed_name(role: str, label: str, identity: str = "") -> str:
    """`role-hash-label`: unique through the hash, readable through the label.

    `identity` is what is hashed, where that is more than the label.
    """
    digest = hashlib.sha256((identity or label).encode()).digest()
    name = f"{role}-{b32encode(digest)[:8].decode()}-{label}"
    return name if len(name) <= _NAME_BYTES_MAX else name[: _NAME_BYTES_MAX - 3] + "..."
