"""grpc.health.v1.Health/Check, spoken directly over HTTP/2.

One unary call with a message of one field does not need a gRPC runtime with its threads.
"""

import asyncio

import h2.config
import h2.connection
import h2.events
import h2.exceptions

_PATH = "/grpc.health.v1.Health/Check"
_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_UNIMPLEMENTED = "12"


async def check_health(place: str, service: str, timeout: float) -> str:
    """An empty text when the service is SERVING, else why not."""
    host, _, port = place.rpartition(":")
    seconds = f"{timeout:g}s"
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                return await _check(reader, writer, place, service)
            finally:
                writer.close()
    except TimeoutError:
        return f"timeout: health rpc did not complete within {seconds}"
    except (OSError, EOFError, h2.exceptions.ProtocolError):
        return (
            f'timeout: failed to connect service "{place}" within {seconds}: '
            "context deadline exceeded"
        )


async def _check(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: str, service: str
) -> str:
    config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", place),
        (":path", _PATH),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    connection.send_headers(1, headers)
    connection.send_data(1, _framed(service), end_stream=True)
    body, status, message, ended = b"", "", "", False
    while not ended:
        writer.write(connection.data_to_send())
        await writer.drain()
        data = await reader.read(65536)
        if not data:
            raise EOFError
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                body += event.data or b""
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                found = {_text(name): _text(value) for name, value in event.headers or ()}
                status = found.get("grpc-status", status)
                message = found.get("grpc-message", message)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                ended = True
    return _verdict(body, status, message)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _framed(service: str) -> bytes:
    """HealthCheckRequest{string service = 1} behind gRPC's five-byte prefix."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _verdict(body: bytes, status: str, message: str) -> str:
    if status == _UNIMPLEMENTED:
        return (
            "error: this server does not implement the grpc health protocol "
            f"(grpc.health.v1.Health): {message}"
        )
    if status not in ("", "0"):
        return f"error: health rpc failed: rpc error: code = {status} desc = {message}"
    # HealthCheckResponse{ServingStatus status = 1}: tag 8, one byte; absent means UNKNOWN.
    payload = body[5:]
    number = payload[1] if len(payload) >= 2 and payload[0] == 8 else 0
    if number == 1:
        return ""
    return f'service unhealthy (responded with "{_NAMES.get(number, number)}")'
