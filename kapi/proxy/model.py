"""Services and EndpointSlices as the proxy sees them: one value per service port, per endpoint.

Pure; knows the API's shapes and nothing of nftables. Only IPv4 is proxied: the pod network has
no other family.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kapi.api.object import Object, annotations_of, labels_of, name_of, namespace_of

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_SOURCE_RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"
_DEFAULT_AFFINITY_SECONDS = 10800


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one Service, with everything that decides where its packets go."""

    service: str
    """`namespace/name`."""
    name: str
    """The port's name, empty when it has none."""
    protocol: str
    """Lower case: tcp, udp or sctp."""
    port: int
    cluster_ip: str
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    """Who may use the load balancer's addresses; empty means everybody."""
    node_port: int = 0
    affinity_seconds: int = 0
    """How long a client stays with its endpoint; 0 without session affinity."""
    internal_local: bool = False
    external_local: bool = False

    @property
    def label(self) -> str:
        """The readable part of chain names: `namespace/name/protocol/port name`."""
        return f"{self.service}/{self.protocol}/{self.name}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port behind a service port."""

    address: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""
    zone_hints: frozenset[str] = frozenset()
    node_hints: frozenset[str] = frozenset()

    @property
    def order(self) -> tuple[int, int]:
        return int(ipaddress.IPv4Address(self.address)), self.port


@dataclass(frozen=True, slots=True)
class NodeContext:
    """The machine the rules are for: the nodes it carries, and the zone they are in."""

    names: frozenset[str]
    zone: str = ""


def is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def is_proxied(service: Object) -> bool:
    """Whether this proxy serves it: has a cluster IP, and is not left to another proxy."""
    spec = service.get("spec") or {}
    if PROXY_NAME_LABEL in labels_of(service) or spec.get("type") == "ExternalName":
        return False
    return spec.get("clusterIP", "") not in ("", "None")


def service_ports(service: Object) -> tuple[ServicePort, ...]:
    """The ports to be proxied; empty for headless, ExternalName and foreign Services."""
    if not is_proxied(service):
        return ()
    spec = service["spec"]
    cluster_ips = spec.get("clusterIPs") or [spec["clusterIP"]]
    cluster_ip = next((item for item in cluster_ips if is_ipv4(item)), "")
    if not cluster_ip:
        return ()
    kind = spec.get("type", "ClusterIP")
    load_balancer = kind == "LoadBalancer"
    return tuple(
        ServicePort(
            service=f"{namespace_of(service)}/{name_of(service)}",
            name=port.get("name") or "",
            protocol=port.get("protocol", "TCP").lower(),
            port=port["port"],
            cluster_ip=cluster_ip,
            external_ips=_unique_ipv4(spec.get("externalIPs") or ()),
            load_balancer_ips=_load_balancer_ips(service) if load_balancer else (),
            source_ranges=_source_ranges(service) if load_balancer else (),
            node_port=(port.get("nodePort") or 0) if kind in ("NodePort", "LoadBalancer") else 0,
            affinity_seconds=_affinity_seconds(spec),
            internal_local=spec.get("internalTrafficPolicy") == "Local",
            external_local=spec.get("externalTrafficPolicy") == "Local",
        )
        for port in spec.get("ports") or ()
    )


def _unique_ipv4(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({item for item in addresses if is_ipv4(item)}))


def _load_balancer_ips(service: Object) -> tuple[str, ...]:
    """ipMode Proxy means that packets must really travel to the load balancer."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return _unique_ipv4(
        item.get("ip", "") for item in ingress if item.get("ipMode", "VIP") == "VIP"
    )


def _source_ranges(service: Object) -> tuple[str, ...]:
    ranges = service["spec"].get("loadBalancerSourceRanges")
    if not ranges:
        text = annotations_of(service).get(_SOURCE_RANGES_ANNOTATION, "")
        ranges = [item.strip() for item in text.split(",") if item.strip()]
    networks: set[ipaddress.IPv4Network] = set()
    for item in ranges:
        try:
            networks.add(ipaddress.IPv4Network(item.strip(), strict=False))
        except ValueError:
            continue
    if any(network.prefixlen == 0 for network in networks):
        return ()
    return tuple(str(network) for network in ipaddress.collapse_addresses(networks))


def _affinity_seconds(spec: dict[str, Any]) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(client_ip.get("timeoutSeconds") or _DEFAULT_AFFINITY_SECONDS)


def slice_service(endpoint_slice: Object) -> str:
    """`namespace/name` of the Service a slice belongs to, empty if it names none."""
    name = labels_of(endpoint_slice).get(SERVICE_NAME_LABEL, "")
    return f"{namespace_of(endpoint_slice)}/{name}" if name else ""


def endpoints_of(port: ServicePort, slices: Iterable[Object]) -> tuple[Endpoint, ...]:
    """All endpoints of a service port, in a fixed order, each address and port once.

    Slices of any owner count alike. Where two slices disagree about an address, as they may while
    a pod moves between them, the copy that is not terminating wins.
    """
    found: dict[tuple[str, int], Endpoint] = {}
    for item in slices:
        if item.get("addressType") != "IPv4" or HEADLESS_LABEL in labels_of(item):
            continue
        numbers = {
            slice_port["port"]
            for slice_port in item.get("ports") or ()
            if slice_port.get("port")
            and (slice_port.get("name") or "") == port.name
            and slice_port.get("protocol", "TCP").lower() == port.protocol
        }
        for number in numbers:
            for entry in item.get("endpoints") or ():
                endpoint = _endpoint(entry, number)
                if endpoint is None:
                    continue
                identity = endpoint.address, endpoint.port
                known = found.get(identity)
                if known is None or _standing(endpoint) > _standing(known):
                    found[identity] = endpoint
    return tuple(sorted(found.values(), key=lambda endpoint: endpoint.order))


def _standing(endpoint: Endpoint) -> tuple[bool, bool, bool, str]:
    """Whose word counts among copies; the node's name only makes the choice a fixed one."""
    return not endpoint.terminating, endpoint.ready, endpoint.serving, endpoint.node


def _endpoint(entry: Object, port: int) -> Endpoint | None:
    address = (entry.get("addresses") or [""])[0]
    if not is_ipv4(address):
        return None
    conditions = entry.get("conditions") or {}
    hints = entry.get("hints") or {}
    return Endpoint(
        address=address,
        port=port,
        ready=conditions.get("ready") is not False,
        serving=conditions.get("serving") is not False,
        terminating=bool(conditions.get("terminating")),
        node=entry.get("nodeName") or "",
        zone_hints=frozenset(item["name"] for item in hints.get("forZones") or ()),
        node_hints=frozenset(item["name"] for item in hints.get("forNodes") or ()),
    )
