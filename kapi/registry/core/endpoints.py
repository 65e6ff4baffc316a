"""Endpoints, deprecated upstream in favour of EndpointSlice but still served."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, name_of
from kapi.registry.cells import MAXIMUM_SHOWN, NONE, more
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

DEPRECATION = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"


class EndpointsStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/endpoint/strategy.go`."""

    columns = (NAME_COLUMN, Column("Endpoints"), AGE_COLUMN)

    def default(self, obj: Object) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), _endpoints_cell(obj), age(obj, now)]


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
