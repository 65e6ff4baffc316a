"""exec and attach over a WebSocket: channels in binary messages.

Protocols `channel.k8s.io` to `v5.channel.k8s.io`. Source: k8s.io/apimachinery
`pkg/util/remotecommand/constants.go` and KEP-4006.
"""

import asyncio
import logging

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from kapi import env
from kapi.api.object import Object
from kapi.kubelet.runtime.interface import RuntimeFailure, Stream

_log = logging.getLogger(__name__)

SUBPROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
)
_STDIN, _ERROR, _RESIZE, _CLOSE = 0, 3, 4, 255
_CHUNK = 32 * 1024


def exit_status(code: int | None) -> Object:
    """The Status that ends an exec. Clients read the exit code from its cause."""
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure_status(message: str) -> Object:
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "InternalError",
        "code": 500,
    }


async def serve_channels(websocket: WebSocket, stream: Stream, output: tuple[int, ...]) -> None:
    """Carry one exec or attachment on an accepted WebSocket until either side ends.

    `output` names the channels the client asked for (1 stdout, 2 stderr).
    """
    incoming = env.spawn(_from_client(websocket, stream), "exec-input")
    outgoing = env.spawn(_to_client(websocket, stream, output), "exec-output")
    try:
        await asyncio.wait({incoming, outgoing}, return_when=asyncio.FIRST_COMPLETED)
        if outgoing.done():
            outgoing.result()
    except (WebSocketDisconnect, ConnectionError):
        _log.debug("the client of an exec left")
    finally:
        for task in (incoming, outgoing):
            task.cancel()
        await asyncio.gather(incoming, outgoing, return_exceptions=True)
        await stream.close()


async def _from_client(websocket: WebSocket, stream: Stream) -> None:
    """Returns when the client goes away; closing stdin alone does not end the conversation."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        data = message.get("bytes")
        if not data:
            continue
        try:
            await _pass_on(stream, data[0], data[1:])
        except (OSError, RuntimeFailure) as error:
            # A process that has ended takes nothing more; its last words are still to be sent.
            _log.debug("the input of an exec was not taken: %s", error)


async def _pass_on(stream: Stream, channel: int, payload: bytes) -> None:
    if channel == _STDIN and payload:
        await stream.write(payload)
    elif channel == _RESIZE:
        width, height = _terminal_size(payload)
        if width and height:
            await stream.resize(width, height)
    elif channel == _CLOSE and payload[:1] == bytes([_STDIN]):
        await stream.close_stdin()


def _terminal_size(payload: bytes) -> tuple[int, int]:
    """Width and height, zero for what makes no sense."""
    try:
        size = orjson.loads(payload)
        return int(size.get("Width") or 0), int(size.get("Height") or 0)
    except (ValueError, TypeError, AttributeError):
        return 0, 0


async def _to_client(websocket: WebSocket, stream: Stream, output: tuple[int, ...]) -> None:
    try:
        async for channel, data in stream.output():
            if channel not in output:
                continue
            head = bytes([channel])
            for start in range(0, len(data), _CHUNK):
                await websocket.send_bytes(head + data[start : start + _CHUNK])
        status = exit_status(await stream.exit_code())
    except RuntimeFailure as error:
        status = failure_status(str(error))
    await end_with(websocket, status)


async def end_with(websocket: WebSocket, status: Object) -> None:
    """Send the final Status and close normally: kubectl takes any other code for an error."""
    await websocket.send_bytes(bytes([_ERROR]) + orjson.dumps(status))
    await websocket.close(1000)
