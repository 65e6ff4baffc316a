"""From one Service and its EndpointSlices to the records of its names. Pure.

Names here are lower case, without the final dot, and relative to nothing: `web.default.svc.
cluster.local`. A name that is in the result exists; a type without records is an empty answer.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kapi.api.object import Object, name_of, namespace_of

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Srv:
    """One SRV record; the priority is always 0."""

    weight: int
    port: int
    target: str


@dataclass(slots=True)
class Records:
    """Everything one name has."""

    a: list[str] = field(default_factory=list)
    aaaa: list[str] = field(default_factory=list)
    srv: list[Srv] = field(default_factory=list)
    cname: str = ""

    def add_address(self, address: str) -> None:
        found = self.aaaa if ":" in address else self.a
        if address not in found:
            found.append(address)


@dataclass(frozen=True, slots=True)
class ServiceRecords:
    """A Service's names, and which names its addresses lead back to."""

    names: Mapping[str, Records]
    pointers: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Address:
    address: str
    host: str
    """The endpoint's own label below the Service."""


def dashed(address: str) -> str:
    """`10.1.2.3` -> `10-1-2-3`: the label of an endpoint without a hostname."""
    return address.replace(".", "-").replace(":", "-")


def slice_service(endpoint_slice: Object) -> str:
    """`namespace/name` of the Service a slice belongs to, empty if it names none."""
    labels = endpoint_slice["metadata"].get("labels") or {}
    name = labels.get(SERVICE_NAME_LABEL, "")
    return f"{namespace_of(endpoint_slice)}/{name}" if name else ""


def service_records(service: Object, slices: Iterable[Object], domain: str) -> ServiceRecords:
    """All names of a Service; a headless Service without ready endpoints has none."""
    spec = service.get("spec") or {}
    base = f"{name_of(service)}.{namespace_of(service)}.svc.{domain}"
    if spec.get("type") == "ExternalName":
        return _external_name(base, spec.get("externalName", ""))
    cluster_ips = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    headless = "None" in cluster_ips
    if not headless and not any(cluster_ips):
        return ServiceRecords({}, {})
    names: dict[str, Records] = {}
    pointers: dict[str, tuple[str, ...]] = {}
    for item in slices:
        _add_endpoints(names, pointers, base, item, headless=headless)
    if headless:
        _even_weights(names)
    else:
        own = names[base] = Records()
        for address in cluster_ips:
            own.add_address(address)
            pointers[address] = (base,)
        for port in spec.get("ports") or ():
            _add_port(names, base, own, port)
        _even_weights(names)
    return ServiceRecords(names, pointers)


def _external_name(base: str, target: str) -> ServiceRecords:
    target = target.rstrip(".")
    try:
        ipaddress.ip_address(target)
    except ValueError:
        return ServiceRecords({base: Records(cname=target)} if target else {}, {})
    # An address is no name, so there is nothing to refer to.
    return ServiceRecords({}, {})


def _add_port(names: dict[str, Records], base: str, own: Records, port: Object) -> None:
    record = Srv(1, port["port"], base)
    own.srv.append(record)
    if port.get("name"):
        protocol = port.get("protocol", "TCP").lower()
        names[f"_{port['name']}._{protocol}.{base}".lower()] = Records(
            a=own.a, aaaa=own.aaaa, srv=[record]
        )


def _add_endpoints(
    names: dict[str, Records],
    pointers: dict[str, tuple[str, ...]],
    base: str,
    item: Object,
    *,
    headless: bool,
) -> None:
    for endpoint in _ready(item):
        host = f"{endpoint.host}.{base}"
        names.setdefault(host, Records()).add_address(endpoint.address)
        known = pointers.get(endpoint.address, ())
        if host not in known:
            pointers[endpoint.address] = (*known, host)
        if not headless:
            continue
        own = names.setdefault(base, Records())
        own.add_address(endpoint.address)
        for port in item.get("ports") or ():
            if not port.get("port"):
                continue
            record = Srv(1, port["port"], host)
            holders = [own]
            if port.get("name"):
                protocol = port.get("protocol", "TCP").lower()
                label = f"_{port['name']}._{protocol}.{base}".lower()
                holders.append(names.setdefault(label, Records()))
                holders[-1].add_address(endpoint.address)
            for holder in holders:
                if record not in holder.srv:
                    holder.srv.append(record)


def _ready(endpoint_slice: Object) -> Iterable[_Address]:
    if endpoint_slice.get("addressType") not in ("IPv4", "IPv6"):
        return
    for entry in endpoint_slice.get("endpoints") or ():
        if (entry.get("conditions") or {}).get("ready") is False:
            continue
        for address in entry.get("addresses") or ():
            host = (entry.get("hostname") or dashed(address)).lower()
            yield _Address(address, host)


def _even_weights(names: Mapping[str, Records]) -> None:
    """CoreDNS: a hundred shared out evenly, at least one each."""
    for records in names.values():
        count = len(records.srv)
        if count:
            weight = max(1, 100 // count)
            records.srv = [Srv(weight, item.port, item.target) for item in records.srv]
