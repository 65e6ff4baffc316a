"""From Services and endpoints to rules. Pure: the same input gives the same text.

`base_rules` is the part of the table that never changes; `service_rules` is one Service's share;
`render` is the whole, for tests and for whoever wants to see it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kapi.api.object import Object
from kapi.proxy.endpoints import Selection, select_endpoints
from kapi.proxy.model import (
    Endpoint,
    NodeContext,
    ServicePort,
    endpoints_of,
    service_ports,
    slice_service,
)
from kapi.proxy.ruleset import Chain, Element, Ruleset, SetSpec, hashed_name, merge

# Upstream's mark for "masquerade this on the way out": bit 14.
_MARK = "meta mark set meta mark or 0x4000"
_SERVICE_KEY = "ipv4_addr . inet_proto . inet_service"
_NODE_PORT_KEY = "inet_proto . inet_service"
_DESTINATION = "ip daddr . meta l4proto . th dport"

_SETS = {
    "cluster-ips": SetSpec("type ipv4_addr;"),
    "hairpin-connections": SetSpec(f"type ipv4_addr . {_SERVICE_KEY};"),
    "service-ips": SetSpec(f"type {_SERVICE_KEY} : verdict;", is_map=True),
    "service-nodeports": SetSpec(f"type {_NODE_PORT_KEY} : verdict;", is_map=True),
    "no-endpoint-services": SetSpec(f"type {_SERVICE_KEY} : verdict;", is_map=True),
    "no-endpoint-nodeports": SetSpec(f"type {_NODE_PORT_KEY} : verdict;", is_map=True),
    "firewall-ips": SetSpec(f"type {_SERVICE_KEY} : verdict;", is_map=True),
}

# Priorities are numbers, because nft takes the name `dstnat` for prerouting only.
_DSTNAT, _SRCNAT, _FILTER = -100, 100, 0


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What the rules depend on besides Services."""

    cluster_cidr: str
    """Addresses of pods; whatever else talks to a cluster IP is masqueraded."""
    service_cidrs: tuple[str, ...]
    masquerade_all: bool = False
    """For bridges whose traffic netfilter does not see: replies must pass through the host."""
    loopback_node_ports: bool = False
    """Answer node ports on 127.0.0.1; the bridge needs the sysctl route_localnet."""
    masquerade_egress: bool = True
    """Hide pods behind the machine's address when they talk to the outside."""
    bridge: str = ""
    """Where pods are attached; what stays on it is never hidden."""


def render(
    services: Iterable[Object],
    endpoint_slices: Iterable[Object],
    node: NodeContext,
    options: RenderOptions,
) -> Ruleset:
    """The whole table."""
    by_service: dict[str, list[Object]] = {}
    for item in endpoint_slices:
        by_service.setdefault(slice_service(item), []).append(item)
    shares = [("", base_rules(options))]
    for service in services:
        for port in service_ports(service):
            endpoints = endpoints_of(port, by_service.get(port.service, ()))
            share = service_rules([(port, endpoints)], node, options)
            shares.append((port.service, share))
    return merge(shares)


def base_rules(options: RenderOptions) -> Ruleset:
    """Base chains, the chains they jump to, and the empty sets and maps."""
    new = "ct state new jump"
    chains = {
        "filter-prerouting-pre-dnat": _base("filter", "prerouting", _DSTNAT - 10)(
            f"{new} firewall-check"
        ),
        "filter-output-pre-dnat": _base("filter", "output", _DSTNAT - 10)(f"{new} firewall-check"),
        "filter-input": _base("filter", "input", _FILTER)(
            *_loopback_guard(options),
            f"{new} nodeport-endpoints-check",
            f"{new} service-endpoints-check",
            "jump cluster-ips-check",
        ),
        "filter-forward": _base("filter", "forward", _FILTER)(
            f"{new} service-endpoints-check", "jump cluster-ips-check"
        ),
        "filter-output": _base("filter", "output", _FILTER)(
            f"{new} service-endpoints-check", "jump cluster-ips-check"
        ),
        "nat-prerouting": _base("nat", "prerouting", _DSTNAT)("jump services"),
        "nat-output": _base("nat", "output", _DSTNAT)("jump services"),
        "nat-postrouting": _base("nat", "postrouting", _SRCNAT)("jump masquerading"),
        "services": Chain(_services(options)),
        "masquerading": Chain(_masquerading(options)),
        "firewall-check": Chain((f"{_DESTINATION} vmap @firewall-ips",)),
        "service-endpoints-check": Chain((f"{_DESTINATION} vmap @no-endpoint-services",)),
        "nodeport-endpoints-check": Chain(
            ("fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports",)
        ),
        "cluster-ips-check": Chain(_guard(options)),
        # A reset, where there is one: the kernel sends few ICMP messages per second to one host.
        "reject-chain": Chain(("meta l4proto tcp reject with tcp reset", "reject")),
    }
    return Ruleset(chains, dict(_SETS))


class _base:
    """A base chain in the making: called with its rules."""

    def __init__(self, kind: str, hook: str, priority: int) -> None:
        self._hook = f"type {kind} hook {hook} priority {priority};"

    def __call__(self, *rules: str) -> Chain:
        return Chain(rules, self._hook)


def _loopback_guard(options: RenderOptions) -> tuple[str, ...]:
    """route_localnet lets the bridge deliver to 127.0.0.1; only replies may make use of it."""
    if not options.loopback_node_ports:
        return ()
    return ('iifname != "lo" ip daddr 127.0.0.0/8 ct state != { established, related } drop',)


def _guard(options: RenderOptions) -> tuple[str, ...]:
    """What still bears a service address here was not translated, and must end on this host.

    Not limited to new connections: nothing with such a destination is ever legitimate here.
    """
    ranges = ", ".join(options.service_cidrs)
    return (
        "ip daddr @cluster-ips goto reject-chain",
        f"ip daddr {{ {ranges} }} goto reject-chain",
    )


def _services(options: RenderOptions) -> tuple[str, ...]:
    from_outside = "" if options.masquerade_all else f"ip saddr != {options.cluster_cidr} "
    not_loopback = "" if options.loopback_node_ports else "ip daddr != 127.0.0.0/8 "
    return (
        f"{from_outside}ip daddr @cluster-ips {_MARK}",
        f"{_DESTINATION} vmap @service-ips",
        f"fib daddr type local {not_loopback}meta l4proto . th dport vmap @service-nodeports",
    )


def _masquerading(options: RenderOptions) -> tuple[str, ...]:
    rules = [
        "meta mark and 0x4000 != 0 meta mark set meta mark xor 0x4000 masquerade fully-random",
        # A pod that reaches itself through its Service must not see its own address as source.
        "ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections "
        "masquerade fully-random",
    ]
    if options.masquerade_egress:
        inside = f'{{ "lo", "{options.bridge}" }}' if options.bridge else '"lo"'
        rules.append(
            f"oifname != {inside} ip saddr {options.cluster_cidr} "
            f"ip daddr != {options.cluster_cidr} masquerade"
        )
    return tuple(rules)


def service_rules(
    ports: Sequence[tuple[ServicePort, Sequence[Endpoint]]],
    node: NodeContext,
    options: RenderOptions,
) -> Ruleset:
    """One Service's share of the table."""
    parts = [
        _PortRules(port, select_endpoints(port, endpoints, node), node, options).build()
        for port, endpoints in ports
    ]
    return merge(("", part) for part in parts)


class _PortRules:
    """Collects the chains, sets and elements of one service port."""

    def __init__(
        self, port: ServicePort, selection: Selection, node: NodeContext, options: RenderOptions
    ) -> None:
        self._port = port
        self._selection = selection
        self._node = node
        self._options = options
        self._chains: dict[str, Chain] = {}
        self._sets: dict[str, SetSpec] = {}
        self._elements: dict[Element, str] = {}

    def build(self) -> Ruleset:
        selection = self._selection
        service = self._balance("service", selection.cluster)
        local = self._balance("local", selection.local)
        self._internal(local if self._port.internal_local else service)
        if self._outside_addresses or self._port.node_port:
            self._external(service, local)
        self._firewall()
        for endpoint in {*selection.cluster, *selection.local}:
            if endpoint.node in self._node.names:
                self._hairpin(endpoint)
        return Ruleset(self._chains, self._sets, self._elements)

    @property
    def _outside_addresses(self) -> tuple[str, ...]:
        own = {*self._port.external_ips, *self._port.load_balancer_ips} - {self._port.cluster_ip}
        return tuple(sorted(own))

    def _name(self, role: str) -> str:
        return hashed_name(role, self._port.label)

    def _key(self, address: str) -> str:
        return f"{address} . {self._port.protocol} . {self._port.port}"

    def _refusal(self) -> str:
        """Nothing anywhere: refuse. Something elsewhere, but Local here: drop, as upstream."""
        return "drop" if self._selection.any else "goto reject-chain"

    def _balance(self, role: str, endpoints: Sequence[Endpoint]) -> str:
        """A chain that spreads connections evenly; returns its name, empty without endpoints."""
        if not endpoints:
            return ""
        port, count = self._port, len(endpoints)
        if port.affinity_seconds:
            chains = [self._sticky(endpoint) for endpoint in endpoints]
            rules = [f"ip saddr @{set_name} goto {chain}" for set_name, chain in chains]
            choices = ", ".join(
                f"{index} : goto {chain}" for index, (_, chain) in enumerate(chains)
            )
            rules.append(f"numgen random mod {count} vmap {{ {choices} }}")
        else:
            choices = ", ".join(
                f"{index} : {endpoint.address} . {endpoint.port}"
                for index, endpoint in enumerate(endpoints)
            )
            rules = [
                f"meta l4proto {port.protocol} dnat ip addr . port to "
                f"numgen random mod {count} map {{ {choices} }}"
            ]
        name = self._name(role)
        self._chains[name] = Chain(tuple(rules))
        return name

    def _sticky(self, endpoint: Endpoint) -> tuple[str, str]:
        """The set of clients that stay with an endpoint, and the chain that leads to it.

        The timeout is part of the set's identity, because a set cannot change its own.
        """
        port = self._port
        target = f"{endpoint.address}:{endpoint.port}"
        label = f"{port.label}__{endpoint.address}/{endpoint.port}"
        set_name = hashed_name("affinity", label, f"{label}/{port.affinity_seconds}")
        chain = hashed_name("endpoint", label)
        self._sets[set_name] = SetSpec(
            f"type ipv4_addr; flags dynamic, timeout; timeout {port.affinity_seconds}s;",
            dynamic=True,
        )
        self._chains[chain] = Chain(
            (
                f"update @{set_name} {{ ip saddr }}",
                f"meta l4proto {port.protocol} dnat to {target}",
            )
        )
        return set_name, chain

    def _internal(self, chain: str) -> None:
        key = self._key(self._port.cluster_ip)
        self._elements["cluster-ips", self._port.cluster_ip] = ""
        if chain:
            self._elements["service-ips", key] = f"goto {chain}"
        else:
            self._elements["no-endpoint-services", key] = self._refusal()

    def _external(self, service: str, local: str) -> None:
        """For external addresses and node ports: what comes from outside."""
        if service:
            name = self._name("external")
            self._chains[name] = Chain(self._external_rules(service, local))
            for address in self._outside_addresses:
                self._elements["service-ips", self._key(address)] = f"goto {name}"
            if self._port.node_port:
                self._elements["service-nodeports", self._node_port_key] = f"goto {name}"
        if service and (local or not self._port.external_local):
            return
        for address in self._outside_addresses:
            self._elements["no-endpoint-services", self._key(address)] = self._refusal()
        if self._port.node_port:
            self._elements["no-endpoint-nodeports", self._node_port_key] = self._refusal()

    @property
    def _node_port_key(self) -> str:
        return f"{self._port.protocol} . {self._port.node_port}"

    def _external_rules(self, service: str, local: str) -> tuple[str, ...]:
        if not self._port.external_local:
            return (_MARK, f"goto {service}")
        # Policy Local is for clients outside: pods and the machine itself go anywhere. The
        # client's address survives only on the way to a local endpoint.
        mark = f"{_MARK} " if self._options.masquerade_all else ""
        rules = [
            f"ip saddr {self._options.cluster_cidr} {mark}goto {service}",
            f"fib saddr type local {_MARK} goto {service}",
        ]
        if local:
            rules.append(f"goto {local}")
        return tuple(rules)

    def _firewall(self) -> None:
        port = self._port
        if not port.source_ranges or not port.load_balancer_ips:
            return
        name = self._name("firewall")
        self._chains[name] = Chain((f"ip saddr != {{ {', '.join(port.source_ranges)} }} drop",))
        for address in port.load_balancer_ips:
            self._elements["firewall-ips", self._key(address)] = f"goto {name}"

    def _hairpin(self, endpoint: Endpoint) -> None:
        address = endpoint.address
        key = f"{address} . {address} . {self._port.protocol} . {endpoint.port}"
        self._elements["hairpin-connections", key] = ""
