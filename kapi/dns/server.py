"""The DNS server of a cluster: UDP and TCP, fed by informers.

Runs as user `system:kube-dns`, which needs list and watch on services, namespaces and
endpointslices (see `service.ensure_access`).
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kapi import env
from kapi.api.object import Object
from kapi.client.client import ENDPOINT_SLICES, NAMESPACES, SERVICES, Client
from kapi.client.informers import Informers
from kapi.dns.forwarder import Address, Forwarder, NoUpstream
from kapi.dns.message import (
    Question,
    addresses_in,
    encode_reply,
    pack,
    parse_question,
    query,
    refusal,
)
from kapi.dns.records import slice_service
from kapi.dns.zone import Record, Reply, Verdict, Zone, service_key

_log = logging.getLogger(__name__)

_BY_SERVICE = "service"
# CoreDNS: answers begin when the caches are complete, or after 5 s with what there is.
_SYNC_SECONDS = 5.0
_TCP_IDLE_SECONDS = 10.0
_CONNECTIONS_MAX = 500


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """Where to listen and whom to ask. Port 0 takes a free one, see `DnsServer.addresses`."""

    cluster_domain: str = "cluster.local"
    listen: tuple[Address, ...] = (("127.0.0.1", 53),)
    service_ip: str = "10.96.0.10"
    resolv_conf: str = "/etc/resolv.conf"
    upstreams: tuple[Address, ...] = ()
    """Instead of resolv.conf."""


class DnsServer:
    """`run` serves until cancelled."""

    def __init__(self, client: Client, config: DnsConfig) -> None:
        self._client = client
        self._config = config
        self.zone = Zone(config.cluster_domain, [config.service_ip])
        own = [*config.listen, (config.service_ip, 53)]
        self._forwarder = Forwarder(
            resolv_conf=config.resolv_conf, upstreams=config.upstreams, own_addresses=own
        )
        self._informers = Informers(client)
        self._services = self._informers.get(SERVICES)
        self._slices = self._informers.get(ENDPOINT_SLICES)
        self._tasks = env.TaskScope()
        self._connections = 0
        self._listening = asyncio.Event()
        self.addresses: tuple[Address, ...] = ()
        """Where it really listens, once `wait_listening` has returned."""

    async def wait_listening(self) -> None:
        await self._listening.wait()

    async def run(self) -> None:
        """Raises OSError when an address cannot be listened on."""
        self._wire()
        closers: list[Any] = []
        self._informers.start()
        try:
            await self._wait_synced()
            for address in self._config.listen:
                closers += await self._listen(address)
            self._listening.set()
            await asyncio.get_running_loop().create_future()
        finally:
            for closer in closers:
                closer.close()
            await self._tasks.close()
            await self._informers.close()

    async def _wait_synced(self) -> None:
        try:
            async with asyncio.timeout(_SYNC_SECONDS):
                await self._informers.wait_synced()
        except TimeoutError:
            _log.warning("answering with an incomplete copy of the cluster's names")

    def _wire(self) -> None:
        self._slices.add_index(_BY_SERVICE, _service_of)
        self._services.add_handler(
            lambda new: self._put(service_key(new)),
            lambda old, new: self._put(service_key(new)),
            lambda old: self._put(service_key(old)),
        )
        self._slices.add_handler(
            lambda new: self._put(slice_service(new)),
            lambda old, new: self._put(slice_service(old), slice_service(new)),
            lambda old: self._put(slice_service(old)),
        )
        self._informers.get(NAMESPACES).add_handler(
            self.zone.put_namespace,
            lambda old, new: None,
            lambda old: self.zone.put_namespace(old, exists=False),
        )

    def _put(self, *keys: str) -> None:
        for key in dict.fromkeys(keys):
            if key:
                slices = self._slices.by_index(_BY_SERVICE, key)
                self.zone.put_service(key, self._services.get(key), slices)

    # Listening

    async def _listen(self, address: Address) -> list[Any]:
        """The same port for UDP and TCP."""
        server = await asyncio.start_server(self._accept, *address)
        host, port = server.sockets[0].getsockname()[:2]
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(host, port)
            )
        except OSError:
            server.close()
            raise
        self.addresses = (*self.addresses, (host, port))
        _log.info("DNS for %s on %s:%d", self._config.cluster_domain, host, port)
        return [server, transport]

    def datagram(self, data: bytes, peer: Any, transport: asyncio.DatagramTransport) -> None:
        """What the cluster knows is answered at once, the rest in a task."""
        question = parse_question(data)
        if question is None:
            return
        if isinstance(question, bytes):
            transport.sendto(question, peer)
            return
        reply = self._reply(question)
        if reply.verdict is not Verdict.FORWARD and not reply.forward_name:
            transport.sendto(self._encode(question, reply, question.udp_size), peer)
            return
        self._tasks.spawn(
            self._send_forwarded(data, question, reply, peer, transport), "forwarded question"
        )

    async def _send_forwarded(
        self,
        data: bytes,
        question: Question,
        reply: Reply,
        peer: Any,
        transport: asyncio.DatagramTransport,
    ) -> None:
        answer = await self._forward(data, question, reply, tcp=False)
        if not transport.is_closing():
            transport.sendto(answer, peer)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.spawn(self._serve_connection(reader, writer), "DNS connection")

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections += 1
        try:
            if self._connections > _CONNECTIONS_MAX:
                # Who came before goes on being served.
                return
            while True:
                async with asyncio.timeout(_TCP_IDLE_SECONDS):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(length)
                answer = await self._answer_tcp(data)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(_TCP_IDLE_SECONDS):
                    await writer.drain()
        except (EOFError, OSError, TimeoutError):
            return
        finally:
            self._connections -= 1
            writer.close()

    # Answering

    async def _answer_tcp(self, data: bytes) -> bytes | None:
        question = parse_question(data)
        if question is None or isinstance(question, bytes):
            return question
        reply = self._reply(question)
        if reply.verdict is not Verdict.FORWARD and not reply.forward_name:
            return self._encode(question, reply, None)
        return await self._forward(data, question, reply, tcp=True)

    def _reply(self, question: Question) -> Reply:
        reply = self.zone.reply(question.name, question.kind)
        if len(reply.answer) > 1 and question.kind in ("A", "AAAA"):
            return Reply(
                reply.verdict, _shuffled(reply.answer), reply.additional, reply.forward_name
            )
        return reply

    def _encode(
        self, question: Question, reply: Reply, limit: int | None, extra: Iterable[Any] = ()
    ) -> bytes:
        serial = int(env.now().timestamp())
        return pack(encode_reply(question, reply, self.zone.domain, serial, extra), limit)

    async def _forward(self, data: bytes, question: Question, reply: Reply, *, tcp: bool) -> bytes:
        try:
            if not reply.forward_name:
                return await self._forwarder.ask(data, tcp=tcp)
            found = await self._forwarder.ask(query(question, reply.forward_name), tcp=tcp)
            extra = addresses_in(found)
        except (NoUpstream, ValueError) as error:
            _log.info("no answer for %s %s: %s", question.name, question.kind, error)
            return refusal(question, "SERVFAIL")
        return self._encode(question, reply, None if tcp else question.udp_size, extra)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.datagram(data, addr, self._transport)


def _shuffled(answer: list[Record]) -> list[Record]:
    """Aliases lead; the order of addresses is left to chance."""
    aliases = [record for record in answer if record.kind == "CNAME"]
    addresses = [record for record in answer if record.kind != "CNAME"]
    env.random().shuffle(addresses)
    return aliases + addresses


def _service_of(endpoint_slice: Object) -> Iterable[str]:
    return (slice_service(endpoint_slice),)
