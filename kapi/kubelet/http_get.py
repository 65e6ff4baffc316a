"""One HTTP GET as kubelets make them: no proxy, no trust in certificates, a small body.

Used by probes and lifecycle hooks. Errors are worded as Go's client words them, because they end up
in events.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

import h11

_BODY_MAX = 10 * 1024
_REDIRECTS_MAX = 10
# What is escaped already stays so.
_PATH_SAFE = "/%:@!$&'()*+,;=~"
_REDIRECTS = (301, 302, 303, 307, 308)


class HttpFailure(Exception):
    """No answer; the text is the whole message."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`left` means: redirected to another host, which was not followed."""

    status: int
    body: str
    left: bool = False


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def request_headers(given: Sequence[Mapping[str, str]], user_agent: str) -> list[tuple[str, str]]:
    """Headers of a handler over the kubelet's own; an empty Accept removes it."""
    headers = {"user-agent": ("User-Agent", user_agent), "accept": ("Accept", "*/*")}
    for header in given:
        headers[header["name"].lower()] = (header["name"], header.get("value", ""))
    if headers["accept"][1] == "":
        del headers["accept"]
    return list(headers.values())


async def http_get(url: str, headers: Sequence[tuple[str, str]], timeout: float) -> HttpAnswer:
    """Follows redirects to the same host. Raises HttpFailure."""
    try:
        async with asyncio.timeout(timeout or None):
            return await _follow(url, headers)
    except TimeoutError:
        raise HttpFailure(
            f'Get "{url}": context deadline exceeded '
            "(Client.Timeout exceeded while awaiting headers)"
        ) from None


async def _follow(url: str, headers: Sequence[tuple[str, str]]) -> HttpAnswer:
    first = urlsplit(url)
    for _ in range(_REDIRECTS_MAX + 1):
        status, location, body = await _once(url, headers)
        if status not in _REDIRECTS or not location:
            return HttpAnswer(status, body)
        url = urljoin(url, location)
        if urlsplit(url).hostname != first.hostname:
            return HttpAnswer(status, body, left=True)
    raise HttpFailure(f'Get "{url}": stopped after {_REDIRECTS_MAX} redirects')


async def _once(url: str, headers: Sequence[tuple[str, str]]) -> tuple[int, str, str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    context = _unverified() if parts.scheme == "https" else None
    http = h11.Connection(h11.CLIENT)
    try:
        request = _request(http, url, headers)
    except h11.LocalProtocolError as error:
        # A header of the pod's author that cannot be sent.
        raise HttpFailure(f'Get "{url}": net/http: invalid request: {error}') from error
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        raise HttpFailure(f'Get "{url}": {error.reason or error}') from error
    except OSError as error:
        place = join_host_port(host, port)
        raise HttpFailure(f'Get "{url}": dial tcp {place}: {dial_error(error)}') from error
    try:
        writer.write(request)
        await writer.drain()
        return await _answer(reader, http)
    except (h11.RemoteProtocolError, ConnectionError) as error:
        text = "EOF" if isinstance(error, ConnectionError) else f"malformed HTTP response: {error}"
        raise HttpFailure(f'Get "{url}": {text}') from error
    finally:
        writer.close()


def _request(http: h11.Connection, url: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """The bytes to send. Raises h11.LocalProtocolError."""
    parts = urlsplit(url)
    target = quote(parts.path or "/", safe=_PATH_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_PATH_SAFE + "?")
    sent = list(headers)
    if not any(name.lower() == "host" for name, _ in sent):
        sent.append(("Host", parts.netloc))
    sent.append(("Connection", "close"))
    request = h11.Request(method="GET", target=target, headers=sent)
    return (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b"")


async def _answer(reader: asyncio.StreamReader, http: h11.Connection) -> tuple[int, str, str]:
    """(status, Location, the beginning of the body)."""
    status, location, body = 0, "", b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(65536)
            if not data and status == 0:
                raise ConnectionResetError
            http.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
            found = [value for name, value in event.headers if name == b"location"]
            location = found[0].decode("latin-1") if found else ""
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) >= _BODY_MAX:
                return status, location, body[:_BODY_MAX].decode(errors="replace")
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return status, location, body.decode(errors="replace")


def dial_error(error: OSError) -> str:
    """The tail of Go's dial error."""
    texts: dict[type[OSError], str] = {
        ConnectionRefusedError: "connect: connection refused",
        ConnectionResetError: "connect: connection reset by peer",
    }
    for kind, text in texts.items():
        if isinstance(error, kind):
            return text
    text = (error.strerror or str(error)).lower()
    return f"connect: {text}"


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
