"""What Services need from the machine besides the table: a route, sysctls, Docker's consent.

The route of the service CIDR leads to a bridge without ports, made for the purpose. It is there
for the kernel's first route lookup: without any route `connect` fails on the host before a rule
is asked. A packet that is translated gets another route; one that is not ends in the table's
guard, and even without the table it never reaches the default route. Why not a device that is
there anyway: from loopback a refusal never gets back to a caller on the host, because it would
come from the service's address; on the pods' bridge every refused packet first draws an ICMP
redirect, after which the kernel's rate limit swallows the refusal.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kapi import env

_log = logging.getLogger(__name__)

_SYSCTL = Path("/proc/sys")
_FORWARD = "net/ipv4/ip_forward"
_BRIDGE_FILTER = "net/bridge/bridge-nf-call-iptables"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the machine allows, as far as the rules depend on it."""

    bridge_filtered: bool
    """Traffic between two ports of the bridge passes netfilter, so replies are translated back."""
    route_localnet: bool
    """A connection to 127.0.0.1 may be led to the bridge."""


class HostNetwork:
    """Prepares the machine; everything here can be done again without harm."""

    def __init__(self, service_cidrs: tuple[str, ...], bridge: str, sink: str) -> None:
        """`bridge` carries pods, empty if nothing does; `sink` is the device made here."""
        self._service_cidrs = service_cidrs
        self._bridge = bridge
        self._sink = sink

    async def prepare(self) -> HostFacts:
        """Trouble is logged, not raised: rules without a sysctl still serve most connections."""
        await self._lead_to_sink()
        _set_sysctl(_FORWARD)
        if not self._bridge:
            return HostFacts(bridge_filtered=True, route_localnet=False)
        await self._let_translated_through_docker()
        return HostFacts(
            bridge_filtered=await self._filter_bridge(),
            route_localnet=_set_sysctl(f"net/ipv4/conf/{self._bridge}/route_localnet"),
        )

    async def cleanup(self) -> None:
        """Take back the device with its routes, and the rule in Docker's chain; sysctls stay."""
        try:
            async with AsyncIPRoute() as netlink:
                for index in await netlink.link_lookup(ifname=self._sink):
                    await netlink.link("del", index=index)
        except (NetlinkError, OSError) as error:
            _log.warning("the device %s cannot be removed: %s", self._sink, error)
        if self._bridge:
            for rule in self._docker_rules():
                while await _iptables("-D", rule):
                    pass

    async def _lead_to_sink(self) -> None:
        try:
            async with AsyncIPRoute() as netlink:
                if not await netlink.link_lookup(ifname=self._sink):
                    await netlink.link("add", ifname=self._sink, kind="bridge")
                (index,) = await netlink.link_lookup(ifname=self._sink)
                await netlink.link("set", index=index, state="up")
                for cidr in self._service_cidrs:
                    await netlink.route(
                        "replace", dst=cidr, oif=index, scope="link", proto="static"
                    )
        except (NetlinkError, OSError) as error:
            _log.warning("no route for the service range %s: %s", self._service_cidrs, error)

    async def _filter_bridge(self) -> bool:
        if not (_SYSCTL / _BRIDGE_FILTER).exists():
            await _succeeds(["modprobe", "br_netfilter"])
        filtered = _set_sysctl(_BRIDGE_FILTER)
        if not filtered:
            _log.info("the bridge is out of netfilter's sight: service traffic is masqueraded")
        return filtered

    async def _let_translated_through_docker(self) -> None:
        """Docker drops what comes from outside, or from another network of its own, to a bridge.

        Clients of node ports come from both, and their answers have to get back.
        """
        for rule in self._docker_rules():
            if not await _iptables("-C", rule) and not await _iptables("-I", rule):
                _log.info("no DOCKER-USER chain: node ports depend on the machine's forward rules")
                return

    def _docker_rules(self) -> list[list[str]]:
        translated = ["-m", "conntrack", "--ctstate", "DNAT"]
        answer = ["-m", "conntrack", "--ctstate", "ESTABLISHED"]
        return [
            ["-o", self._bridge, *translated, "-j", "ACCEPT"],
            ["-i", self._bridge, *translated, *answer, "-j", "ACCEPT"],
        ]


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


async def _iptables(action: str, rule: list[str]) -> bool:
    return await _succeeds(["iptables", "-w", action, "DOCKER-USER", *rule])


async def _succeeds(argv: list[str]) -> bool:
    try:
        result = await env.run_process(argv, timeout=30.0)
    except (OSError, TimeoutError):
        return False
    return result.exit_code == 0
