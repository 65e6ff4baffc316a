"""The part of a WebSocket request before it is accepted: refusing it with an ordinary answer."""

from kapi.server.exchange import Send

_DENIAL = {
    "http.response.start": "websocket.http.response.start",
    "http.response.body": "websocket.http.response.body",
}


def denial_sender(send: Send) -> Send:
    """A `send` that turns an HTTP answer into the refusal of a WebSocket handshake.

    ASGI messages of an accepted WebSocket pass unchanged.
    """

    async def translated(message: dict[str, object]) -> None:
        kind = str(message["type"])
        await send({**message, "type": _DENIAL.get(kind, kind)})

    return translated
