"""Where packets end up: a table over the rendered rules, and promises for any Services."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_tracer import Packet, Tracer
from proxy_objects import LOCAL_ADDRESSES, NODE, OPTIONS, endpoint, endpoint_slice, port, service

from kapi.proxy.model import NodeContext
from kapi.proxy.render import render

POD, OTHER_POD, NODE_IP, OUTSIDE = "10.244.0.5", "10.244.0.99", "192.0.2.1", "192.0.2.9"
FAR_POD = "10.244.7.7"
VIP, NODE_PORT, EXTERNAL = "10.96.0.20", 30080, "198.51.100.7"


def web(**spec):
    ports = [port(80, name="http", node_port=NODE_PORT)]
    return service("web", VIP, *ports, type="NodePort", externalIPs=[EXTERNAL], **spec)


def slices(*endpoints):
    return [endpoint_slice("web", [("http", "TCP", 8080)], *endpoints)]


NEAR, FAR = endpoint(POD), endpoint(FAR_POD, node="node-b")


def outcome(services, endpoint_slices, packet, *, options=OPTIONS, node=NODE, affinity=None):
    """(verdict, set of target addresses, masqueraded or not: a set as well)."""
    rules = render(services, endpoint_slices, node, options)
    found = Tracer(rules, LOCAL_ADDRESSES, affinity).send(packet)
    return (
        {item.verdict for item in found},
        {target[0] for item in found for target in item.targets},
        {item.masqueraded for item in found},
    )


ACCEPT, REJECT, DROP = {"accept"}, {"reject"}, {"drop"}


@pytest.mark.parametrize(
    ("case", "spec", "endpoints", "source", "destination", "number", "expected"),
    [
        ("pod", {}, [NEAR, FAR], OTHER_POD, VIP, 80, (ACCEPT, {POD, FAR_POD}, {False})),
        ("hairpin", {}, [NEAR], POD, VIP, 80, (ACCEPT, {POD}, {True})),
        ("host", {}, [NEAR], NODE_IP, VIP, 80, (ACCEPT, {POD}, {True})),
        ("outside to VIP", {}, [NEAR], OUTSIDE, VIP, 80, (ACCEPT, {POD}, {True})),
        ("node port", {}, [NEAR], OUTSIDE, NODE_IP, 30080, (ACCEPT, {POD}, {True})),
        ("bridge address", {}, [NEAR], POD, "10.244.0.1", 30080, (ACCEPT, {POD}, {True})),
        ("no loopback", {}, [NEAR], "127.0.0.1", "127.0.0.1", 30080, (ACCEPT, set(), {False})),
        ("external", {}, [NEAR], OUTSIDE, EXTERNAL, 80, (ACCEPT, {POD}, {True})),
        ("wrong port", {}, [NEAR], OTHER_POD, VIP, 81, (REJECT, set(), {False})),
        ("unallocated", {}, [NEAR], OTHER_POD, "10.96.9.9", 80, (REJECT, set(), {False})),
        ("empty", {}, [], OTHER_POD, VIP, 80, (REJECT, set(), {False})),
        ("empty from host", {}, [], NODE_IP, VIP, 80, (REJECT, set(), {False})),
        ("empty node port", {}, [], OUTSIDE, NODE_IP, 30080, (REJECT, set(), {False})),
        ("empty external", {}, [], OUTSIDE, EXTERNAL, 80, (REJECT, set(), {False})),
        ("egress", {}, [NEAR], POD, "203.0.113.1", 443, (ACCEPT, set(), {True})),
        ("pod to pod", {}, [NEAR], POD, OTHER_POD, 443, (ACCEPT, set(), {False})),
    ],
)
def test_policy_cluster(case, spec, endpoints, source, destination, number, expected):
    packet = Packet(source, destination, number)

    assert outcome([web(**spec)], slices(*endpoints), packet) == expected, case


INTERNAL_LOCAL = {"internalTrafficPolicy": "Local"}
EXTERNAL_LOCAL = {"externalTrafficPolicy": "Local"}


@pytest.mark.parametrize(
    ("case", "spec", "endpoints", "source", "destination", "number", "expected"),
    [
        ("stays", INTERNAL_LOCAL, [NEAR, FAR], OTHER_POD, VIP, 80, (ACCEPT, {POD}, {False})),
        ("none here", INTERNAL_LOCAL, [FAR], OTHER_POD, VIP, 80, (DROP, set(), {False})),
        ("none at all", INTERNAL_LOCAL, [], OTHER_POD, VIP, 80, (REJECT, set(), {False})),
        ("keeps source", EXTERNAL_LOCAL, [NEAR, FAR], OUTSIDE, NODE_IP, 30080,
         (ACCEPT, {POD}, {False})),
        ("elsewhere", EXTERNAL_LOCAL, [FAR], OUTSIDE, NODE_IP, 30080, (DROP, set(), {False})),
        ("pod anywhere", EXTERNAL_LOCAL, [FAR], OTHER_POD, NODE_IP, 30080,
         (ACCEPT, {FAR_POD}, {False})),
        ("host anywhere", EXTERNAL_LOCAL, [FAR], NODE_IP, NODE_IP, 30080,
         (ACCEPT, {FAR_POD}, {True})),
        ("VIP anywhere", EXTERNAL_LOCAL, [FAR], OTHER_POD, VIP, 80, (ACCEPT, {FAR_POD}, {False})),
    ],
)  # fmt: skip
def test_policy_local(case, spec, endpoints, source, destination, number, expected):
    packet = Packet(source, destination, number)

    assert outcome([web(**spec)], slices(*endpoints), packet) == expected, case


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([endpoint("10.244.0.5", ready=False), endpoint("10.244.0.6")], {"10.244.0.6"}),
        (
            [
                endpoint("10.244.0.5", ready=False, terminating=True),
                endpoint("10.244.0.6", ready=False),
            ],
            {"10.244.0.5"},
        ),
        ([endpoint("10.244.0.5", ready=False, serving=False, terminating=True)], set()),
        ([endpoint("10.244.0.5"), endpoint("10.244.0.6", ready=False, terminating=True)],
         {"10.244.0.5"}),
    ],
)  # fmt: skip
def test_terminating_endpoints_are_the_last_resort(endpoints, expected):
    assert outcome([web()], slices(*endpoints), Packet(OTHER_POD, VIP, 80))[1] == expected


def test_hints_are_followed_only_when_complete():
    here = {**endpoint("10.244.0.5"), "hints": {"forZones": [{"name": "z1"}]}}
    there = {**endpoint("10.244.0.6"), "hints": {"forZones": [{"name": "z2"}]}}
    packet = Packet(OTHER_POD, VIP, 80)
    node = NodeContext(NODE.names, "z1")

    assert outcome([web()], slices(here, there), packet, node=node)[1] == {"10.244.0.5"}
    mixed = slices(here, endpoint("10.244.0.6"))
    assert len(outcome([web()], mixed, packet, node=node)[1]) == 2
    nowhere = NodeContext(NODE.names, "z3")
    assert len(outcome([web()], slices(here, there), packet, node=nowhere)[1]) == 2


def test_masquerade_all_hides_pods_as_well():
    options = replace(OPTIONS, masquerade_all=True)
    packet = Packet(OTHER_POD, VIP, 80)

    assert outcome([web()], slices(NEAR), packet, options=options) == (ACCEPT, {POD}, {True})


def test_loopback_node_ports_and_their_guard():
    options = replace(OPTIONS, loopback_node_ports=True)
    inner = Packet("127.0.0.1", "127.0.0.1", NODE_PORT)
    assert outcome([web()], slices(NEAR), inner, options=options) == (ACCEPT, {POD}, {True})
    forged = Packet(POD, "127.0.0.1", 10250)
    assert outcome([web()], slices(NEAR), forged, options=options)[0] == DROP


def test_a_client_stays_with_its_endpoint():
    sticky = web(sessionAffinity="ClientIP")
    both = slices(endpoint("10.244.0.5"), endpoint("10.244.0.6"))
    rules = render([sticky], both, NODE, OPTIONS)
    (set_name,) = [name for name in rules.sets if "10.244.0.6" in name]
    packet = Packet(OTHER_POD, VIP, 80)

    assert len(outcome([sticky], both, packet)[1]) == 2
    affinity = {set_name: {OTHER_POD}}
    assert outcome([sticky], both, packet, affinity=affinity)[1] == {"10.244.0.6"}


def test_source_ranges_guard_the_load_balancer_address_only():
    balanced = service("web", VIP, port(80, name="http", node_port=NODE_PORT))
    balanced["spec"].update(type="LoadBalancer", loadBalancerSourceRanges=["203.0.113.0/24"])
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": EXTERNAL, "ipMode": "VIP"}]}}

    def send(source, address, number):
        return outcome([balanced], slices(NEAR), Packet(source, address, number))[0]

    assert send(OUTSIDE, EXTERNAL, 80) == DROP
    assert send("203.0.113.9", EXTERNAL, 80) == ACCEPT
    assert send(OUTSIDE, NODE_IP, NODE_PORT) == ACCEPT


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None", "clusterIPs": ["None"]},
        {"type": "ExternalName", "clusterIP": "", "clusterIPs": []},
    ],
)
def test_what_is_not_proxied_leaves_no_rule(spec):
    odd = service("web", VIP, port(80, name="http"))
    odd["spec"].update(spec)
    foreign = service("web", VIP, port(80), labels={"service.kubernetes.io/service-proxy-name": ""})

    empty = render([], [], NODE, OPTIONS)
    assert render([odd], slices(NEAR), NODE, OPTIONS) == empty
    assert render([foreign], slices(NEAR), NODE, OPTIONS) == empty


addresses = st.lists(st.integers(2, 250), unique=True, max_size=8)


@settings(deadline=None)
@given(
    st.lists(st.tuples(addresses, st.sampled_from(["tcp", "udp"]), st.booleans()), max_size=6),
    st.randoms(use_true_random=False),
)
def test_every_endpoint_is_chosen_alike_and_only_by_its_own_service(plan, shuffler):
    services, endpoint_slices = [], []
    for index, (numbers, protocol, sticky) in enumerate(plan):
        affinity = "ClientIP" if sticky else "None"
        ports = [port(80, name="p", protocol=protocol.upper())]
        services.append(service(f"s{index}", f"10.96.1.{index}", *ports, sessionAffinity=affinity))
        members = [endpoint(f"10.244.{index}.{number}") for number in numbers]
        # The same endpoint in two slices counts once.
        for suffix in ("a", "b"):
            endpoint_slices.append(
                endpoint_slice(f"s{index}", [("p", protocol.upper(), 8080)], *members,
                               suffix=suffix)
            )  # fmt: skip
    rules = render(services, endpoint_slices, NODE, OPTIONS)
    shuffler.shuffle(services)
    shuffler.shuffle(endpoint_slices)
    assert render(services, endpoint_slices, NODE, OPTIONS) == rules

    for index, (numbers, protocol, _) in enumerate(plan):
        packet = Packet("10.244.99.9", f"10.96.1.{index}", 80, protocol)
        found = Tracer(rules, LOCAL_ADDRESSES).send(packet)
        targets = sorted(target for item in found for target in item.targets)
        # One entry per endpoint in one `numgen random mod N`: all have the same chance.
        expected = sorted((f"10.244.{index}.{number}", 8080) for number in numbers)
        assert targets == expected
        assert {item.verdict for item in found} == ({"accept"} if numbers else {"reject"})
