"""The proxy of one machine: follows Services and EndpointSlices, keeps the kernel's table in step.

Runs as user `system:kube-proxy` (ClusterRole system:node-proxier).
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from kapi import env
from kapi.api.object import Object, labels_of
from kapi.client.client import ENDPOINT_SLICES, NODES, SERVICES, Client
from kapi.client.informer import key_of
from kapi.client.informers import Informers
from kapi.proxy.bridge_ports import keep_hairpin_mode
from kapi.proxy.conntrack import UdpServices, forget_stale_flows
from kapi.proxy.endpoints import select_endpoints
from kapi.proxy.host import HostFacts, HostNetwork
from kapi.proxy.model import (
    HEADLESS_LABEL,
    PROXY_NAME_LABEL,
    Endpoint,
    NodeContext,
    ServicePort,
    endpoints_of,
    service_ports,
    slice_service,
)
from kapi.proxy.render import RenderOptions, base_rules, service_rules
from kapi.proxy.ruleset import Ruleset
from kapi.proxy.writer import STALE_SECONDS, NftError, NftWriter

_log = logging.getLogger(__name__)

_ZONE_LABEL = "topology.kubernetes.io/zone"
_BY_SERVICE = "service"
# Upstream's default interval is 1 s; a transaction here takes a few milliseconds.
_MIN_SYNC_SECONDS = 0.05
_RETRY_SECONDS = (1.0, 30.0)
_FULL_SYNC_SECONDS = 3600.0
_SERVICES_PER_TURN = 50


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """One machine's proxy."""

    node_names: tuple[str, ...]
    """The nodes this machine carries; endpoints on any of them are local. The first one's
    topology labels count."""
    cluster_cidr: str = "10.244.0.0/16"
    service_cidrs: tuple[str, ...] = ("10.96.0.0/16",)
    bridge: str = "kapi0"
    """The device pods are attached to, which must exist when `run` begins; empty without one."""
    masquerade_egress: bool = True
    table: str = "kapi-proxy"
    sink: str = "kapi-services"
    """The device made for the service range's route."""


class ServiceProxy:
    """`run` until cancelled; the table stays behind, as connections should, until `cleanup`."""

    def __init__(
        self,
        client: Client,
        config: ProxyConfig,
        *,
        host: HostNetwork | None = None,
        nft: tuple[str, ...] = ("nft",),
    ) -> None:
        self._client = client
        self._config = config
        self._host = host or _host_network(config)
        self._options = self._options_for(HostFacts(bridge_filtered=True, route_localnet=False))
        self._node = NodeContext(frozenset(config.node_names))
        self._writer = NftWriter(config.table, base_rules(self._options), nft)
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._synced = asyncio.Event()
        self._udp: dict[str, list[tuple[ServicePort, frozenset[tuple[str, int]]]]] = {}
        self._udp_changed = False

    async def wait_synced(self) -> None:
        """Until the kernel has everything that was there when `run` began."""
        await self._synced.wait()

    async def cleanup(self) -> None:
        """Remove the table and the route. Call when `run` has ended. Raises NftError."""
        await self._host.cleanup()
        await self._writer.cleanup()

    async def run(self) -> None:
        informers = Informers(self._client)
        self._services = informers.get(
            SERVICES,
            label_selector=f"!{PROXY_NAME_LABEL}",
            field_selector="spec.clusterIP!=None",
        )
        self._slices = informers.get(ENDPOINT_SLICES, label_selector=f"!{HEADLESS_LABEL}")
        self._slices.add_index(_BY_SERVICE, _service_of)
        nodes = informers.get(NODES, field_selector=f"metadata.name={self._config.node_names[0]}")
        self._services.add_handler(
            lambda new: self._touch(key_of(new)),
            lambda old, new: self._touch(key_of(new)),
            lambda old: self._touch(key_of(old)),
        )
        self._slices.add_handler(
            lambda new: self._touch(slice_service(new)),
            lambda old, new: self._touch(slice_service(old), slice_service(new)),
            lambda old: self._touch(slice_service(old)),
        )
        nodes.add_handler(self._see_node, lambda old, new: self._see_node(new), lambda old: None)
        informers.start()
        tasks = env.TaskScope()
        try:
            if self._config.bridge:
                tasks.spawn(keep_hairpin_mode(self._config.bridge), "bridge ports")
            await informers.wait_synced()
            await self._keep_in_step()
        finally:
            await tasks.close()
            await informers.close()

    # Noting changes

    def _touch(self, *services: str) -> None:
        self._dirty.update(key for key in services if key)
        self._wake.set()

    def _touch_all(self) -> None:
        self._touch(*self._writer.table.owners(), *(key_of(item) for item in self._services.list()))

    def _see_node(self, node: Object) -> None:
        seen = NodeContext(self._node.names, labels_of(node).get(_ZONE_LABEL, ""))
        if seen != self._node:
            self._node = seen
            self._touch_all()

    # Writing

    async def _keep_in_step(self) -> None:
        retry, full_sync = _RETRY_SECONDS[0], env.monotonic()
        while True:
            self._wake.clear()
            try:
                if env.monotonic() >= full_sync:
                    full_sync = env.monotonic() + _FULL_SYNC_SECONDS
                    await self._look_at_host()
                    self._writer.distrust()
                await self._sync()
            except NftError as error:
                _log.error("Services are out of step, next try in %g s: %s", retry, error)
                await env.sleep(retry)
                retry = min(retry * 2, _RETRY_SECONDS[1])
                continue
            retry = _RETRY_SECONDS[0]
            self._synced.set()
            await env.sleep(_MIN_SYNC_SECONDS)
            due = full_sync - env.monotonic()
            await self._woken(STALE_SECONDS if self._writer.has_stale else max(due, 0.0))

    async def _woken(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _look_at_host(self) -> None:
        options = self._options_for(await self._host.prepare())
        if options != self._options:
            self._options = options
            self._writer.table.replace("", base_rules(options))
            self._touch_all()

    def _options_for(self, facts: HostFacts) -> RenderOptions:
        config = self._config
        return RenderOptions(
            cluster_cidr=config.cluster_cidr,
            service_cidrs=config.service_cidrs,
            masquerade_all=not facts.bridge_filtered,
            loopback_node_ports=facts.route_localnet,
            masquerade_egress=config.masquerade_egress,
            bridge=config.bridge,
        )

    async def _sync(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for number, key in enumerate(sorted(dirty)):
            if number % _SERVICES_PER_TURN == _SERVICES_PER_TURN - 1:
                await env.sleep(0)
            try:
                self._render(key)
            except Exception:
                # One odd object must not end the routing of all others.
                _log.exception("service %s keeps its old rules", key)
        if await self._writer.write():
            _log.debug("wrote the rules of %d changed services", len(dirty))
        if self._udp_changed:
            self._udp_changed = False
            await forget_stale_flows(self._udp_services())

    def _render(self, key: str) -> None:
        service = self._services.get(key)
        ports: list[tuple[ServicePort, tuple[Endpoint, ...]]] = []
        if service is not None:
            slices = list(self._slices.by_index(_BY_SERVICE, key))
            ports = [(port, endpoints_of(port, slices)) for port in service_ports(service)]
        self._writer.table.replace(key, service_rules(ports, self._node, self._options))
        self._note_udp(key, ports)

    def _note_udp(self, key: str, ports: list[tuple[ServicePort, tuple[Endpoint, ...]]]) -> None:
        flows = []
        for port, endpoints in ports:
            if port.protocol == "udp":
                chosen = select_endpoints(port, endpoints, self._node)
                serving = {(item.address, item.port) for item in (*chosen.cluster, *chosen.local)}
                flows.append((port, frozenset(serving)))
        if flows != self._udp.get(key, []):
            self._udp_changed = True
            if flows:
                self._udp[key] = flows
            else:
                self._udp.pop(key, None)

    def _udp_services(self) -> UdpServices:
        known = UdpServices()
        for flows in self._udp.values():
            for port, serving in flows:
                for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
                    known.addresses.setdefault((address, port.port), set()).update(serving)
                if port.node_port:
                    known.node_ports.setdefault(port.node_port, set()).update(serving)
        return known


def _host_network(config: ProxyConfig) -> HostNetwork:
    return HostNetwork(config.service_cidrs, config.bridge, config.sink)


async def cleanup(config: ProxyConfig) -> None:
    """Remove what a proxy with this configuration left on the machine. Raises NftError."""
    await _host_network(config).cleanup()
    await NftWriter(config.table, Ruleset()).cleanup()


def _service_of(endpoint_slice: Object) -> Iterable[str]:
    return (slice_service(endpoint_slice),)
