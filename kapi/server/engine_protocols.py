"""hypercorn's HTTP/1.1 and HTTP/2 protocols, with what a long-lived API server needs mended.

- HTTP/2: data that arrives for a request already answered broke the whole connection. It is
  dropped, and the client is told to stop sending. An answer that breaks off midway ends its
  stream with an error; clients waited for ever before.
- HTTP/1.1: no upgrade to unencrypted HTTP/2; TLS negotiates the version. Status lines name the
  status in words, which clients show (`(409) Conflict`). A request answered before its body came
  closed the connection, and the client's next request met a closed one; the body is thrown away.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import h2.events
import h2.exceptions
import h11
from h2.errors import ErrorCodes
from hypercorn.events import Closed, RawData
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol

_log = logging.getLogger(__name__)

_DRAIN_SECONDS = 5.0
_STOP_SENDING_SECONDS = 1.0
_UNREAD_BYTES_MAX = 256 * 1024
"""What is read of an answered request to keep its connection, as Go's server does."""
_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}


class Http1(H11Protocol):
    """HTTP/1.1 and WebSocket."""

    _unread_bytes_left = 0
    """More than 0 while the rest of an answered request is awaited."""

    async def _check_protocol(self, event: h11.Request) -> None:
        return

    async def _send_h11_event(self, event: Any) -> None:
        if isinstance(event, h11.Response) and not event.reason:
            # Events are frozen; making another one would check all its headers once more.
            object.__setattr__(event, "reason", _PHRASES.get(event.status_code, b""))
        await super()._send_h11_event(event)

    async def _maybe_recycle(self) -> None:
        answered_early = (
            isinstance(self.connection, h11.Connection)
            and self.connection.our_state is h11.DONE
            and self.connection.their_state is h11.SEND_BODY
        )
        if not answered_early or self.context.terminated.is_set():
            await super()._maybe_recycle()
            return
        await self._close_stream()
        self._unread_bytes_left = _UNREAD_BYTES_MAX
        asyncio.get_running_loop().call_later(_DRAIN_SECONDS, self._stop_waiting)
        await self._throw_away()

    async def _handle_events(self) -> None:
        await self._throw_away()
        if not self._unread_bytes_left:
            await super()._handle_events()

    async def _throw_away(self) -> None:
        """Drop what came of the answered request; at its end the next one may come."""
        while self._unread_bytes_left:
            try:
                event = self.connection.next_event()
            except h11.RemoteProtocolError:
                event = h11.ConnectionClosed()
            if event is h11.NEED_DATA:
                return
            if isinstance(event, h11.Data):
                self._unread_bytes_left = max(0, self._unread_bytes_left - len(event.data))
                if self._unread_bytes_left:
                    continue
            self._unread_bytes_left = 0
            # Closes the connection unless this was the end of the message.
            await super()._maybe_recycle()

    def _stop_waiting(self) -> None:
        if self._unread_bytes_left:
            self._unread_bytes_left = 0
            self.task_group.spawn(self.send, Closed())


class Http2(H2Protocol):
    """HTTP/2 with many streams that begin and end independently."""

    async def handle(self, event: Any) -> None:
        if isinstance(event, RawData):
            try:
                events = self.connection.receive_data(event.data)
            except h2.exceptions.ProtocolError as error:
                _log.debug("the client broke the protocol: %r", error)
                await self._flush()
                await self.send(Closed())
                return
            await self._handle_events(events)
            return
        await super().handle(event)

    async def stream_send(self, event: Any) -> None:
        if isinstance(event, StreamClosed):
            await self._drain(event.stream_id)
        await super().stream_send(event)

    async def _drain(self, stream_id: int) -> None:
        """An answer that broke off: what was said before still goes out, if the client reads."""
        buffer = self.stream_buffers.get(stream_id)
        if buffer is None or not buffer.buffer or stream_id not in self.streams:
            return
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await buffer.drain()
        except TimeoutError:
            return

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        # One at a time: a stream may end while an earlier event is handled.
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                self._drop(event)
                await self._flush()
            else:
                await super()._handle_events([event])

    def _drop(self, event: h2.events.DataReceived) -> None:
        """Give the bytes back to the connection's flow-control window, or it would run dry."""
        try:
            self.connection.increment_flow_control_window(event.flow_controlled_length or 0)
        except (h2.exceptions.ProtocolError, ValueError):
            return

    async def _close_stream(self, stream_id: int) -> None:
        await super()._close_stream(stream_id)
        if not self._is_open(stream_id):
            return
        buffer = self.stream_buffers.get(stream_id)
        # A complete answer's last frame may still be on its way; the sender ends that stream.
        if buffer is not None and not buffer.complete:
            await self._reset(stream_id, ErrorCodes.INTERNAL_ERROR)
        else:
            # A client that sees the reset beside the answer may drop the answer (curl does).
            asyncio.get_running_loop().call_later(
                _STOP_SENDING_SECONDS, self._stop_sending, stream_id
            )

    def _stop_sending(self, stream_id: int) -> None:
        if not self.closed and self._is_open(stream_id):
            self.task_group.spawn(self._reset, stream_id, ErrorCodes.NO_ERROR)

    def _is_open(self, stream_id: int) -> bool:
        stream = self.connection.streams.get(stream_id)
        return stream is not None and not stream.closed

    async def _reset(self, stream_id: int, code: ErrorCodes) -> None:
        try:
            self.connection.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            return
        await self._flush()
