"""/healthz, /livez and /readyz: one line per check when asked verbosely.

Source of the format: k8s.io/apiserver `pkg/server/healthz`.
"""

from collections.abc import Awaitable, Callable

from kapi import env
from kapi.server.exchange import Exchange

Check = Callable[[], Awaitable[None]]
"""Returns if all is well, raises with the reason if not."""

_TEXT = "text/plain; charset=utf-8"


class Health:
    """The checks behind the three endpoints; `checks` is name -> check, in order."""

    def __init__(self, checks: dict[str, Check]) -> None:
        self._checks = checks

    @property
    def names(self) -> tuple[str, ...]:
        """Of the checks; each has a path of its own below every endpoint."""
        return tuple(self._checks)

    async def serve(self, exchange: Exchange, endpoint: str, name: str) -> None:
        """Answer `/livez` (name empty) or `/livez/<name>`."""
        if name:
            check = self._checks.get(name)
            if check is None:
                await exchange.respond(404, b"404 page not found\n", _TEXT)
                return
            failure = await _failure(check)
            body = b"ok" if not failure else f"internal server error: {failure}\n".encode()
            await exchange.respond(500 if failure else 200, body, _TEXT)
            return
        excluded = set(exchange.query.get("exclude", []))
        lines, failed = [], False
        for label, check in self._checks.items():
            if label in excluded:
                lines.append(f"[+]{label} excluded: ok")
                continue
            failure = await _failure(check)
            failed = failed or bool(failure)
            lines.append(f"[-]{label} failed: reason withheld" if failure else f"[+]{label} ok")
        unknown = excluded - set(self._checks)
        if unknown:
            names = " ".join(f'"{item}"' for item in sorted(unknown))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        if failed:
            text = "\n".join([*lines, f"{endpoint} check failed", ""])
            await exchange.respond(500, text.encode(), _TEXT)
            return
        if "verbose" in exchange.query:
            text = "\n".join([*lines, f"{endpoint} check passed", ""])
            await exchange.respond(200, text.encode(), _TEXT)
            return
        await exchange.respond(200, b"ok", _TEXT)


async def _failure(check: Check) -> str:
    try:
        await check()
    except Exception as error:
        return f"{type(error).__name__}: {error} at {env.timestamp()}"
    return ""
