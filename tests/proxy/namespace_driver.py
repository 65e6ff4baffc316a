"""Applies Services to the network namespace it is started in: JSON on standard input.

Run by test_proxy_e2e.py through `ip netns exec`; not a test itself.
"""

import asyncio
import json
import sys

from kapi.api.object import name_of, namespace_of
from kapi.proxy.bridge_ports import set_hairpin_mode
from kapi.proxy.conntrack import UdpServices, forget_stale_flows
from kapi.proxy.host import HostFacts, HostNetwork
from kapi.proxy.model import NodeContext, endpoints_of, service_ports
from kapi.proxy.render import RenderOptions, base_rules, service_rules
from kapi.proxy.writer import NftWriter


async def apply(state):
    bridge = state["bridge"]
    node = NodeContext(frozenset({"node-a"}))
    host = HostNetwork(("10.96.0.0/16",), bridge, "kapi-services")
    if state.get("cleanup"):
        await host.cleanup()
        await NftWriter("kapi-proxy", base_rules(RenderOptions("0.0.0.0/0", ()))).cleanup()
        return
    set_hairpin_mode(bridge)
    facts = await host.prepare()
    if not state["bridge_filtered"]:
        facts = HostFacts(bridge_filtered=False, route_localnet=facts.route_localnet)
    options = RenderOptions(
        "10.244.0.0/16",
        ("10.96.0.0/16",),
        masquerade_all=not facts.bridge_filtered,
        loopback_node_ports=facts.route_localnet,
        bridge=bridge,
    )
    writer = NftWriter("kapi-proxy", base_rules(options))
    udp = UdpServices()
    for item in state["services"]:
        slices = _of(item, state["slices"])
        mine = [(port, endpoints_of(port, slices)) for port in service_ports(item)]
        writer.table.replace(
            f"{namespace_of(item)}/{name_of(item)}", service_rules(mine, node, options)
        )
        for port, endpoints in mine:
            if port.protocol == "udp":
                targets = {(e.address, e.port) for e in endpoints if e.ready}
                udp.addresses[port.cluster_ip, port.port] = targets
    await writer.write()
    await forget_stale_flows(udp)


def _of(service, slices):
    label = "kubernetes.io/service-name"
    return [item for item in slices if item["metadata"]["labels"][label] == name_of(service)]


if __name__ == "__main__":
    asyncio.run(apply(json.load(sys.stdin)))
