"""What the kernel has and what it should have; their difference as one nft transaction.

Shares are replaced one Service at a time, so the work per change does not grow with the cluster.
Chains and sets that nobody uses any more are emptied at once but deleted later: within the
transaction that removes the last reference from a map, some kernels still call them busy.
"""

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from kapi.proxy.ruleset import Chain, Element, Ruleset, SetSpec, element_text

K = TypeVar("K", str, Element)
V = TypeVar("V")

_NOTHING = Ruleset()


class _Layer(Generic[K, V]):
    """One kind of thing in the table: who wants what, and what the kernel was told."""

    def __init__(self) -> None:
        self._claims: dict[K, dict[str, V]] = {}
        self._touched: set[K] = set()
        self.applied: dict[K, V] = {}

    def replace(self, owner: str, old: Mapping[K, V], new: Mapping[K, V]) -> None:
        for key in old.keys() - new.keys():
            claims = self._claims[key]
            del claims[owner]
            if not claims:
                del self._claims[key]
            self._touched.add(key)
        for key, value in new.items():
            if old.get(key) != value:
                self._claims.setdefault(key, {})[owner] = value
                self._touched.add(key)

    def wanted(self, key: K) -> V | None:
        """Of several claims, the one whose owner comes first in the alphabet."""
        claims = self._claims.get(key)
        return claims[min(claims)] if claims else None

    def desired(self) -> dict[K, V]:
        return {key: claims[min(claims)] for key, claims in self._claims.items()}

    def take_changes(self) -> tuple[dict[K, V], dict[K, V]]:
        """(what to put, what to take away); a changed value appears in both."""
        put: dict[K, V] = {}
        gone: dict[K, V] = {}
        for key in sorted(self._touched):
            wanted, present = self.wanted(key), self.applied.get(key)
            if wanted == present:
                continue
            if present is not None:
                gone[key] = self.applied.pop(key)
            if wanted is not None:
                put[key] = self.applied[key] = wanted
        self._touched.clear()
        return put, gone

    def take_all(self) -> dict[K, V]:
        self._touched.clear()
        self.applied = self.desired()
        return self.applied

    @property
    def changed(self) -> bool:
        return bool(self._touched)


class Table:
    """The desired contents, share by share, and the text that brings the kernel there."""

    def __init__(self, name: str, base: Ruleset) -> None:
        self._name = f"ip {name}"
        self._shares: dict[str, Ruleset] = {}
        self._chains: _Layer[str, Chain] = _Layer()
        self._sets: _Layer[str, SetSpec] = _Layer()
        self._elements: _Layer[Element, str] = _Layer()
        self._stale: dict[str, str] = {}
        self.replace("", base)

    def replace(self, owner: str, share: Ruleset) -> None:
        """Give `owner` this share instead of the one it had; an empty one removes it.

        The owner with the empty name is the table's base.
        """
        old = self._shares.get(owner, _NOTHING)
        if old == share:
            return
        if share == _NOTHING:
            del self._shares[owner]
        else:
            self._shares[owner] = share
        self._chains.replace(owner, old.chains, share.chains)
        self._sets.replace(owner, old.sets, share.sets)
        self._elements.replace(owner, old.elements, share.elements)

    def owners(self) -> Iterable[str]:
        return (owner for owner in self._shares if owner)

    def desired(self) -> Ruleset:
        """All shares together."""
        return Ruleset(self._chains.desired(), self._sets.desired(), self._elements.desired())

    @property
    def has_stale(self) -> bool:
        """Whether chains or sets wait for their deletion."""
        return bool(self._stale)

    def replacement(self) -> str:
        """The table anew, whatever was there before. Clients' affinity is forgotten."""
        self._stale.clear()
        add = f'add table {self._name} {{ comment "rules for Services"; }}'
        return _joined([add, f"delete table {self._name}", add, *self._everything()])

    def rewrite(self, existing: Mapping[str, str]) -> str:
        """Everything again in a table that exists; clients' affinity is kept.

        `existing` are the names in the kernel's table, each with its keyword: chain, set or map.
        Fails in nft when something is declared differently there; then `replacement` is due.
        """
        everything = self._everything()
        chains, sets = self._chains.applied, self._sets.applied
        self._stale = {
            name: keyword
            for name, keyword in existing.items()
            if name not in chains and name not in sets
        }
        flushes = [
            f"flush {keyword} {self._name} {name}"
            for name, keyword in sorted(existing.items())
            if name in self._stale or name in chains or not sets[name].dynamic
        ]
        return _joined([*flushes, *everything])

    def update(self, *, delete_stale: bool) -> str:
        """The difference since the last text; empty when there is none.

        `delete_stale` is allowed once a moment has passed since the previous transaction.
        """
        new_sets, old_sets = self._sets.take_changes()
        new_chains, old_chains = self._chains.take_changes()
        new_elements, old_elements = self._elements.take_changes()
        for name in (*new_sets, *new_chains):
            self._stale.pop(name, None)
        lines = self._deletions() if delete_stale else []
        lines += self._set_lines(new_sets)
        lines += self._chain_lines(new_chains)
        lines += [f"flush chain {self._name} {name}" for name in old_chains]
        lines += self._rule_lines(new_chains)
        lines += self._element_lines("delete", old_elements)
        lines += self._element_lines("add", new_elements)
        self._stale.update((name, "chain") for name in old_chains if name not in new_chains)
        self._stale.update((name, old_sets[name].keyword) for name in old_sets)
        return _joined(lines)

    def removal(self) -> str:
        """The text that leaves nothing behind, whether or not there is a table."""
        return _joined([f"add table {self._name}", f"delete table {self._name}"])

    def _everything(self) -> list[str]:
        sets, chains = self._sets.take_all(), self._chains.take_all()
        elements = self._elements.take_all()
        return [
            *self._set_lines(sets),
            *self._chain_lines(chains),
            *self._rule_lines(chains),
            *self._element_lines("add", elements),
        ]

    def _deletions(self) -> list[str]:
        # Chains first: the rules of an emptied chain no longer hold its sets.
        stale = sorted(self._stale.items(), key=lambda item: (item[1] != "chain", item[0]))
        self._stale.clear()
        return [f"delete {keyword} {self._name} {name}" for name, keyword in stale]

    def _set_lines(self, sets: Mapping[str, SetSpec]) -> list[str]:
        return [
            f"add {spec.keyword} {self._name} {name} {{ {spec.declaration} }}"
            for name, spec in sorted(sets.items())
        ]

    def _chain_lines(self, chains: Mapping[str, Chain]) -> list[str]:
        return [
            f"add chain {self._name} {name}" + (f" {{ {chain.hook} }}" if chain.hook else "")
            for name, chain in sorted(chains.items())
        ]

    def _rule_lines(self, chains: Mapping[str, Chain]) -> list[str]:
        return [
            f"add rule {self._name} {name} {rule}"
            for name, chain in sorted(chains.items())
            for rule in chain.rules
        ]

    def _element_lines(self, verb: str, elements: Mapping[Element, str]) -> list[str]:
        """One line per set: nft takes many elements far quicker than many lines."""
        by_set: dict[str, list[str]] = {}
        for (name, key), value in sorted(elements.items()):
            text = element_text(key, value if verb == "add" else "")
            by_set.setdefault(name, []).append(text)
        return [
            f"{verb} element {self._name} {name} {{ {', '.join(texts)} }}"
            for name, texts in by_set.items()
        ]


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
