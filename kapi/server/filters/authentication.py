"""Finds out who is asking."""

from kapi.api import errors
from kapi.api.user import ANONYMOUS, GROUP_UNAUTHENTICATED, UserInfo
from kapi.auth.interface import Authenticator, Credentials
from kapi.server.exchange import Exchange, Handler

_ANONYMOUS_USER = UserInfo(ANONYMOUS, groups=(GROUP_UNAUTHENTICATED,))


def bearer_token(exchange: Exchange) -> str | None:
    """The bearer token of the Authorization header."""
    scheme, _, token = exchange.header(b"authorization").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return None


def with_authentication(
    handler: Handler, authenticator: Authenticator, anonymous_paths: tuple[str, ...]
) -> Handler:
    """Anonymous requests pass for the health endpoints and /version only."""

    def may_be_anonymous(path: str) -> bool:
        return any(path == item or path.startswith(f"{item}/") for item in anonymous_paths)

    async def authenticated(exchange: Exchange) -> None:
        state = exchange.scope.get("state") or {}
        user: UserInfo | None = state.get("user")
        if user is None:
            credentials = Credentials(state.get("client_certificate"), bearer_token(exchange))
            user = await authenticator.authenticate(credentials)
        if user is None:
            if not may_be_anonymous(exchange.path):
                raise errors.Unauthorized("Unauthorized")
            user = _ANONYMOUS_USER
        exchange.user = user
        await handler(exchange)

    return authenticated
