"""Judges the `timeout` parameter: how long the client is ready to wait for a short request.

The value is a Go duration. Nothing here takes that long, so it is only read and refused if it
makes no sense. Source: k8s.io/apiserver `pkg/endpoints/filters/request_deadline.go` and Go's
`time.ParseDuration`.
"""

import re

from kapi.api import errors
from kapi.server.exchange import Exchange, Handler
from kapi.server.filters.max_in_flight import is_long_running

_UNITS = ("ns", "us", "µs", "μs", "ms", "s", "m", "h")
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")


def duration_problem(text: str) -> str:
    """What Go's parser says about a duration, empty if it is one."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return ""
    if not rest:
        return f'time: invalid duration "{text}"'
    while rest:
        part = _PART.match(rest)
        if part is None:
            return f'time: invalid duration "{text}"'
        unit, rest = part[2], rest[part.end() :]
        if not unit:
            return f'time: missing unit in duration "{text}"'
        if unit not in _UNITS:
            return f'time: unknown unit "{unit}" in duration "{text}"'
    return ""


def with_request_timeout(handler: Handler) -> Handler:
    async def judged(exchange: Exchange) -> None:
        asked = exchange.param("timeout")
        problem = duration_problem(asked) if asked and not is_long_running(exchange) else ""
        if problem:
            raise errors.BadRequest(f"invalid timeout specified in the request URL - {problem}")
        await handler(exchange)

    return judged
