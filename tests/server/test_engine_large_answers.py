"""Large HTTP/2 answers must end their stream; a reset after the last byte fails Go clients."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import h2.connection
import h2.events
import h2.settings
import pytest

from kapi.auth.pki import ClusterPki, serving_spec
from kapi.env import spawn
from kapi.server import engine
from kapi.server.engine import TlsFiles

_WINDOW = 4 << 20
"""What Go's client allows per stream; curl would hide the reset."""


async def _app(scope: Any, receive: Any, send: Any) -> None:
    size = int(scope["path"][1:])
    headers = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * size})


async def _get(port: int, tls: ssl.SSLContext, path: str) -> tuple[int, h2.events.Event]:
    """The number of bytes and the event that ended the stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    client = h2.connection.H2Connection()
    client.initiate_connection()
    client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
    client.increment_flow_control_window(1 << 30)
    head = [(":method", "GET"), (":path", path), (":authority", "x"), (":scheme", "https")]
    client.send_headers(1, head, end_stream=True)
    received = 0
    try:
        while True:
            writer.write(client.data_to_send())
            for event in client.receive_data(await reader.read(1 << 16)):
                if isinstance(event, h2.events.DataReceived):
                    received += len(event.data or b"")
                    client.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                    return received, event
    finally:
        writer.close()


@pytest.mark.parametrize("size", [0, 1, 65_536, 600_000, 5_000_000])
async def test_answers_of_every_size_end_their_stream(tmp_path: Path, size: int) -> None:
    pki = ClusterPki(tmp_path)
    pair = pki.ensure(serving_spec("test-host", ("127.0.0.1",)))
    tls = ssl.create_default_context(cadata=pki.ca.cert_pem)
    tls.set_alpn_protocols(["h2"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shutdown, listening = asyncio.Event(), asyncio.Event()
    files = TlsFiles(pair.cert_file, pair.key_file, pki.ca.cert_file)
    served = engine.serve(
        _app, bind=[("127.0.0.1", port)], tls=files, shutdown=shutdown, listening=listening
    )
    task = spawn(served, "engine")
    await asyncio.wait_for(listening.wait(), 5)
    try:
        for _ in range(5):
            received, end = await asyncio.wait_for(_get(port, tls, f"/{size}"), 10)
            assert received == size
            assert isinstance(end, h2.events.StreamEnded), end
    finally:
        shutdown.set()
        await asyncio.wait_for(task, 5)
