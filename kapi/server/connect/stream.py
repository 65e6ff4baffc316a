"""exec, attach and portforward: WebSocket messages carried between the client and the kubelet.

The kubelet speaks the client's own subprotocol (`v5.channel.k8s.io`, or SPDY inside binary
messages for port-forward), so nothing is interpreted here.
"""

import asyncio
from dataclasses import replace
from urllib.parse import urlencode

from kapi import env
from kapi.api import errors
from kapi.api.object import Object
from kapi.server.call import Call
from kapi.server.connect.kubelet import (
    WebSocketClient,
    kubelet_of,
    open_websocket,
    refusal_of,
)
from kapi.server.connect.log import choose_container
from kapi.server.filters.authorization import attributes_of, forbidden

_INTERNAL_ERROR = 1011
_SUBPROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
)
_PORT_FORWARD_SUBPROTOCOLS = (
    "SPDY/3.1+portforward.k8s.io",
    "v4.channel.k8s.io",
    "portforward.k8s.io",
)


async def exec_(call: Call) -> None:
    if not call.exchange.query.get("command"):
        raise errors.BadRequest("you must specify at least 1 command for the container")
    await _container_stream(call, "exec")


async def attach(call: Call) -> None:
    await _container_stream(call, "attach")


async def _container_stream(call: Call, kind: str) -> None:
    exchange = call.exchange
    if not any(exchange.flag(name) for name in ("stdin", "stdout", "stderr")):
        raise errors.BadRequest("you must specify at least one of stdin, stdout, stderr")
    pod = await call.store.get(call.namespace, call.name)
    container = choose_container(pod, exchange.param("container"))
    query = [("command", word) for word in exchange.query.get("command", [])]
    for ours, theirs in (
        ("stdin", "input"),
        ("stdout", "output"),
        ("stderr", "error"),
        ("tty", "tty"),
    ):
        if exchange.flag(ours):
            query.append((theirs, "1"))
    target = f"/{kind}/{call.namespace}/{call.name}/{container}?{urlencode(query)}"
    await _carry(call, pod, target, _SUBPROTOCOLS)


async def port_forward(call: Call) -> None:
    pod = await call.store.get(call.namespace, call.name)
    ports = [("port", port) for port in call.exchange.query.get("ports", [])]
    target = f"/portForward/{call.namespace}/{call.name}"
    if ports:
        target += f"?{urlencode(ports)}"
    await _carry(call, pod, target, _PORT_FORWARD_SUBPROTOCOLS)


async def _carry(call: Call, pod: Object, target: str, known: tuple[str, ...]) -> None:
    exchange = call.exchange
    node = (pod.get("spec") or {}).get("nodeName")
    if not node:
        raise errors.BadRequest(f"pod {call.name} does not have a host assigned")
    _require_create(call)
    if exchange.scope["type"] != "websocket":
        # kubectl comes back like this after any refusal, so the kubelet is asked what it was.
        raise await refusal_of(kubelet_of(call, node), target)
    offered = [item for item in exchange.scope.get("subprotocols") or () if item in known]
    if not offered and exchange.scope.get("subprotocols"):
        raise errors.BadRequest(f"none of the offered subprotocols is known: {', '.join(known)}")
    kubelet = await open_websocket(kubelet_of(call, node), target, offered[:1])
    try:
        await exchange.receive()  # the handshake's websocket.connect
        exchange.started = True
        await exchange.send({"type": "websocket.accept", "subprotocol": kubelet.subprotocol})
        await _both_ways(call, kubelet)
    finally:
        kubelet.close()


def _require_create(call: Call) -> None:
    """A WebSocket arrives as a GET; running something also needs `create`, as for a POST."""
    wanted = replace(attributes_of(call.exchange), verb="create")
    decision = call.api.authorizer.authorize(wanted)
    if not decision.allowed:
        raise forbidden(wanted, decision.reason)


async def _both_ways(call: Call, kubelet: WebSocketClient) -> None:
    exchange = call.exchange

    async def to_kubelet() -> None:
        while True:
            message = await exchange.receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes")
            await kubelet.send(data if data is not None else message.get("text", "").encode())

    async def to_client() -> None:
        while (data := await kubelet.receive()) is not None:
            await exchange.send({"type": "websocket.send", "bytes": data})

    up = env.spawn(to_kubelet(), "stream-to-kubelet")
    down = env.spawn(to_client(), "stream-to-client")
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if up.done() and not up.cancelled() and isinstance(up.exception(), ConnectionError):
            await down  # the kubelet closed first; what it said is still on its way
        if down.done():
            code = kubelet.close_code
            usable = code == 1000 or 3000 <= code < 5000
            await exchange.send(
                {"type": "websocket.close", "code": code if usable else _INTERNAL_ERROR}
            )
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
