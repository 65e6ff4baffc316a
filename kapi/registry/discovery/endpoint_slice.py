"""EndpointSlice."""

import ipaddress
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, duplicate, invalid, required, too_many
from kapi.api.names import ip_errors
from kapi.api.object import Object, name_of
from kapi.registry.cells import MAXIMUM_SHOWN, UNSET, more
from kapi.registry.core.service_validation import endpoint_address
from kapi.registry.fields import (
    PROTOCOLS,
    dns_label,
    dns_subdomain,
    immutable,
    one_of,
    qualified_name,
)
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MAXIMUM_ENDPOINTS = 1000
_MAXIMUM_ADDRESSES = 100
_MAXIMUM_PORTS = 20000
_MAXIMUM_HINTS = 8


class EndpointSliceStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/discovery/endpointslice/strategy.go`."""

    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("AddressType", about="=api.discovery.v1.EndpointSlice.addressType"),
        Column("Ports", about="=api.discovery.v1.EndpointSlice.ports"),
        Column("Endpoints", about="=api.discovery.v1.EndpointSlice.endpoints"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("endpoints", None)
        for endpoint in obj["endpoints"] or ():
            endpoint.setdefault("conditions", {})
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            if not port.get("protocol"):
                port["protocol"] = "TCP"

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        for endpoint in obj.get("endpoints") or ():
            _move_topology(endpoint)
        for field in ("endpoints", "ports"):
            obj[field] = obj.get(field) or None  # null where empty

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        self.prepare_for_create(ctx, obj)

    def validate(self, obj: Object) -> list[FieldError]:
        kind = obj.get("addressType") or ""
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        errors: list[FieldError] = []
        if not kind:
            errors.append(required("addressType"))
        else:
            errors += one_of(kind, _ADDRESS_TYPES, "addressType")
        if len(endpoints) > _MAXIMUM_ENDPOINTS:
            return [*errors, too_many("endpoints", len(endpoints), _MAXIMUM_ENDPOINTS)]
        for index, endpoint in enumerate(endpoints):
            errors += _endpoint(endpoint, kind, f"endpoints[{index}]")
        return errors + _ports(ports)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        path = "addressType"
        changed = immutable(obj.get(path), old.get(path), path)
        return changed or self.validate(obj)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [
            name_of(obj),
            obj.get("addressType") or "",
            _ports_cell(obj.get("ports") or []),
            _endpoints_cell(obj.get("endpoints") or []),
            age(obj, now),
        ]


def _move_topology(endpoint: Object) -> None:
    """The node's name left the topology map; what remains is not kept for v1 clients."""
    topology = endpoint.pop("deprecatedTopology", None) or {}
    topology.pop("kubernetes.io/hostname", None)
    if topology:
        endpoint["deprecatedTopology"] = topology


def _endpoint(endpoint: Object, kind: str, path: str) -> list[FieldError]:
    addresses = endpoint.get("addresses") or []
    errors: list[FieldError] = []
    own = f"{path}.addresses"
    if not addresses:
        errors.append(required(own, "must contain at least 1 address"))
    elif len(addresses) > _MAXIMUM_ADDRESSES:
        errors.append(too_many(own, len(addresses), _MAXIMUM_ADDRESSES))
    else:
        for index, address in enumerate(addresses):
            errors += _address(address, kind, own, index)
    if endpoint.get("nodeName") is not None:
        errors += dns_subdomain(endpoint["nodeName"], f"{path}.nodeName")
    if endpoint.get("hostname") is not None:
        errors += dns_label(endpoint["hostname"], f"{path}.hostname")
    hints = endpoint.get("hints") or {}
    for field in ("forZones", "forNodes"):
        errors += _hints(hints.get(field) or [], f"{path}.hints.{field}")
    return errors


def _address(address: str, kind: str, path: str, index: int) -> list[FieldError]:
    own = f"{path}[{index}]"
    if kind == "FQDN":
        return dns_subdomain(address, own)
    if kind not in ("IPv4", "IPv6"):
        return []
    errors = endpoint_address(address, own)
    version = 4 if kind == "IPv4" else 6
    if not ip_errors(address) and ipaddress.ip_address(address).version != version:
        errors.insert(0, invalid(path, address, f"must be an {kind} address"))
    return errors


def _hints(hints: list[Object], path: str) -> list[FieldError]:
    if len(hints) > _MAXIMUM_HINTS:
        return [too_many(path, len(hints), _MAXIMUM_HINTS)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, hint in enumerate(hints):
        own, name = f"{path}[{index}].name", str(hint.get("name") or "")
        if name in seen:
            errors.append(duplicate(own, name))
        seen.add(name)
        errors += qualified_name(name, own)
    return errors


def _ports(ports: list[Object]) -> list[FieldError]:
    if len(ports) > _MAXIMUM_PORTS:
        return [too_many("ports", len(ports), _MAXIMUM_PORTS)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        own, name = f"ports[{index}]", str(port.get("name") or "")
        if name:
            errors += dns_label(name, f"{own}.name")
        if name in seen:
            errors.append(duplicate(f"{own}.name", name))
        seen.add(name)
        errors += one_of(port.get("protocol") or "", PROTOCOLS, f"{own}.protocol")
        if port.get("appProtocol") is not None:
            errors += qualified_name(port["appProtocol"], f"{own}.appProtocol")
    return errors


def _ports_cell(ports: list[Object]) -> str:
    if not ports:
        return UNSET
    shown = []
    for port in ports[:MAXIMUM_SHOWN]:
        number = port.get("port")
        shown.append("*" if number is None else str(number))
    return more(shown, len(ports))


def _endpoints_cell(endpoints: list[Object]) -> str:
    addresses = [str(address) for item in endpoints for address in item.get("addresses") or ()]
    if not addresses:
        return UNSET
    return more(addresses[:MAXIMUM_SHOWN], len(addresses))
