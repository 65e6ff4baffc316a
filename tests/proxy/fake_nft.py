"""nft in memory: understands the transactions the proxy writes, and is as strict as the kernel.

Refuses deleting what is not there or still referred to, adding an element twice with another
value, rules and jumps to chains that do not exist. A refused transaction changes nothing.
"""

import copy
import re

import orjson

from kapi import env


class Refused(Exception):
    pass


class FakeNft:
    """Stands in for `env.run_process`; other programs than nft are not found."""

    def __init__(self):
        self.table = None
        self.transactions = []
        self.fail_next = 0

    async def run_process(self, argv, *, stdin=b"", timeout=0):
        if argv[0] != "nft":
            raise FileNotFoundError(argv[0])
        if "-f" not in argv:
            return self._list()
        if self.fail_next:
            self.fail_next -= 1
            return env.ProcessResult(1, b"", b"Error: told to fail")
        before = copy.deepcopy(self.table)
        try:
            for line in stdin.decode().splitlines():
                self._line(line)
            self._check()
        except Refused as error:
            self.table = before
            return env.ProcessResult(1, b"", f"Error: {error}".encode())
        self.transactions.append(stdin.decode())
        return env.ProcessResult(0, b"", b"")

    def _list(self):
        if self.table is None:
            return env.ProcessResult(1, b"", b"Error: No such file or directory")
        items = [{"chain": {"name": name}} for name in self.table["chains"]]
        for name, (keyword, _, _) in self.table["sets"].items():
            items.append({keyword: {"name": name}})
        return env.ProcessResult(0, orjson.dumps({"nftables": items}), b"")

    def contents(self):
        """(chains, sets' declarations, elements) as the renderer would put them."""
        chains = {
            name: (hook, tuple(rules)) for name, (hook, rules) in self.table["chains"].items()
        }
        sets = {name: entry[1] for name, entry in self.table["sets"].items()}
        elements = {
            (name, key): value
            for name, entry in self.table["sets"].items()
            for key, value in entry[2].items()
        }
        return chains, sets, elements

    def _line(self, line):
        verb, kind, _, _, rest = (line + " ").split(" ", 4)
        name, _, body = rest.strip().partition(" ")
        handler = getattr(self, f"_{verb}_{kind}")
        handler(name, body.strip())

    def _add_table(self, name, body):
        if self.table is None:
            self.table = {"chains": {}, "sets": {}}

    def _delete_table(self, name, body):
        self.table = None

    def _add_chain(self, name, body):
        hook = body.removeprefix("{").removesuffix("}").strip()
        self.table["chains"].setdefault(name, (hook, []))

    def _flush_chain(self, name, body):
        self._chain(name)[1].clear()

    def _delete_chain(self, name, body):
        if self._chain(name)[1]:
            raise Refused(f"chain {name} is not empty")
        del self.table["chains"][name]

    def _add_rule(self, name, body):
        self._chain(name)[1].append(body)

    def _chain(self, name):
        if name not in self.table["chains"]:
            raise Refused(f"no chain {name}")
        return self.table["chains"][name]

    def _add_any_set(self, keyword, name, body):
        declaration = body.removeprefix("{").removesuffix("}").strip()
        known = self.table["sets"].setdefault(name, (keyword, declaration, {}))
        if known[:2] != (keyword, declaration):
            raise Refused(f"{name} exists otherwise")

    def _add_set(self, name, body):
        self._add_any_set("set", name, body)

    def _add_map(self, name, body):
        self._add_any_set("map", name, body)

    def _flush_set(self, name, body):
        self.table["sets"][name][2].clear()

    _flush_map = _flush_set

    def _delete_set(self, name, body):
        if name not in self.table["sets"]:
            raise Refused(f"no set {name}")
        del self.table["sets"][name]

    _delete_map = _delete_set

    def _add_element(self, name, body):
        elements = self.table["sets"][name][2]
        for entry in self._entries(body):
            key, _, value = entry.partition(" : ")
            if elements.setdefault(key, value) != value:
                raise Refused(f"{name} has {key} otherwise")

    def _delete_element(self, name, body):
        elements = self.table["sets"][name][2]
        for key in self._entries(body):
            if key not in elements:
                raise Refused(f"{name} has no {key}")
            del elements[key]

    def _entries(self, body):
        return [entry.strip() for entry in body.strip("{} ").split(",")]

    def _check(self):
        """Everything that is referred to must be there when the transaction ends."""
        if self.table is None:
            return
        texts = [rule for _, rules in self.table["chains"].values() for rule in rules]
        texts += [value for entry in self.table["sets"].values() for value in entry[2].values()]
        for text in texts:
            for chain in re.findall(r"(?:goto|jump) ([^\s,}]+)", text):
                self._chain(chain)
            for found in re.findall(r"@([^\s,}]+)", text):
                if found not in self.table["sets"]:
                    raise Refused(f"no set {found}")
