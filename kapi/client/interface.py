"""The shape of a transport: what carries one HTTP exchange, in process or over TLS."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Raises ConnectionError when the server cannot be reached."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One exchange; `params` is the query, not yet encoded."""

    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]:
        """An answer whose body arrives piece by piece; pieces need not be whole lines."""

    async def close(self) -> None: ...
