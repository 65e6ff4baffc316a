"""Endpoints, deprecated upstream in favour of EndpointSlice but still served."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid, required
from kapi.api.names import ip_errors
from kapi.api.object import Object, name_of
from kapi.registry.cells import MAXIMUM_SHOWN, NONE, more
from kapi.registry.core.service_validation import endpoint_address
from kapi.registry.fields import (
    PROTOCOLS,
    dns_label,
    dns_subdomain,
    one_of,
    port_number,
    qualified_name,
)
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

DEPRECATION = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"


class EndpointsStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/endpoint/strategy.go`."""

    columns = (NAME_COLUMN, Column("Endpoints", about="=api.core.v1.Endpoints.subsets"), AGE_COLUMN)

    def default(self, obj: Object) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"

    def validate(self, obj: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        for index, subset in enumerate(obj.get("subsets") or ()):
            errors += _subset(subset, f"subsets[{index}]")
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), _endpoints_cell(obj), age(obj, now)]


def _subset(subset: Object, path: str) -> list[FieldError]:
    ready, waiting = subset.get("addresses") or [], subset.get("notReadyAddresses") or []
    errors: list[FieldError] = []
    if not ready and not waiting:
        errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
    for kind, addresses in (("addresses", ready), ("notReadyAddresses", waiting)):
        for index, address in enumerate(addresses):
            errors += _address(address, f"{path}.{kind}[{index}]")
    ports = subset.get("ports") or []
    for index, port in enumerate(ports):
        errors += _port(port, len(ports) > 1, f"{path}.ports[{index}]")
    return errors


def _address(address: Object, path: str) -> list[FieldError]:
    text = str(address.get("ip") or "")
    errors = endpoint_address(text, f"{path}.ip")
    if ip_errors(text) and "leading 0s" not in "".join(str(error) for error in errors):
        errors.append(invalid(f"{path}.ip", text, "must be a valid IP address"))
    if address.get("hostname"):
        errors += dns_label(address["hostname"], f"{path}.hostname")
    node = address.get("nodeName")
    if node is not None:
        errors += dns_subdomain(node, f"{path}.nodeName")
    return errors


def _port(port: Object, named: bool, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if named and not port.get("name"):
        errors.append(required(f"{path}.name"))
    elif port.get("name"):
        errors += dns_label(port["name"], f"{path}.name")
    errors += port_number(port.get("port"), f"{path}.port")
    errors += one_of(port.get("protocol") or "", PROTOCOLS, f"{path}.protocol")
    if port.get("appProtocol") is not None:
        errors += qualified_name(port["appProtocol"], f"{path}.appProtocol")
    return errors


def _endpoints_cell(obj: Object) -> str:
    shown: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [str(item.get("ip", "")) for item in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            shown.extend(addresses)
        for port in ports:
            shown.extend(f"{address}:{port.get('port', 0)}" for address in addresses)
    if not shown:
        return NONE
    return more(shown[:MAXIMUM_SHOWN], len(shown))
