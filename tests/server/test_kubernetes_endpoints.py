"""Two API servers on one store: both are endpoints of the Service `kubernetes` while they live."""

from dataclasses import replace

import pytest

from kapi import env
from kapi.server.api_server import ApiServer
from kapi.server.kubernetes_endpoints import LEASE_SECONDS, alive, endpoints_of, slice_of
from kapi.storage.memory import MemoryStore

SERVERS = [("192.0.2.1", 6443), ("192.0.2.2", 6443)]


def addresses(server):
    endpoints = server.api.lookup.get("endpoints", "default", "kubernetes")
    found = [
        (item["ip"], subset["ports"][0]["port"])
        for subset in endpoints["subsets"]
        for item in subset["addresses"]
    ]
    slices = server.api.lookup.get("endpointslices.discovery.k8s.io", "default", "kubernetes")
    assert [item["addresses"][0] for item in slices["endpoints"]] == [ip for ip, _ in found]
    return found


@pytest.fixture
async def pair(api):
    """Two servers that share a store, as two machines over one etcd do."""
    store = MemoryStore()
    made = []
    for address, port in SERVERS:
        config = replace(
            api.server.api.config,
            advertise_address=address,
            advertise_port=port,
            shared_store=True,
        )
        server = ApiServer(store, config)
        await server.start()
        made.append(server)
    yield made
    for server in made:
        await server.stop()


async def test_the_second_server_joins_the_first_and_leaves_it_again(pair):
    first, second = pair
    await first.cache.wait_for(second.cache.revision, 5)
    assert addresses(second) == SERVERS
    assert addresses(first) == SERVERS
    await second.stop()
    current = await first.api.backing.store.current_revision()
    await first.cache.wait_for(current, 5)
    assert addresses(first) == SERVERS[:1]


async def test_a_lone_server_keeps_no_lease(api):
    leases = list(api.server.api.lookup.list("leases.coordination.k8s.io", "kube-system"))
    assert leases == []
    assert addresses(api.server) == SERVERS[:1]


def test_a_lease_holds_for_its_duration():
    now = env.now()
    lease = {
        "metadata": {"labels": {"apiserver.kubernetes.io/identity": "kube-apiserver"}},
        "spec": {
            "holderIdentity": "192.0.2.9:6443",
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": env.format_micro_time(now),
        },
    }
    moment = now.timestamp()
    assert alive([lease], moment + LEASE_SECONDS - 1) == [("192.0.2.9", 6443)]
    assert alive([lease], moment + LEASE_SECONDS + 1) == []
    assert alive([{"metadata": {}, "spec": lease["spec"]}], moment) == []


def test_ports_are_kept_apart():
    servers = [("192.0.2.1", 1), ("192.0.2.2", 2)]
    assert len(endpoints_of(servers)["subsets"]) == 2
    assert [item["addresses"] for item in slice_of(servers)["endpoints"]] == [["192.0.2.1"]]
