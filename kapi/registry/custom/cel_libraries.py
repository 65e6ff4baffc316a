"""Kubernetes' own functions in CEL: lists, regular expressions, quantities, URLs, addresses.

Values that CEL has no type for (a quantity, a URL, an address, a network) are messages that carry
their text; what is asked of them is answered from the text. Source of names and meanings:
k8s.io/apiserver `pkg/cel/library`. Not here: indexOf of lists (its name is the strings'), and the
libraries for semantic versions and named formats.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache, partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kapi.api.quantity import format_quantity, parse_quantity
from kapi.registry.custom.formats import FORMATS

PACKAGE = "kubernetes"
_VALUES = ("Quantity", "URL", "IP", "CIDR")


def value_file() -> Any:
    """The descriptor of the message types, to be added to a pool."""
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(
        name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3"
    )
    for name in _VALUES:
        file.message_type.add(name=name).field.add(name="text", number=1, type=9, label=1)
    return file


@cache
def value_pool() -> Any:
    """A pool with these types and nothing else."""
    from google.protobuf import descriptor_pool

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(value_file().SerializeToString())
    return pool


@cache
def _message(name: str) -> Any:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(value_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


class _Functions:
    """Collects declarations: one per name, with all its overloads."""

    def __init__(self) -> None:
        from cel_expr_python import cel

        self.cel = cel
        self._overloads: dict[str, list[Any]] = {}

    def type(self, name: str) -> Any:
        return self.cel.Type(f"{PACKAGE}.{name}")

    def add(self, name: str, takes: Sequence[Any], returns: Any, run: Callable[..., Any]) -> None:
        """A function; if its name starts with a dot, a member of its first parameter."""
        member, name = name.startswith("."), name.lstrip(".")
        known = self._overloads.setdefault(name, [])
        key = f"kubernetes_{name.replace('.', '_')}_{len(known)}"
        known.append(self.cel.Overload(key, returns, list(takes), member, run))

    def declared(self) -> list[Any]:
        return [self.cel.FunctionDecl(*item) for item in self._overloads.items()]


def functions() -> list[Any]:
    """Every declaration, for an environment whose pool has the message types."""
    found = _Functions()
    for library in (_lists, _regular_expressions, _quantities, _urls, _addresses, _networks):
        library(found)
    return found.declared()


def _plain(value: Any) -> Any:
    """A list or scalar as Python has it."""
    if hasattr(value, "plain_value"):
        return value.plain_value()
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _lists(found: _Functions) -> None:
    kinds = found.cel.Type
    several = kinds.List(kinds.DYN)

    def total(values: list[Any]) -> Any:
        items = _plain(values)
        return sum(items[1:], items[0]) if items else 0

    def is_sorted(values: list[Any]) -> bool:
        return all(left <= right for left, right in pairwise(_plain(values)))

    found.add(".sum", [several], kinds.DYN, total)
    found.add(".min", [several], kinds.DYN, lambda values: min(_plain(values)))
    found.add(".max", [several], kinds.DYN, lambda values: max(_plain(values)))
    found.add(".isSorted", [several], kinds.BOOL, is_sorted)


def _regular_expressions(found: _Functions) -> None:
    """Python finds where, which the engine does not tell; patterns are RE2's, checked before."""
    text = found.cel.Type.STRING

    def matches(value: str, pattern: str, limit: int = -1) -> list[str]:
        from kapi.registry.custom.cel import pattern_error

        problem = pattern_error(pattern)
        if problem:
            raise ValueError(problem)
        every = [match[0] for match in re.finditer(pattern, value)]
        return every if limit < 0 else every[:limit]

    def first(value: str, pattern: str) -> str:
        return next(iter(matches(value, pattern)), "")

    texts = found.cel.Type.List(text)
    found.add(".find", [text, text], text, first)
    found.add(".findAll", [text, text], texts, matches)
    found.add(".findAll", [text, text, found.cel.Type.INT], texts, matches)


def _checked(check: Callable[[str], Any], kind: str) -> Callable[[str], Any]:
    """A constructor: the message of a text that passes the check (which raises ValueError)."""

    def make(text: str) -> Any:
        check(text)
        return _message(kind)(text=text)

    return make


def _passes(check: Callable[[str], Any]) -> Callable[[str], bool]:
    def question(text: str) -> bool:
        try:
            check(text)
        except ValueError:
            return False
        return True

    return question


def _value(found: _Functions, name: str, kind: str, check: Callable[[str], Any]) -> None:
    """`quantity(text)` and `isQuantity(text)`."""
    kinds = found.cel.Type
    found.add(name, [kinds.STRING], found.type(kind), _checked(check, kind))
    found.add(f"is{kind}", [kinds.STRING], kinds.BOOL, _passes(check))


def _quantities(found: _Functions) -> None:
    kinds, own = found.cel.Type, found.type("Quantity")

    def amount(value: Any) -> Decimal:
        return Decimal(value) if isinstance(value, int) else parse_quantity(value.text)

    def compare(left: Any, right: Any) -> int:
        a, b = amount(left), amount(right)
        return (a > b) - (a < b)

    def whole(value: Any) -> int:
        exact = amount(value)
        if exact != exact.to_integral_value():
            raise ValueError("cannot convert value to integer")
        return int(exact)

    def changed(left: Any, right: Any, *, sign: int) -> Any:
        result = amount(left) + sign * amount(right)
        return _message("Quantity")(text=format_quantity(result, "DecimalSI"))

    _value(found, "quantity", "Quantity", parse_quantity)
    found.add(".sign", [own], kinds.INT, lambda value: compare(value, 0))
    found.add(".isInteger", [own], kinds.BOOL, lambda v: amount(v) == int(amount(v)))
    found.add(".asInteger", [own], kinds.INT, whole)
    found.add(".asApproximateFloat", [own], kinds.DOUBLE, lambda v: float(amount(v)))
    found.add(".compareTo", [own, own], kinds.INT, compare)
    found.add(".isGreaterThan", [own, own], kinds.BOOL, lambda a, b: compare(a, b) > 0)
    found.add(".isLessThan", [own, own], kinds.BOOL, lambda a, b: compare(a, b) < 0)
    for name, sign in ((".add", 1), (".sub", -1)):
        for other in (own, kinds.INT):
            found.add(name, [own, other], own, partial(changed, sign=sign))


def _urls(found: _Functions) -> None:
    kinds, own = found.cel.Type, found.type("URL")

    def check(text: str) -> None:
        if not FORMATS["uri"](text):
            raise ValueError(f"URL parse error during conversion from string: {text}")

    def hostname(value: Any) -> str:
        host: str = urlsplit(value.text).netloc.rpartition("@")[2]
        return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]

    def port(value: Any) -> str:
        found_port = urlsplit(value.text).port
        return "" if found_port is None else str(found_port)

    _value(found, "url", "URL", check)
    found.add(".getScheme", [own], kinds.STRING, lambda v: urlsplit(v.text).scheme)
    found.add(".getHost", [own], kinds.STRING, lambda v: urlsplit(v.text).netloc.rpartition("@")[2])
    found.add(".getHostname", [own], kinds.STRING, hostname)
    found.add(".getPort", [own], kinds.STRING, port)
    found.add(".getEscapedPath", [own], kinds.STRING, lambda v: urlsplit(v.text).path)
    found.add(
        ".getQuery",
        [own],
        kinds.Map(kinds.STRING, kinds.List(kinds.STRING)),
        lambda v: parse_qs(urlsplit(v.text).query, keep_blank_values=True),
    )


Address = IPv4Address | IPv6Address


def _addresses(found: _Functions) -> None:
    kinds, own = found.cel.Type, found.type("IP")

    def asks(question: Callable[[Address], bool]) -> Callable[[Any], bool]:
        return lambda value: question(ip_address(value.text))

    _value(found, "ip", "IP", ip_address)
    found.add("ip.isCanonical", [kinds.STRING], kinds.BOOL, lambda t: str(ip_address(t)) == t)
    found.add(".family", [own], kinds.INT, lambda v: ip_address(v.text).version)
    found.add(".isUnspecified", [own], kinds.BOOL, asks(lambda a: a.is_unspecified))
    found.add(".isLoopback", [own], kinds.BOOL, asks(lambda a: a.is_loopback))
    found.add(
        ".isLinkLocalMulticast",
        [own],
        kinds.BOOL,
        asks(lambda a: a in ip_network("224.0.0.0/24") or a in ip_network("ff02::/16")),
    )
    found.add(".isLinkLocalUnicast", [own], kinds.BOOL, asks(lambda a: a.is_link_local))
    found.add(
        ".isGlobalUnicast",
        [own],
        kinds.BOOL,
        asks(
            lambda a: (
                not (a.is_unspecified or a.is_loopback or a.is_multicast or a.is_link_local)
                and str(a) != "255.255.255.255"
            )
        ),
    )


def _networks(found: _Functions) -> None:
    kinds, own, address = found.cel.Type, found.type("CIDR"), found.type("IP")

    def check(text: str) -> None:
        if not FORMATS["cidr"](text):
            raise ValueError(f"network address parse error during conversion from string: {text}")

    def network(value: Any) -> Any:
        return ip_network(value if isinstance(value, str) else value.text, strict=False)

    def contains_ip(whole: Any, part: Any) -> bool:
        return ip_address(part if isinstance(part, str) else part.text) in network(whole)

    def contains_cidr(whole: Any, part: Any) -> bool:
        outer, inner = network(whole), network(part)
        return outer.version == inner.version and bool(inner.subnet_of(outer))

    _value(found, "cidr", "CIDR", check)
    for other in (address, kinds.STRING):
        found.add(".containsIP", [own, other], kinds.BOOL, contains_ip)
    for other in (own, kinds.STRING):
        found.add(".containsCIDR", [own, other], kinds.BOOL, contains_cidr)
    found.add(".ip", [own], address, lambda v: _message("IP")(text=v.text.partition("/")[0]))
    found.add(".masked", [own], own, lambda v: _message("CIDR")(text=str(network(v))))
    found.add(".prefixLength", [own], kinds.INT, lambda v: network(v).prefixlen)
