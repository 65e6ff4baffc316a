"""Requests passed on to kubelets, pods and services: over real sockets, to a backend made here."""

import asyncio

import pytest

from kapi import env
from kapi.api import errors
from kapi.server.connect import log, proxy
from kapi.server.connect.kubelet import Destination, open_websocket

PODS = "/api/v1/namespaces/{}/pods"


class Backend:
    """Answers every request with its own request line, and keeps the stream open if told to."""

    def __init__(self, *, endless=False):
        self.endless = endless
        self.heads = []
        self.left = asyncio.Event()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.destination = Destination("127.0.0.1", self.server.sockets[0].getsockname()[1], None)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        line = self.heads[-1].split(b"\r\n")[0]
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + line)
        if self.endless:
            await reader.read()
            self.left.set()
        writer.close()


async def _pod(api, namespace, **status):
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "x"}]},
    }
    pods = PODS.format(namespace)
    assert (await api.admin("POST", pods, body)).status == 201
    if status:
        merge = {"content-type": "application/merge-patch+json"}
        answer = await api.admin("PATCH", f"{pods}/web/status", {"status": status}, merge)
        assert answer.status == 200, answer.body
    return f"{pods}/web"


async def test_a_log_ends_at_the_kubelet_when_its_reader_leaves(api, namespace, monkeypatch):
    path = await _pod(api, namespace)
    leaving, sent = asyncio.Event(), asyncio.Event()

    async def receive():
        await leaving.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message.get("body"):
            sent.set()

    async with Backend(endless=True) as backend:
        monkeypatch.setattr(log, "kubelet_of", lambda _call, _node: backend.destination)
        scope = api.admin.transport._scope("GET", f"{path}/log", {"follow": "true"}, None)
        serving = env.spawn(api.server.app(scope, receive, send), "log reader")
        await asyncio.wait_for(sent.wait(), 5)
        leaving.set()
        await asyncio.wait_for(backend.left.wait(), 5)
        await asyncio.wait_for(serving, 5)


async def test_a_proxied_path_keeps_its_escapes(api, namespace, monkeypatch):
    path = await _pod(api, namespace, podIP="10.1.2.3")
    async with Backend() as backend:
        monkeypatch.setattr(proxy, "Destination", lambda *_: backend.destination)
        headers = {
            "impersonate-user": "boss",
            "impersonate-group": "system:masters",
            "impersonate-extra-team": "x",
            "impersonate-uid": "7",
        }
        answer = await api.admin("GET", f"{path}/proxy/a b/\u00e9\r\nx: y", headers=headers)
    assert answer.status == 200
    assert answer.body == "GET /a%20b/%C3%A9%0D%0Ax:%20y HTTP/1.1"
    assert b"impersonate" not in backend.heads[0].lower()


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
async def test_a_pod_cannot_claim_an_address_of_the_server_itself(api, namespace, address):
    path = await _pod(api, namespace, podIP=address)
    answer = await api.admin("GET", f"{path}/proxy/")
    assert (answer.status, answer.message) == (400, "address not allowed")


@pytest.mark.parametrize("name", ["web:99999", "web:123456789", "ftp:web:80", "a:b:c:d"])
def test_ports_that_do_not_exist_are_refused(name):
    with pytest.raises(errors.BadRequest):
        proxy.split_name(name)


@pytest.mark.parametrize("answer", [b"", b"no http at all\r\n\r\n"])
async def test_a_kubelet_that_breaks_off_a_handshake_is_an_error_of_its_own(answer):
    left = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if answer:
            await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    destination = Destination("127.0.0.1", server.sockets[0].getsockname()[1], None)
    with pytest.raises(errors.ApiError):
        await open_websocket(destination, "/exec", [])
    await asyncio.wait_for(left.wait(), 5)
    server.close()
    await server.wait_closed()
