"""EndpointSlice."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, name_of
from kapi.registry.cells import MAXIMUM_SHOWN, UNSET, more
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age


class EndpointSliceStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/discovery/endpointslice/strategy.go`."""

    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("AddressType"),
        Column("Ports"),
        Column("Endpoints"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        obj["endpoints"] = obj.get("endpoints") or None
        obj["ports"] = obj.get("ports") or None
        for endpoint in obj["endpoints"] or ():
            endpoint.setdefault("conditions", {})
        for port in obj["ports"] or ():
            port.setdefault("name", "")
            if not port.get("protocol"):
                port["protocol"] = "TCP"

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [
            name_of(obj),
            obj.get("addressType") or "",
            _ports_cell(obj.get("ports") or []),
            _endpoints_cell(obj.get("endpoints") or []),
            age(obj, now),
        ]


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
