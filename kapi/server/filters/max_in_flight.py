"""A bound on the requests that run at once; long-running ones do not count."""

from kapi.api import errors
from kapi.server.exchange import Exchange, Handler

_LONG_SUBRESOURCES = ("proxy", "portforward", "exec", "attach", "log")
_MUTATING = ("POST", "PUT", "PATCH", "DELETE")


def is_long_running(exchange: Exchange) -> bool:
    """Watches and streams may last hours."""
    info = exchange.info
    return info.verb == "watch" or info.subresource in _LONG_SUBRESOURCES


def with_max_in_flight(handler: Handler, reading: int, mutating: int) -> Handler:
    running = {"read": 0, "write": 0}
    limits = {"read": reading, "write": mutating}

    async def limited(exchange: Exchange) -> None:
        if is_long_running(exchange) or "system:masters" in exchange.user.groups:
            await handler(exchange)
            return
        kind = "write" if exchange.method in _MUTATING else "read"
        if running[kind] >= limits[kind]:
            raise errors.TooManyRequests(
                "Too many requests, please try again later.", retry_after=1
            )
        running[kind] += 1
        try:
            await handler(exchange)
        finally:
            running[kind] -= 1

    return limited
