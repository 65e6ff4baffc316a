"""Tokens for pods: asked for once, renewed in time.

Upstream: pkg/kubelet/token/token_manager.go: renew when less than a fifth of the life is left or
the token is older than a day, with up to ten seconds of jitter; while renewal fails an unexpired
token goes on being used.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kapi import env
from kapi.api.errors import ApiError
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.client.client import SERVICE_ACCOUNTS, Client

_DAY = timedelta(hours=24)
_JITTER_SECONDS = 10.0
_RETRY_SECONDS = 10.0
DEFAULT_EXPIRATION_SECONDS = 3600


class TokenFailure(Exception):
    """No valid token; the text goes into the FailedMount event."""


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    expires: datetime
    renew: datetime


class ServiceAccountTokens:
    """The tokens of one pod, by audience and lifetime."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tokens: dict[tuple[str, int], Token] = {}

    async def get(self, pod: Object, source: Object) -> str:
        """Raises TokenFailure."""
        audience = source.get("audience") or ""
        seconds = int(source.get("expirationSeconds") or DEFAULT_EXPIRATION_SECONDS)
        key = (audience, seconds)
        held, now = self._tokens.get(key), env.now()
        if held is not None and now < min(held.renew, held.expires):
            return held.text
        try:
            self._tokens[key] = await self._request(pod, audience, seconds)
        except (ApiError, ConnectionError) as error:
            if held is not None:
                # Not at once again: whoever asks comes back when `next_renewal` says so.
                again = now + timedelta(seconds=_RETRY_SECONDS)
                self._tokens[key] = replace(held, renew=again)
            if held is not None and now < held.expires:
                return held.text
            name = pod["spec"].get("serviceAccountName") or "default"
            if held is not None:
                raise TokenFailure(
                    f"token {namespace_of(pod)}/{name} expired and refresh failed: {error}"
                ) from error
            raise TokenFailure(f"failed to fetch token: {error}") from error
        return self._tokens[key].text

    def next_renewal(self) -> datetime | None:
        return min((token.renew for token in self._tokens.values()), default=None)

    async def _request(self, pod: Object, audience: str, seconds: int) -> Token:
        body: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": seconds,
                "audiences": [audience] if audience else [],
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": name_of(pod),
                    "uid": uid_of(pod),
                },
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        answer = await self._client.create(
            SERVICE_ACCOUNTS, namespace_of(pod), body, name=account, subresource="token"
        )
        now = env.now()
        expires = env.parse_time(answer["status"]["expirationTimestamp"])
        jitter = timedelta(seconds=env.random().random() * _JITTER_SECONDS)
        renew = min(expires - timedelta(seconds=seconds) / 5, now + _DAY) - jitter
        return Token(answer["status"]["token"], expires, renew)
