"""The server over real sockets on loopback: an API server in process, a fake resolver upstream."""

import asyncio

import dnslib
import pytest
from dns_objects import cluster_ips, endpoint, endpoint_slice, port, service

from kapi import env
from kapi.api.user import GROUP_AUTHENTICATED, GROUP_MASTERS, UserInfo
from kapi.auth.authenticators import UnionAuthenticator
from kapi.auth.authorizers import cluster_authorizer
from kapi.client.client import ENDPOINT_SLICES, SERVICES, Client
from kapi.client.in_process import InProcessTransport
from kapi.dns.forwarder import nameservers
from kapi.dns.server import DnsConfig, DnsServer
from kapi.dns.service import USER, ensure_access, ensure_service
from kapi.server.api_server import ApiServer
from kapi.server.config import ApiServerConfig
from kapi.storage.memory import MemoryStore


class NoTokens:
    def issue(self, *args, **kwargs):
        raise NotImplementedError

    def jwks(self):
        return {"keys": []}


class FakeResolver(asyncio.DatagramProtocol):
    """Knows www.example.com and nothing else; counts questions."""

    def __init__(self):
        self.asked = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        request = dnslib.DNSRecord.parse(data)
        self.asked.append(str(request.q.qname))
        reply = request.reply()
        if str(request.q.qname).lower() == "www.example.com.":
            reply.add_answer(
                dnslib.RR(request.q.qname, dnslib.QTYPE.A, ttl=77, rdata=dnslib.A("192.0.2.80"))
            )
        else:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        self.transport.sendto(reply.pack(), addr)


class Lab:
    def __init__(self, api, admin, server, resolver):
        self.api, self.admin, self.server, self.resolver = api, admin, server, resolver

    async def udp(self, name, kind="A", edns=0):
        request = dnslib.DNSRecord.question(name, kind)
        if edns:
            request.add_ar(dnslib.EDNS0(udp_len=edns))
        return dnslib.DNSRecord.parse(await self.exchange(request.pack()))

    async def exchange(self, data):
        loop = asyncio.get_running_loop()
        answer = loop.create_future()

        class Asker(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                answer.set_result(data)

        address = self.server.addresses[0]
        transport, _ = await loop.create_datagram_endpoint(Asker, remote_addr=address)
        try:
            transport.sendto(data)
            async with asyncio.timeout(5):
                return await answer
        finally:
            transport.close()

    async def tcp(self, name, kind="A"):
        reader, writer = await asyncio.open_connection(*self.server.addresses[0])
        try:
            data = dnslib.DNSRecord.question(name, kind).pack()
            writer.write(len(data).to_bytes(2, "big") + data)
            length = int.from_bytes(await reader.readexactly(2), "big")
            return dnslib.DNSRecord.parse(await reader.readexactly(length))
        finally:
            writer.close()
            await writer.wait_closed()

    async def until(self, name, expected, kind="A"):
        """Wait until the answer is so; the copy of the cluster follows within moments."""
        deadline = asyncio.get_running_loop().time() + 5
        while True:
            found = [str(record.rdata) for record in (await self.udp(name, kind, 4096)).rr]
            if sorted(found) == sorted(expected):
                return
            assert asyncio.get_running_loop().time() < deadline, f"last answer: {found}"
            await asyncio.sleep(0.01)


@pytest.fixture
async def lab():
    config = ApiServerConfig(
        make_authenticator=lambda lookup: UnionAuthenticator([]),
        make_authorizer=cluster_authorizer,
        token_issuer=NoTokens(),
    )
    store = MemoryStore()
    api = ApiServer(store, config)
    await api.start()
    everything = UserInfo("admin", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))
    admin = Client(InProcessTransport(api.app, everything), "test")
    await ensure_access(admin)
    loop = asyncio.get_running_loop()
    transport, resolver = await loop.create_datagram_endpoint(
        FakeResolver, local_addr=("127.0.0.1", 0)
    )
    dns_user = UserInfo(USER, groups=(GROUP_AUTHENTICATED,))
    server = DnsServer(
        Client(InProcessTransport(api.app, dns_user), "dns"),
        DnsConfig(listen=(("127.0.0.1", 0),), upstreams=(transport.get_extra_info("sockname"),)),
    )
    task = env.spawn(server.run(), "dns server")
    await server.wait_listening()
    yield Lab(api, admin, server, resolver)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    transport.close()
    await api.stop()
    await store.close()


async def test_follows_services_and_slices(lab):
    name = "web.default.svc.cluster.local"
    await lab.admin.create(SERVICES, "default", service("web", port(80, "http")))
    made = await lab.admin.get(SERVICES, "default", "web")
    await lab.until(name, [made["spec"]["clusterIP"]])
    tcp = await lab.tcp(name)
    assert str(tcp.rr[0].rdata) == made["spec"]["clusterIP"]
    await lab.admin.delete(SERVICES, "default", "web")
    await lab.until(name, [])

    headless = service("db", port(1, "x"), **cluster_ips("None"))
    await lab.admin.create(SERVICES, "default", headless)
    slice_ = endpoint_slice("db", [port(1, "x")], endpoint("10.244.0.6", "db-0"))
    await lab.admin.create(ENDPOINT_SLICES, "default", slice_)
    await lab.until("db-0.db.default.svc.cluster.local", ["10.244.0.6"])


async def test_headers_case_and_negative_answers(lab):
    answer = await lab.udp("KubernetES.default.svc.Cluster.local")
    assert answer.header.aa and answer.header.ra and answer.header.rd and not answer.header.tc
    assert [rr.ttl for rr in answer.rr] == [30] * len(answer.rr)
    missing = await lab.udp("NoSuch.default.svc.cluster.local")
    assert dnslib.RCODE[missing.header.rcode] == "NXDOMAIN"
    assert str(missing.q.qname) == "NoSuch.default.svc.cluster.local."
    assert str(missing.auth[0].rdata).startswith("ns.dns.cluster.local. hostmaster.cluster.local.")
    assert missing.auth[0].ttl == 30
    empty = await lab.udp("default.svc.cluster.local")
    assert dnslib.RCODE[empty.header.rcode] == "NOERROR"
    assert not empty.rr and len(empty.auth) == 1
    soa = await lab.udp("cluster.local", "SOA")
    assert dnslib.QTYPE[soa.rr[0].rtype] == "SOA" and not soa.auth


async def test_long_answers_are_cut_over_udp_and_whole_over_tcp(lab):
    await lab.admin.create(
        SERVICES, "default", service("many", port(1, "x"), **cluster_ips("None"))
    )
    addresses = [f"10.244.1.{number}" for number in range(1, 101)]
    slice_ = endpoint_slice("many", [port(1, "x")], *map(endpoint, addresses))
    await lab.admin.create(ENDPOINT_SLICES, "default", slice_)
    name = "many.default.svc.cluster.local"
    await lab.until(name, addresses)

    plain = await lab.udp(name)
    assert plain.header.tc and 0 < len(plain.rr) < 100 and len(plain.pack()) <= 512
    roomy = await lab.udp(name, edns=4096)
    assert not roomy.header.tc and len(roomy.rr) == 100
    assert [dnslib.QTYPE[rr.rtype] for rr in roomy.ar] == ["OPT"]
    whole = await lab.tcp(name)
    assert len(whole.rr) == 100 and not whole.ar


async def test_forwards_the_rest(lab):
    found = await lab.udp("www.example.com")
    assert [(str(rr.rdata), rr.ttl) for rr in found.rr] == [("192.0.2.80", 77)]
    missing = await lab.udp("nothing.example.com")
    assert dnslib.RCODE[missing.header.rcode] == "NXDOMAIN"
    await lab.udp("nothing.default.svc.cluster.local")
    assert "nothing.default.svc.cluster.local." not in lab.resolver.asked

    outside = service("out", type="ExternalName", externalName="www.example.com")
    await lab.admin.create(SERVICES, "default", outside)
    await lab.until("out.default.svc.cluster.local", ["www.example.com."], "CNAME")
    await lab.until("out.default.svc.cluster.local", ["www.example.com.", "192.0.2.80"])


async def test_server_failure_without_upstream(lab):
    lab.server._forwarder._fixed = (("127.0.0.1", 1),)
    answer = await lab.udp("www.example.com")
    assert dnslib.RCODE[answer.header.rcode] == "SERVFAIL"


async def test_odd_requests(lab):
    version = dnslib.DNSRecord.question("a.example.com")
    version.add_ar(dnslib.EDNS0(version=1))
    answer = dnslib.DNSRecord.parse(await lab.exchange(version.pack()))
    assert answer.ar[0].ttl >> 24 == 1
    broken = await lab.exchange(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3f")
    assert broken[:2] == b"\x12\x34" and broken[3] & 15 == 1
    update = dnslib.DNSRecord(dnslib.DNSHeader(opcode=5), q=dnslib.DNSQuestion("cluster.local"))
    refused = dnslib.DNSRecord.parse(await lab.exchange(update.pack()))
    assert dnslib.RCODE[refused.header.rcode] == "NOTIMP"


async def test_kube_dns_service_is_made_once_and_mended(lab):
    await ensure_service(lab.admin, "10.244.0.1", 5353, "10.96.0.10")
    first = await lab.admin.get(SERVICES, "kube-system", "kube-dns")
    await ensure_service(lab.admin, "10.244.0.1", 5353, "10.96.0.10")
    again = await lab.admin.get(SERVICES, "kube-system", "kube-dns")
    assert first == again
    assert first["metadata"]["labels"]["k8s-app"] == "kube-dns"
    await lab.until("kube-dns.kube-system.svc.cluster.local", ["10.96.0.10"])
    await lab.until("10.0.96.10.in-addr.arpa", ["kube-dns.kube-system.svc.cluster.local."], "PTR")

    await ensure_service(lab.admin, "10.244.0.1", 5454, "10.96.0.10")
    mended = await lab.admin.get(ENDPOINT_SLICES, "kube-system", "kube-dns")
    assert {item["port"] for item in mended["ports"]} == {5454}


def test_nameservers_of_a_resolv_conf():
    text = "search a\nnameserver 192.0.2.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n#x\n"
    assert nameservers(text) == [("192.0.2.53", 53), ("fe80::1%eth0", 53)]
