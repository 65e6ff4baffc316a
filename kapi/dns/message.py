"""Between bytes on the wire and the zone's records; the only user of dnslib."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dnslib import (
    AAAA,
    CLASS,
    CNAME,
    EDNS0,
    NS,
    PTR,
    QTYPE,
    RCODE,
    RR,
    SOA,
    SRV,
    TXT,
    A,
    DNSError,
    DNSHeader,
    DNSQuestion,
    DNSRecord,
)

from kapi.dns.records import Srv
from kapi.dns.zone import TTL_SECONDS, Record, Reply, Verdict

UDP_SIZE = 512
"""What a client without EDNS takes."""
UDP_SIZE_MAX = 4096

_RDATA: dict[str, Any] = {"A": A, "AAAA": AAAA, "CNAME": CNAME, "NS": NS, "PTR": PTR, "TXT": TXT}


@dataclass(frozen=True, slots=True)
class Question:
    """A request that can be answered."""

    request: Any
    name: str
    """As the zone spells names: lower case, without the final dot."""
    kind: str
    udp_size: int
    """How long an answer over UDP may be."""

    @property
    def id(self) -> int:
        return int(self.request.header.id)


def parse_question(data: bytes) -> Question | bytes | None:
    """The question; or the answer to a request that is none; None for what deserves silence."""
    try:
        request = DNSRecord.parse(data)
    except DNSError:
        return _malformed(data)
    if request.header.qr:
        return None
    edns = next((record for record in request.ar if record.rtype == QTYPE.OPT), None)
    if request.header.opcode != 0:
        return _error(request, RCODE.NOTIMP)
    if len(request.questions) != 1:
        return _error(request, RCODE.FORMERR)
    if edns is not None and (edns.ttl >> 16) & 0xFF:
        return _bad_version(request)
    question = request.q
    if question.qclass not in (CLASS.IN, 255):
        return _error(request, RCODE.REFUSED)
    size = UDP_SIZE if edns is None else min(max(int(edns.rclass), UDP_SIZE), UDP_SIZE_MAX)
    name = str(question.qname).lower().rstrip(".")
    return Question(request, name, _kind(question.qtype), size)


def _kind(number: int) -> str:
    return str(QTYPE.get(number))


def _malformed(data: bytes) -> bytes | None:
    """A header without QR gets FORMERR; anything else may be an attack by reflection."""
    if len(data) < 12 or data[2] & 0x80:
        return None
    header = DNSHeader(id=int.from_bytes(data[:2], "big"), qr=1, rcode=RCODE.FORMERR)
    return bytes(DNSRecord(header).pack())


def _bare(request: Any) -> Any:
    reply = request.reply(ra=1, aa=0)
    edns = next((record for record in request.ar if record.rtype == QTYPE.OPT), None)
    if edns is not None:
        reply.add_ar(EDNS0(udp_len=min(max(edns.rclass, UDP_SIZE), UDP_SIZE_MAX)))
    return reply


def _error(request: Any, code: int) -> bytes:
    reply = _bare(request)
    reply.header.rcode = code
    return bytes(reply.pack())


def _bad_version(request: Any) -> bytes:
    reply = request.reply(ra=1, aa=0)
    # BADVERS is 16: the upper eight bits of the code are in the OPT record.
    reply.add_ar(EDNS0(udp_len=UDP_SIZE_MAX, ext_rcode=1))
    return bytes(reply.pack())


def refusal(question: Question, code: str) -> bytes:
    """An answer with an error: SERVFAIL, REFUSED."""
    return _error(question.request, getattr(RCODE, code))


def query(question: Question, name: str) -> bytes:
    """A request of our own for another name, same type, with room for a long answer."""
    request = DNSRecord(DNSHeader(id=question.id, rd=1), q=_question_for(question, name))
    request.add_ar(EDNS0(udp_len=UDP_SIZE_MAX))
    return bytes(request.pack())


def _question_for(question: Question, name: str) -> Any:
    return DNSQuestion(name, question.request.q.qtype)


def addresses_in(data: bytes) -> list[Any]:
    """The answer section of another server's message. Raises ValueError."""
    try:
        message = DNSRecord.parse(data)
    except DNSError as error:
        raise ValueError(f"not a DNS message: {error}") from error
    return list(message.rr)


def encode_reply(
    question: Question, reply: Reply, domain: str, serial: int, extra: Iterable[Any] = ()
) -> Any:
    """The message; `extra` are records of another server. Give it to `pack`."""
    message = _bare(question.request)
    message.header.aa = 1
    for record in reply.answer:
        message.add_answer(_rr(record, question))
    for foreign in extra:
        message.add_answer(foreign)
    for record in reply.additional:
        message.add_ar(_rr(record, question))
    if reply.verdict is Verdict.NO_NAME:
        message.header.rcode = RCODE.NXDOMAIN
    if reply.verdict in (Verdict.NO_NAME, Verdict.NO_DATA):
        soa = _soa(domain, serial)
        if question.name == domain and question.kind == "SOA":
            message.add_answer(soa)
        else:
            message.add_auth(soa)
    return message


def pack(message: Any, limit: int | None) -> bytes:
    """Bytes of at most `limit`: additional records go first, then answers, and TC is set."""
    data = bytes(message.pack())
    if limit is None or len(data) <= limit:
        return data
    message.ar = [record for record in message.ar if record.rtype == QTYPE.OPT]
    data = bytes(message.pack())
    if len(data) <= limit:
        return data
    message.header.tc = 1
    answers = list(message.rr)
    fits, too_many = 0, len(answers)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        message.rr = answers[:middle]
        if len(message.pack()) <= limit:
            fits = middle
        else:
            too_many = middle
    message.rr = answers[:fits]
    return bytes(message.pack())


def _rr(record: Record, question: Question) -> Any:
    """The asked name is repeated in the spelling of the question."""
    name = question.request.q.qname if record.name == question.name else record.name
    if isinstance(record.value, Srv):
        srv = record.value
        rdata = SRV(0, srv.weight, srv.port, srv.target)
    else:
        rdata = _RDATA[record.kind](record.value)
    return RR(name, getattr(QTYPE, record.kind), ttl=record.ttl, rdata=rdata)


def _soa(domain: str, serial: int) -> Any:
    times = (serial, 7200, 1800, 86400, TTL_SECONDS)
    rdata = SOA(f"ns.dns.{domain}", f"hostmaster.{domain}", times)
    return RR(domain, QTYPE.SOA, ttl=TTL_SECONDS, rdata=rdata)
