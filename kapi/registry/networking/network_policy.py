"""NetworkPolicy."""

import ipaddress
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, not_supported, required
from kapi.api.object import Object, name_of
from kapi.api.selectors import validate_label_selector
from kapi.registry.cells import label_selector_text
from kapi.registry.core.probe_validation import port_or_name
from kapi.registry.fields import CIDR_TEXT, one_of
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_TYPES = ("Ingress", "Egress")


class NetworkPolicyStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/networking/networkpolicy/strategy.go`."""

    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Pod-Selector", about="=api.networking.v1.NetworkPolicySpec.podSelector"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        if not spec.get("policyTypes"):
            egress = ["Egress"] if spec.get("egress") else []
            spec["policyTypes"] = ["Ingress", *egress]
        for direction in ("ingress", "egress"):
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    port.setdefault("protocol", "TCP")

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = validate_label_selector(spec.get("podSelector"), "spec.podSelector")
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in enumerate(spec.get(direction) or ()):
                path = f"spec.{direction}[{index}]"
                for number, port in enumerate(rule.get("ports") or ()):
                    errors += _port(port, f"{path}.ports[{number}]")
                for number, peer in enumerate(rule.get(peers) or ()):
                    errors += _peer(peer, f"{path}.{peers}[{number}]")
        types = spec.get("policyTypes") or []
        if len(types) > len(_TYPES):
            text = "may not specify more than two policyTypes"
            return [*errors, invalid("spec.policyTypes", types, text)]
        for index, kind in enumerate(types):
            errors += one_of(kind, _TYPES, f"spec.policyTypes[{index}]")
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        selector = (obj.get("spec") or {}).get("podSelector")
        return [name_of(obj), label_selector_text(selector), age(obj, now)]


def _port(port: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    protocol = port.get("protocol")
    if protocol is not None and protocol not in _PROTOCOLS:
        errors.append(not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        errors += port_or_name(number, f"{path}.port")
    if end is None:
        return errors
    own = f"{path}.endPort"
    if number is None:
        errors.append(invalid(own, end, "may not be specified when `port` is not specified"))
    elif isinstance(number, str):
        errors.append(invalid(own, end, "may not be specified when `port` is non-numeric"))
    elif end < number:
        errors.append(invalid(own, number, "must be greater than or equal to `port`"))
    return errors


def _peer(peer: Object, path: str) -> list[FieldError]:
    pods, namespaces, block = (
        peer.get("podSelector"),
        peer.get("namespaceSelector"),
        peer.get("ipBlock"),
    )
    if pods is None and namespaces is None and block is None:
        return [required(path, "must specify a peer")]
    if block is not None and (pods is not None or namespaces is not None):
        return [forbidden(path, "may not specify both ipBlock and another peer")]
    errors: list[FieldError] = []
    for field, selector in (("podSelector", pods), ("namespaceSelector", namespaces)):
        errors += validate_label_selector(selector, f"{path}.{field}")
    return errors + (_block(block, f"{path}.ipBlock") if block is not None else [])


def _block(block: Object, path: str) -> list[FieldError]:
    text = str(block.get("cidr") or "")
    if not text:
        return [required(f"{path}.cidr")]
    errors = strict_cidr(text, f"{path}.cidr")
    if errors:
        return errors
    network = ipaddress.ip_network(text)
    for index, item in enumerate(block.get("except") or ()):
        own = f"{path}.except[{index}]"
        wrong = strict_cidr(item, own)
        errors += wrong
        if wrong:
            continue
        inner = ipaddress.ip_network(item)
        inside = inner.version == network.version and inner.subnet_of(network)  # type: ignore[arg-type]
        if not inside or inner == network:
            errors.append(invalid(own, item, "must be a strict subset of `cidr`"))
    return errors


def strict_cidr(text: str, path: str) -> list[FieldError]:
    """A range in canonical form, without bits beyond its prefix."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return [invalid(path, text, CIDR_TEXT)]
    if "/" not in text:
        return [invalid(path, text, CIDR_TEXT)]
    address = text.partition("/")[0]
    if ipaddress.ip_address(address) != network.network_address:
        return [invalid(path, text, "must not have bits set beyond the prefix length")]
    if str(network) != text:
        return [invalid(path, text, f'must be in canonical form ("{network}")')]
    return []
