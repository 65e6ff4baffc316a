"""Walks a rendered ruleset as the kernel would: where does this packet end up?

Knows only the rule forms that the renderer writes, and fails on any other, so that a new form
cannot slip past the tests unread.
"""

import ipaddress
import re
from dataclasses import dataclass, field, replace

_SET = r"(@\S+|\{[^}]*\})"


@dataclass(frozen=True)
class Packet:
    """A new connection's first packet. `source_device` is empty for the host's own."""

    source: str
    destination: str
    port: int
    protocol: str = "tcp"


@dataclass
class Outcome:
    """`verdict`: accept, drop or reject; `targets`: every endpoint it may be sent to."""

    verdict: str = "accept"
    targets: list = field(default_factory=list)
    masqueraded: bool = False


class Tracer:
    def __init__(self, ruleset, local_addresses, affinity=None):
        self.rules = ruleset
        self.local = set(local_addresses)
        self.affinity = affinity or {}

    def send(self, packet):
        """All outcomes that chance allows, one per target (or one without any)."""
        own = packet.source in self.local
        state = _State(packet)
        self._hook(state, "filter-output-pre-dnat" if own else "filter-prerouting-pre-dnat")
        if state.verdict == "accept":
            self._hook(state, "nat-output" if own else "nat-prerouting")
        translations = state.choices or [None]
        return [self._deliver(state, choice, own) for choice in translations]

    def _deliver(self, before, choice, own):
        state = _State(before.packet, mark=before.mark, verdict=before.verdict)
        if choice:
            address, _, number = choice.partition(" . ")
            state.packet = replace(state.packet, destination=address, port=int(number))
            state.translated = True
        if state.verdict == "accept":
            to_host = state.packet.destination in self.local
            chain = "filter-output" if own else "filter-input" if to_host else "filter-forward"
            self._hook(state, chain)
        if state.verdict == "accept":
            self._hook(state, "nat-postrouting")
        target = (state.packet.destination, state.packet.port) if state.translated else None
        return Outcome(state.verdict, [target] if target else [], state.masqueraded)

    def _hook(self, state, chain):
        if self._chain(state, chain) in ("drop", "reject"):
            return

    def _chain(self, state, name):
        for rule in self.rules.chains[name].rules:
            ended = self._rule(state, rule)
            if ended:
                return ended
        return ""

    def _rule(self, state, rule):
        rest = rule
        while rest:
            for pattern, handler in _FORMS:
                found = re.match(pattern, rest)
                if found:
                    rest = rest[found.end() :].lstrip()
                    answer = handler(self, state, found)
                    if answer is False:
                        return ""
                    if isinstance(answer, str):
                        return answer
                    break
            else:
                raise AssertionError(f"the tracer cannot read {rest!r} in {rule!r}")
        return ""

    def _key(self, state, expression):
        packet = state.packet
        values = {
            "ip saddr": packet.source,
            "ip daddr": packet.destination,
            "meta l4proto": packet.protocol,
            "th dport": str(packet.port),
        }
        return " . ".join(values[part] for part in expression.split(" . "))

    def _contains(self, name, key):
        return (name, key) in self.rules.elements or key in self.affinity.get(name, ())

    def _follow(self, state, verdict):
        if verdict in ("drop", "reject"):
            state.verdict = verdict
            return verdict
        chain = verdict.removeprefix("goto ").removeprefix("jump ")
        ended = self._chain(state, chain)
        # After a goto nothing of the caller's chain is looked at any more.
        return ended or ("end" if verdict.startswith("goto ") else "")


@dataclass
class _State:
    packet: Packet
    mark: int = 0
    verdict: str = "accept"
    choices: list = field(default_factory=list)
    translated: bool = False
    masqueraded: bool = False


def _vmap(tracer, state, found):
    verdict = tracer.rules.elements.get((found[2], tracer._key(state, found[1])))
    return tracer._follow(state, verdict) or None if verdict else False


def _random_vmap(tracer, state, found):
    for _, verdict in _entries(found[2], found[1]):
        tracer._follow(state, verdict)
    return "end"


def _entries(text, count):
    entries = [tuple(part.strip().split(" : ")) for part in text.split(",")]
    assert [number for number, _ in entries] == [str(n) for n in range(int(count))]
    return entries


def _random_map(tracer, state, found):
    state.choices += [target for _, target in _entries(found[2], found[1])]
    return "end"


def _dnat(tracer, state, found):
    state.choices.append(f"{found[1]} . {found[2]}")
    return "end"


def _address(tracer, state, found):
    value = state.packet.source if found[1] == "saddr" else state.packet.destination
    wanted, negated = found[3], bool(found[2])
    if wanted.startswith("@"):
        inside = tracer._contains(wanted[1:], value)
    else:
        nets = wanted.strip("{} ").split(",")
        inside = any(
            ipaddress.ip_address(value) in ipaddress.ip_network(net.strip()) for net in nets
        )
    return None if inside != negated else False


def _fib(tracer, state, found):
    value = state.packet.source if found[1] == "saddr" else state.packet.destination
    return None if value in tracer.local else False


def _in_set(tracer, state, found):
    return None if tracer._contains(found[2], tracer._key(state, found[1])) else False


def _mark(tracer, state, found):
    state.mark |= 0x4000


def _masquerade(tracer, state, found):
    state.masqueraded = True
    return "end"


def _reject(tracer, state, found):
    state.verdict = "reject"
    return "reject"


_KEY = r"((?:ip saddr|ip daddr|meta l4proto|th dport)(?: \. (?:ip daddr|meta l4proto|th dport))*)"
_FORMS = [
    (r"ct state new", lambda *_: None),
    (r'iifname != "lo"', lambda t, s, f: None if s.packet.source not in t.local else False),
    (r"ct state != \{ established, related \}", lambda *_: None),
    (r"ct status dnat", lambda t, s, f: None if s.translated else False),
    (rf"{_KEY} vmap @(\S+)", _vmap),
    (r"numgen random mod (\d+) vmap \{ ([^}]*) \}", _random_vmap),
    (r"dnat ip addr \. port to numgen random mod (\d+) map \{ ([^}]*) \}", _random_map),
    (r"dnat to ([\d.]+):(\d+)", _dnat),
    (rf"{_KEY} @(\S+)", _in_set),
    (rf"ip (saddr|daddr) (!= )?({_SET}|[\d./]+)", _address),
    (r"fib (saddr|daddr) type local", _fib),
    (r"meta l4proto (tcp|udp|sctp)", lambda t, s, f: None if s.packet.protocol == f[1] else False),
    (r"meta mark set meta mark or 0x4000", _mark),
    (r"meta mark and 0x4000 != 0", lambda t, s, f: None if s.mark else False),
    (r"meta mark set meta mark xor 0x4000", lambda *_: None),
    (r'oifname != (?:"lo"|\{[^}]*\})', lambda t, s, f: None if _leaves(t, s) else False),
    (r"masquerade( fully-random)?", _masquerade),
    (r"update @\S+ \{ ip saddr \}", lambda *_: None),
    (r"reject( with tcp reset)?", _reject),
    (r"drop", lambda t, s, f: t._follow(s, "drop")),
    (r"(goto|jump) (\S+)", lambda t, s, f: t._follow(s, f[0]) or None),
]


def _leaves(tracer, state):
    """Neither to the host itself nor to a pod on the bridge."""
    destination = state.packet.destination
    pods = ipaddress.ip_network("10.244.0.0/16")
    return destination not in tracer.local and ipaddress.ip_address(destination) not in pods
