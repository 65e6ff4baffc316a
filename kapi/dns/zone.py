"""The names of the cluster, kept as ready-made records, and what each question gets.

No I/O: objects are put in as they change, questions are answered from dictionaries.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from kapi.api.object import Object, name_of, namespace_of
from kapi.dns.records import Records, ServiceRecords, Srv, service_records

TTL_SECONDS = 30
VERSION_TTL_SECONDS = 28800
_SCHEMA_VERSION = "1.1.0"
_CHASE_MAX = 8
_EMPTY = ServiceRecords({}, {})


class Verdict(Enum):
    """What becomes of a question."""

    ANSWER = "answer"
    NO_DATA = "name exists, nothing of this type"
    NO_NAME = "no such name"
    FORWARD = "not ours"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an answer. `value`: an address, a name, a text, or an Srv."""

    name: str
    kind: str
    value: str | Srv
    ttl: int = TTL_SECONDS


@dataclass(frozen=True, slots=True)
class Reply:
    """`forward_name` asks for the addresses of a name outside to be appended to the answer."""

    verdict: Verdict
    answer: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)
    forward_name: str = ""


_NO_DATA = Reply(Verdict.NO_DATA)
_NO_NAME = Reply(Verdict.NO_NAME)
_FORWARD = Reply(Verdict.FORWARD)


class Zone:
    """Names are looked up in lower case and without the final dot."""

    def __init__(self, domain: str, server_addresses: Iterable[str] = ()) -> None:
        """`server_addresses` is what `ns.dns.<domain>` resolves to."""
        self.domain = domain.lower().rstrip(".")
        self._names: dict[str, Records] = {}
        self._pointers: dict[str, dict[str, tuple[str, ...]]] = {}
        self._services: dict[str, ServiceRecords] = {}
        self._namespaces: set[str] = set()
        name_server = Records()
        for address in server_addresses:
            name_server.add_address(address)
        self._fixed = {
            self.domain: Records(),
            f"svc.{self.domain}": Records(),
            f"pod.{self.domain}": Records(),
            f"dns.{self.domain}": Records(),
            f"ns.dns.{self.domain}": name_server,
            f"dns-version.{self.domain}": Records(),
        }

    # Putting in

    def put_service(self, key: str, service: Object | None, slices: Iterable[Object]) -> None:
        """Replace the names of a Service (`namespace/name`); None removes them."""
        old = self._services.pop(key, _EMPTY)
        new = _EMPTY if service is None else service_records(service, slices, self.domain)
        for name in old.names:
            del self._names[name]
        for address in old.pointers:
            owners = self._pointers[address]
            del owners[key]
            if not owners:
                del self._pointers[address]
        self._names.update(new.names)
        for address, targets in new.pointers.items():
            self._pointers.setdefault(address, {})[key] = targets
        if new != _EMPTY:
            self._services[key] = new

    def put_namespace(self, namespace: Object, *, exists: bool = True) -> None:
        if exists:
            self._namespaces.add(name_of(namespace))
        else:
            self._namespaces.discard(name_of(namespace))

    # Answering

    def is_inside(self, name: str) -> bool:
        return name == self.domain or name.endswith("." + self.domain)

    def reply(self, name: str, kind: str) -> Reply:
        """`name`: lower case, no final dot; `kind`: the record type's name, such as `A`."""
        if name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._pointer(name) if kind == "PTR" else _FORWARD
        if not self.is_inside(name):
            return _FORWARD
        records = self._find(name)
        if records is None:
            return _NO_NAME
        if records.cname:
            return self._alias(name, records, kind)
        if name == self.domain and kind == "NS":
            return Reply(Verdict.ANSWER, [Record(name, "NS", f"ns.dns.{name}")])
        if name == f"dns-version.{self.domain}" and kind == "TXT":
            version = Record(name, "TXT", _SCHEMA_VERSION, VERSION_TTL_SECONDS)
            return Reply(Verdict.ANSWER, [version])
        answer = _of_kind(name, records, kind)
        if not answer:
            return _NO_DATA
        return Reply(Verdict.ANSWER, answer, self._glue(answer) if kind == "SRV" else [])

    def _find(self, name: str) -> Records | None:
        """The records of a name inside the zone; None: there is no such name."""
        found = self._names.get(name) or self._fixed.get(name)
        if found is not None:
            return found
        labels = name[: -len(self.domain) - 1].split(".")
        branch = labels[-1]
        if branch not in ("svc", "pod") or len(labels) < 2 or labels[-2] not in self._namespaces:
            return None
        if len(labels) == 2:
            return Records()
        if branch == "pod" and len(labels) == 3:
            return _pod(labels[0])
        return None

    def _alias(self, name: str, records: Records, kind: str) -> Reply:
        """An ExternalName: the alias, and whatever the target has."""
        if kind not in ("A", "AAAA", "CNAME"):
            return _NO_DATA
        answer: list[Record] = []
        seen = {name}
        for _ in range(_CHASE_MAX):
            target = records.cname.lower()
            answer.append(Record(name, "CNAME", records.cname))
            if kind == "CNAME":
                return Reply(Verdict.ANSWER, answer)
            if not self.is_inside(target):
                return Reply(Verdict.ANSWER, answer, forward_name=target)
            found = self._find(target)
            if found is None or target in seen:
                return _NO_NAME if found is None else _NO_DATA
            if not found.cname:
                addresses = _of_kind(target, found, kind)
                return Reply(Verdict.ANSWER, answer + addresses) if addresses else _NO_DATA
            seen.add(target)
            name, records = target, found
        return _NO_DATA

    def _pointer(self, name: str) -> Reply:
        address = _address_of(name)
        owners = self._pointers.get(address or "")
        if not owners:
            return _FORWARD
        targets = dict.fromkeys(target for key in sorted(owners) for target in owners[key])
        return Reply(Verdict.ANSWER, [Record(name, "PTR", target) for target in targets])

    def _glue(self, answer: list[Record]) -> list[Record]:
        """The addresses of SRV targets, each target once."""
        targets = dict.fromkeys(r.value.target for r in answer if isinstance(r.value, Srv))
        glue: list[Record] = []
        for target in targets:
            records = self._names.get(target, Records())
            glue += _of_kind(target, records, "A") + _of_kind(target, records, "AAAA")
        return glue


def _of_kind(name: str, records: Records, kind: str) -> list[Record]:
    values: Iterable[str | Srv] = ()
    if kind == "A":
        values = records.a
    elif kind == "AAAA":
        values = records.aaaa
    elif kind == "SRV":
        values = records.srv
    return [Record(name, kind, value) for value in values]


def _pod(label: str) -> Records | None:
    """`10-1-2-3` stands for its address, whether or not a pod has it."""
    for separator in (".", ":"):
        try:
            address = str(ipaddress.ip_address(label.replace("-", separator)))
        except ValueError:
            continue
        records = Records()
        records.add_address(address)
        return records
    return None


def _address_of(name: str) -> str | None:
    """The address a reverse name asks about; None if it is not a whole address."""
    if name.endswith(".in-addr.arpa"):
        text = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
    else:
        digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
        text = ":".join(digits[index : index + 4] for index in range(0, len(digits), 4))
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def service_key(obj: Object) -> str:
    return f"{namespace_of(obj)}/{name_of(obj)}"
