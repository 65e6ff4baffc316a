"""Whatever happens to Services, the kernel's table ends as it should, change by change."""

import asyncio
from pathlib import Path

import pytest
from fake_nft import FakeNft
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_objects import NODE, OPTIONS, endpoint, endpoint_slice, port, service

from kapi import env
from kapi.proxy.conntrack import Flow, UdpServices, parse_flows, stale_flows
from kapi.proxy.model import endpoints_of, service_ports
from kapi.proxy.render import base_rules, render, service_rules
from kapi.proxy.ruleset import Ruleset
from kapi.proxy.writer import STALE_SECONDS, NftError, NftWriter

HERE = Path(__file__).parent


def share_of(index, addresses, *, sticky=False, external=(), local=False):
    spec = {"externalIPs": list(external), "sessionAffinity": "ClientIP" if sticky else "None"}
    if local:
        spec["externalTrafficPolicy"] = "Local"
    made = service(f"s{index}", f"10.96.1.{index}", port(80, name="p"), **spec)
    members = [endpoint(f"10.244.0.{number}") for number in addresses]
    slices = [endpoint_slice(f"s{index}", [("p", "TCP", 8080)], *members)]
    ports = [(item, endpoints_of(item, slices)) for item in service_ports(made)]
    return service_rules(ports, NODE, OPTIONS)


def expected(ruleset):
    chains = {name: (chain.hook, chain.rules) for name, chain in ruleset.chains.items()}
    sets = {name: spec.declaration for name, spec in ruleset.sets.items()}
    return chains, sets, dict(ruleset.elements)


class SteppedClock:
    def __init__(self):
        self.seconds = 1000.0

    def now(self):
        raise NotImplementedError

    def monotonic(self):
        return self.seconds


steps = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.one_of(st.none(), st.lists(st.integers(2, 6), unique=True, max_size=3)),
        st.booleans(),
        st.sampled_from([(), ("198.51.100.1",), ("198.51.100.1", "198.51.100.2")]),
        st.booleans(),
        st.sampled_from(["", "quiet", "fail", "distrust", "lost"]),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=150)
@given(steps)
def test_the_kernel_follows_every_history(history):
    nft, clock = FakeNft(), SteppedClock()

    async def run():
        writer = NftWriter("kapi-proxy", base_rules(OPTIONS))
        await writer.write()
        for index, addresses, sticky, external, local, event in history:
            share = Ruleset()
            if addresses is not None:
                share = share_of(index, addresses, sticky=sticky, external=external, local=local)
            writer.table.replace(f"default/s{index}", share)
            clock.seconds += STALE_SECONDS if event == "quiet" else 0.1
            if event == "fail":
                nft.fail_next = 1
            if event == "distrust":
                writer.distrust()
            if event == "lost":
                nft.table = None
                writer.distrust()
            await writer.write()
            nft.fail_next = 0
            chains, sets, elements = expected(writer.table.desired())
            found_chains, found_sets, found_elements = nft.contents()
            assert found_elements == elements
            assert {name: found_chains.get(name) for name in chains} == chains
            assert {name: found_sets.get(name) for name in sets} == sets
            # What is left over is empty and waits for its deletion.
            leftover = [rules for name, (_, rules) in found_chains.items() if name not in chains]
            assert not any(leftover)
            assert writer.has_stale or not leftover
        clock.seconds += STALE_SECONDS
        await writer.write()
        assert nft.contents() == expected(writer.table.desired())
        count = len(nft.transactions)
        assert not await writer.write()
        assert len(nft.transactions) == count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(env, "run_process", nft.run_process)
        patch.setattr(env, "monotonic", clock.monotonic)
        asyncio.run(run())


async def test_a_change_writes_only_what_changed(monkeypatch):
    nft = FakeNft()
    monkeypatch.setattr(env, "run_process", nft.run_process)
    writer = NftWriter("kapi-proxy", base_rules(OPTIONS))
    for index in range(1, 50):
        writer.table.replace(f"default/s{index}", share_of(index, [2, 3]))
    await writer.write()
    writer.table.replace("default/s7", share_of(7, [2, 3, 4]))
    await writer.write()

    (name,) = [name for name in nft.table["chains"] if "default/s7/" in name]
    assert nft.transactions[-1].splitlines() == [
        f"add chain ip kapi-proxy {name}",
        f"flush chain ip kapi-proxy {name}",
        f"add rule ip kapi-proxy {name} meta l4proto tcp dnat ip addr . port to numgen random "
        "mod 3 map { 0 : 10.244.0.2 . 8080, 1 : 10.244.0.3 . 8080, 2 : 10.244.0.4 . 8080 }",
        "add element ip kapi-proxy hairpin-connections { 10.244.0.4 . 10.244.0.4 . tcp . 8080 }",
    ]


async def test_trouble_is_reported_and_mended(monkeypatch):
    nft = FakeNft()
    monkeypatch.setattr(env, "run_process", nft.run_process)
    writer = NftWriter("kapi-proxy", base_rules(OPTIONS))
    nft.fail_next = 1
    with pytest.raises(NftError, match="told to fail"):
        await writer.write()
    assert nft.table is None
    await writer.write()
    assert nft.contents() == expected(base_rules(OPTIONS))

    await writer.cleanup()
    assert nft.table is None


def test_two_claims_to_one_address_are_settled_alike():
    first = share_of(1, [2], external=["198.51.100.1"])
    second = share_of(2, [3], external=["198.51.100.1"])
    writer = NftWriter("kapi-proxy", base_rules(OPTIONS))
    writer.table.replace("default/s2", second)
    writer.table.replace("default/s1", first)
    key = ("service-ips", "198.51.100.1 . tcp . 80")

    assert "default/s1/" in writer.table.desired().elements[key]
    writer.table.replace("default/s1", Ruleset())
    assert "default/s2/" in writer.table.desired().elements[key]


GOLDENS = {
    "empty": ([], []),
    "cluster_ip": (
        [service("web", "10.96.0.20", port(80, name="http"), port(53, name="dns", protocol="UDP"))],
        [
            endpoint_slice(
                "web",
                [("http", "TCP", 8080), ("dns", "UDP", 5353)],
                endpoint("10.244.0.5"),
                endpoint("10.244.7.7", node="node-b"),
                endpoint("10.244.0.6", ready=False),
            )
        ],
    ),
    "node_port_local_sticky": (
        [
            service(
                "web",
                "10.96.0.20",
                port(80, node_port=30080),
                type="NodePort",
                externalTrafficPolicy="Local",
                sessionAffinity="ClientIP",
                sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}},
            )
        ],
        [
            endpoint_slice(
                "web",
                [("", "TCP", 8080)],
                endpoint("10.244.0.5"),
                endpoint("10.244.7.7", node="node-b"),
            )
        ],
    ),
    "no_endpoints": (
        [
            service(
                "web", "10.96.0.20", port(80, node_port=30080), type="NodePort",
                externalIPs=["198.51.100.7"],
            )
        ],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(GOLDENS))
def test_whole_listing(name):
    services, slices = GOLDENS[name]
    listing = render(services, slices, NODE, OPTIONS).listing("ip kapi-proxy")

    assert listing == (HERE / "testdata" / f"{name}.nft").read_text()


def test_flows_to_vanished_endpoints_are_stale():
    listing = (
        "udp      17 29 src=10.244.0.9 dst=10.96.0.10 sport=4444 dport=53 "
        "src=10.244.0.5 dst=10.244.0.9 sport=5353 dport=4444 [ASSURED] mark=0 use=1\n"
        "udp      17 29 src=10.244.0.9 dst=10.96.0.10 sport=4445 dport=53 [UNREPLIED] "
        "src=10.244.0.6 dst=10.244.0.9 sport=5353 dport=4445 mark=0 use=1\n"
        "udp      17 29 src=192.0.2.9 dst=192.0.2.1 sport=7 dport=30053 [UNREPLIED] "
        "src=192.0.2.1 dst=192.0.2.9 sport=30053 dport=7 mark=0 use=1\n"
        "udp      17 29 src=192.0.2.9 dst=8.8.8.8 sport=7 dport=53 "
        "src=8.8.8.8 dst=192.0.2.9 sport=53 dport=7 mark=0 use=1\n"
        "conntrack v1.4.7 (conntrack-tools): 4 flow entries have been shown.\n"
    )
    flows = parse_flows(listing)
    assert len(flows) == 4
    serving = {("10.244.0.5", 5353)}
    services = UdpServices({("10.96.0.10", 53): serving}, {30053: serving})

    assert stale_flows(flows, services) == [
        Flow(("10.96.0.10", 53), ("10.244.0.6", 5353)),
        Flow(("192.0.2.1", 30053), ("192.0.2.1", 30053)),
    ]
    nobody = UdpServices({("10.96.0.10", 53): set()}, {})
    assert stale_flows(flows, nobody) == []
