"""What Services need from the machine besides the table: a route, sysctls, Docker's consent.

The route of the service CIDR leads to the loopback device. It is there for the kernel's first
route lookup of a connection that the host itself opens: without any route `connect` fails before
a rule is asked. A packet that is translated gets another route; one that is not ends in the
table's guard, and even without the table it never reaches the default route.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kapi import env

_log = logging.getLogger(__name__)

_SYSCTL = Path("/proc/sys")
_FORWARD = "net/ipv4/ip_forward"
_BRIDGE_FILTER = "net/bridge/bridge-nf-call-iptables"
# Loopback has a far larger MTU than what the packets really leave by.
_ROUTE_MTU = 1500
_NO_SUCH_ROUTE = 3


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the machine allows, as far as the rules depend on it."""

    bridge_filtered: bool
    """Traffic between two ports of the bridge passes netfilter, so replies are translated back."""
    route_localnet: bool
    """A connection to 127.0.0.1 may be led to the bridge."""


class HostNetwork:
    """Prepares the machine; everything here can be done again without harm."""

    def __init__(self, service_cidrs: tuple[str, ...], bridge: str) -> None:
        self._service_cidrs = service_cidrs
        self._bridge = bridge

    async def prepare(self) -> HostFacts:
        """Trouble is logged, not raised: rules without a sysctl still serve most connections."""
        for cidr in self._service_cidrs:
            await self._route("replace", cidr)
        _set_sysctl(_FORWARD)
        if not self._bridge:
            return HostFacts(bridge_filtered=True, route_localnet=False)
        await self._let_translated_through_docker()
        return HostFacts(
            bridge_filtered=await self._filter_bridge(),
            route_localnet=_set_sysctl(f"net/ipv4/conf/{self._bridge}/route_localnet"),
        )

    async def cleanup(self) -> None:
        """Take back the route and the rule in Docker's chain; sysctls stay."""
        for cidr in self._service_cidrs:
            await self._route("del", cidr)
        if self._bridge:
            while await self._docker_rule("-D"):
                pass

    async def _route(self, command: str, cidr: str) -> None:
        route: dict[str, Any] = {"dst": cidr, "scope": "link", "proto": "static"}
        try:
            async with AsyncIPRoute() as netlink:
                (loopback,) = await netlink.link_lookup(ifname="lo")
                mtu = {"metrics": {"mtu": _ROUTE_MTU}} if command == "replace" else {}
                await netlink.route(command, oif=loopback, **route, **mtu)
        except (NetlinkError, OSError) as error:
            if command == "del" and getattr(error, "code", 0) == _NO_SUCH_ROUTE:
                return
            _log.warning("route %s of the service range %s failed: %s", command, cidr, error)

    async def _filter_bridge(self) -> bool:
        if not (_SYSCTL / _BRIDGE_FILTER).exists():
            await _succeeds(["modprobe", "br_netfilter"])
        filtered = _set_sysctl(_BRIDGE_FILTER)
        if not filtered:
            _log.info("the bridge is out of netfilter's sight: service traffic is masqueraded")
        return filtered

    async def _let_translated_through_docker(self) -> None:
        """Docker drops what comes from outside to a bridge; node ports must pass."""
        if await self._docker_rule("-C") or await self._docker_rule("-I"):
            return
        _log.info("no DOCKER-USER chain: node ports depend on the machine's own forward rules")

    async def _docker_rule(self, action: str) -> bool:
        rule = ["-o", self._bridge, "-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT"]
        return await _succeeds(["iptables", "-w", action, "DOCKER-USER", *rule])


def _set_sysctl(name: str) -> bool:
    """Turn a switch on; False when that is not possible."""
    path = _SYSCTL / name
    try:
        if env.read_text(path).strip() == "0":
            # Not `write_text`: that replaces the file, which /proc does not allow.
            env.append_text(path, "1")
        return env.read_text(path).strip() != "0"
    except OSError as error:
        _log.info("sysctl %s cannot be set: %s", name, error)
        return False


async def _succeeds(argv: list[str]) -> bool:
    try:
        result = await env.run_process(argv, timeout=30.0)
    except (OSError, TimeoutError):
        return False
    return result.exit_code == 0
