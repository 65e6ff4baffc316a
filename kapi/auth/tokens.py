"""The seam for service-account tokens; `service_account_tokens.py` holds the signer."""

from dataclasses import dataclass
from typing import Protocol

from kapi.api.object import Object


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A signed JWT and when it ends (metav1.Time)."""

    token: str
    expiration_timestamp: str


class TokenIssuer(Protocol):
    issuer: str
    """The `iss` claim, and the issuer of the OIDC discovery document."""

    audiences: tuple[str, ...]
    """What a token is good for when a TokenRequest names no audience."""

    def issue(
        self,
        service_account: Object,
        *,
        audiences: tuple[str, ...],
        expiration_seconds: int,
        bound_object: Object | None,
        node: Object | None = None,
    ) -> IssuedToken:
        """Sign a token; `bound_object` is the Pod, Secret or Node it lives and dies with."""

    def jwks(self) -> Object:
        """The public keys as a JWK set, for `/openid/v1/jwks`."""
