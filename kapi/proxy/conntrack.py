"""Forgetting UDP flows whose endpoint is gone.

A UDP flow has no end that the kernel could see: a client that keeps its source port would be sent
to a vanished pod for as long as it keeps asking. Source of the rules: upstream's
pkg/proxy/conntrack/cleanup.go.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from kapi import env

_log = logging.getLogger(__name__)

_FIELD = re.compile(r"\b(src|dst|sport|dport)=(\S+)")

Target = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Where the client sent, and who is meant to answer."""

    destination: Target
    reply_source: Target


@dataclass(slots=True)
class UdpServices:
    """The serving endpoints behind each UDP address and node port."""

    addresses: dict[Target, set[Target]] = field(default_factory=dict)
    node_ports: dict[int, set[Target]] = field(default_factory=dict)


def parse_flows(listing: str) -> list[Flow]:
    """From the output of `conntrack -L -p udp`; lines of another shape are passed over."""
    flows = []
    for line in listing.splitlines():
        found = _FIELD.findall(line)
        if [name for name, _ in found] != ["src", "dst", "sport", "dport"] * 2:
            continue
        values = [value for _, value in found]
        destination = values[1], int(values[3])
        reply_source = values[4], int(values[6])
        flows.append(Flow(destination, reply_source))
    return flows


def stale_flows(flows: Iterable[Flow], services: UdpServices) -> list[Flow]:
    """Each kind of flow that leads to no serving endpoint any more, once.

    Flows of a service without any serving endpoint stay: there is nowhere better to send them.
    """
    stale: dict[Flow, None] = {}
    for flow in flows:
        serving = services.addresses.get(flow.destination)
        if serving is None:
            serving = services.node_ports.get(flow.destination[1])
        if serving and flow.reply_source not in serving:
            stale[flow] = None
    return list(stale)


async def forget_stale_flows(services: UdpServices) -> None:
    """Ask the conntrack program to list and delete; without the program nothing happens."""
    listing = await _conntrack(["-L", "-p", "udp"])
    for flow in stale_flows(parse_flows(listing), services):
        (address, port), (endpoint, endpoint_port) = flow.destination, flow.reply_source
        _log.info("forgetting UDP flows %s:%d -> %s:%d", address, port, endpoint, endpoint_port)
        arguments = ["--orig-dst", address, "--orig-port-dst", str(port)]
        arguments += ["--reply-src", endpoint, "--reply-port-src", str(endpoint_port)]
        await _conntrack(["-D", "-p", "udp", *arguments])


async def _conntrack(arguments: list[str]) -> str:
    try:
        result = await env.run_process(["conntrack", *arguments], timeout=30.0)
    except (OSError, TimeoutError) as error:
        _log.debug("conntrack cannot be run: %s", error)
        return ""
    return result.stdout.decode(errors="replace")
