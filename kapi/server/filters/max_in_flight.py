"""A bound on the requests that run at once; long-running ones do not count.

What comes above the bound waits for its turn, as with upstream's priority and fairness; only when
too many wait, or one waits too long, a client is told to come back.
"""

import asyncio

from kapi.api import errors
from kapi.server.exchange import Exchange, Handler

_LONG_SUBRESOURCES = ("proxy", "portforward", "exec", "attach", "log")
_MUTATING = ("POST", "PUT", "PATCH", "DELETE")
_WAITING_PER_SEAT = 10
_WAIT_SECONDS = 15.0


def is_long_running(exchange: Exchange) -> bool:
    """Watches and streams may last hours."""
    info = exchange.info
    return info.verb == "watch" or info.subresource in _LONG_SUBRESOURCES


class _Seats:
    """First come, first served."""

    def __init__(self, count: int) -> None:
        self._seats = asyncio.Semaphore(count)
        self._waiting = 0
        self._waiting_max = count * _WAITING_PER_SEAT

    async def take(self) -> None:
        """Raises TooManyRequests if there is no seat and no place to wait for one."""
        if not self._seats.locked():
            await self._seats.acquire()
            return
        if self._waiting >= self._waiting_max:
            raise _refusal()
        self._waiting += 1
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._seats.acquire()
        except TimeoutError:
            raise _refusal() from None
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        self._seats.release()


def _refusal() -> errors.TooManyRequests:
    return errors.TooManyRequests("Too many requests, please try again later.", retry_after=1)


def with_max_in_flight(handler: Handler, reading: int, mutating: int) -> Handler:
    readers, writers = _Seats(reading), _Seats(mutating)

    async def limited(exchange: Exchange) -> None:
        if is_long_running(exchange) or "system:masters" in exchange.user.groups:
            await handler(exchange)
            return
        seats = writers if exchange.method in _MUTATING else readers
        await seats.take()
        try:
            await handler(exchange)
        finally:
            seats.leave()

    return limited
