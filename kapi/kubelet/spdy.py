"""SPDY/3.1 frames, as far as port-forwarding needs them. Pure: bytes in, frames out.

kubectl sends SPDY inside WebSocket messages and splits frames as it likes, so the reader takes a
byte stream. There is no flow control: the library on the other side (moby/spdystream) has none.
Format: the SPDY/3.1 draft; header blocks are zlib streams that share one fixed dictionary.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 1, 2, 3, 4, 6, 7
_FLAG_FIN = 1
_MAX_FRAME = 16 * 1024 * 1024
_MAX_HEADERS = 64 * 1024

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base "
    "content-encoding content-language content-length content-location content-md5 "
    "content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location "
    "max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after "
    "server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate "
    "method get status|200 OK|version HTTP/1.1 url public set-cookie keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec"
    " 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,"
    "text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
    "charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """The header dictionary of SPDY/3: each word with its length before it, then plain text."""
    before, ok, after = _WORDS.split("|")
    words = [*before.split(), ok, *after.split()]
    head = b"".join(struct.pack(">I", len(word)) + word.encode() for word in words)
    return head + _TAIL.encode()


DICTIONARY = _dictionary()


class SpdyError(Exception):
    """The other side does not speak SPDY/3.1."""


@dataclass(frozen=True, slots=True)
class SynStream:
    stream_id: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class Data:
    stream_id: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class Reset:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class PingFrame:
    ping_id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream_id: int


Frame = SynStream | Data | Reset | PingFrame | GoAway


@dataclass(slots=True)
class FrameReader:
    """Feed bytes, get whole frames; keeps the state of header decompression."""

    _buffer: bytearray = field(default_factory=bytearray)
    _inflate: "zlib._Decompress" = field(
        default_factory=lambda: zlib.decompressobj(zdict=DICTIONARY)
    )

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Frames completed by these bytes. Raises SpdyError."""
        self._buffer += data
        while len(self._buffer) >= 8:
            word, rest = struct.unpack_from(">II", self._buffer)
            flags, length = rest >> 24, rest & 0xFFFFFF
            if length > _MAX_FRAME:
                raise SpdyError(f"frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                return
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if word >> 31:
                frame = self._control(word, flags, payload)
                if frame is not None:
                    yield frame
            else:
                yield Data(word & 0x7FFFFFFF, payload, bool(flags & _FLAG_FIN))

    def _control(self, word: int, flags: int, payload: bytes) -> Frame | None:
        version, kind = (word >> 16) & 0x7FFF, word & 0xFFFF
        if version != _VERSION:
            raise SpdyError(f"SPDY version {version}")
        try:
            if kind == _SYN_STREAM:
                (stream_id,) = struct.unpack_from(">I", payload)
                headers = self._headers(payload[10:])
                return SynStream(stream_id & 0x7FFFFFFF, headers, bool(flags & _FLAG_FIN))
            if kind == _RST_STREAM:
                stream_id, status = struct.unpack_from(">II", payload)
                return Reset(stream_id & 0x7FFFFFFF, status)
            if kind == _PING:
                return PingFrame(struct.unpack_from(">I", payload)[0])
            if kind == _GOAWAY:
                return GoAway(struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF)
            if kind not in (_SYN_REPLY, _SETTINGS):
                self._skip_headers(kind, payload)
        except struct.error as error:
            raise SpdyError("a frame is too short") from error
        return None

    def _skip_headers(self, kind: int, payload: bytes) -> None:
        """A HEADERS frame moves the shared compression state on, even if nobody reads it."""
        if kind == 8:
            self._headers(payload[4:])

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, _MAX_HEADERS)
        except zlib.error as error:
            raise SpdyError(f"bad header block: {error}") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {_MAX_HEADERS} bytes")
        (count,) = struct.unpack_from(">I", plain)
        at = 4
        texts = []
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", plain, at)
            at += 4
            texts.append(plain[at : at + length].decode("utf-8", "replace"))
            at += length
        return dict(zip(texts[::2], texts[1::2], strict=True))


class FrameWriter:
    """Makes the frames a server sends; keeps the state of header compression."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def syn_reply(self, stream_id: int) -> bytes:
        """Accept a stream, without headers."""
        block = self._deflate.compress(struct.pack(">I", 0))
        block += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(_SYN_REPLY, struct.pack(">I", stream_id) + block)

    def data(self, stream_id: int, data: bytes, *, fin: bool = False) -> bytes:
        flags = _FLAG_FIN if fin else 0
        return struct.pack(">II", stream_id, flags << 24 | len(data)) + data

    def ping(self, ping_id: int) -> bytes:
        return _control(_PING, struct.pack(">I", ping_id))

    def reset(self, stream_id: int, status: int) -> bytes:
        return _control(_RST_STREAM, struct.pack(">II", stream_id, status))


def _control(kind: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | _VERSION, kind, len(payload)) + payload
