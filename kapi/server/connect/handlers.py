"""Which conversation answers which subresource."""

from collections.abc import Awaitable, Callable

from kapi.server.call import Call

CONNECT: dict[tuple[str, str], Callable[[Call], Awaitable[None]]] = {}
