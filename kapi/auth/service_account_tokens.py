"""Service-account tokens: signed JWTs, issued for a TokenRequest and checked on every request.

A token is good while its signature, issuer, audience and times are, and while the service account
and the object it is bound to exist under the same uid. Signatures are remembered, the rest is
looked at each time. Claims and rules: apiserver `pkg/serviceaccount` (claims.go, jwt.go).
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kapi import env
from kapi.api.errors import Unauthorized
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.api.user import SERVICE_ACCOUNT_PREFIX, UserInfo
from kapi.auth.authenticators import CREDENTIAL_ID
from kapi.auth.interface import Credentials, ObjectLookup
from kapi.auth.tokens import IssuedToken

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
_LEEWAY_SECONDS = 60
# The kubelet asks for exactly this long, and is given a year: old clients read the token once.
_EXTENDED_FOR_SECONDS = 3607
_EXTENSION_SECONDS = 365 * 24 * 3600
_REMEMBERED_MAX = 4096
_ALGORITHM = "ES256"
_PRIVATE = "kubernetes.io"
# Times and audience are checked here, against env's clock and against what the caller accepts.
_UNCHECKED: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss")}
_EXTRA = "authentication.kubernetes.io/"


class ServiceAccountTokenIssuer:
    """Signs tokens with one P-256 key. `api_audiences` defaults to the issuer."""

    def __init__(
        self, key_pem: bytes, issuer: str = DEFAULT_ISSUER, api_audiences: tuple[str, ...] = ()
    ) -> None:
        key = serialization.load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the service-account signing key must be an EC P-256 key")
        self._key = key
        self.public_key = key.public_key()
        self.key_id = _key_id(self.public_key)
        self.issuer = issuer
        self.audiences = api_audiences or (issuer,)

    def issue(
        self,
        service_account: Object,
        *,
        audiences: tuple[str, ...],
        expiration_seconds: int,
        bound_object: Object | None,
        node: Object | None = None,
    ) -> IssuedToken:
        """Sign a token; see kapi.auth.tokens.TokenIssuer."""
        now = env.now()
        seconds = int(now.timestamp())
        wanted = audiences or self.audiences
        private = _private_claims(service_account, bound_object, node)
        lifetime = expiration_seconds
        extended = expiration_seconds == _EXTENDED_FOR_SECONDS and set(wanted) <= set(
            self.audiences
        )
        if extended and "pod" in private:
            lifetime = _EXTENSION_SECONDS
            private["warnafter"] = seconds + expiration_seconds
        claims = {
            "aud": list(wanted),
            "exp": seconds + lifetime,
            "iat": seconds,
            "iss": self.issuer,
            "jti": env.uuid4(),
            _PRIVATE: private,
            "nbf": seconds,
            "sub": _subject(namespace_of(service_account), name_of(service_account)),
        }
        # Like upstream's, the header does not say that this is a JWT.
        header = {"kid": self.key_id, "typ": None}
        token = jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers=header)
        ends = now.replace(microsecond=0) + timedelta(seconds=expiration_seconds)
        return IssuedToken(token, env.format_time(ends))

    def jwks(self) -> Object:
        """The public key as a JWK set."""
        numbers = self.public_key.public_numbers()
        return {
            "keys": [
                {
                    "use": "sig",
                    "kty": "EC",
                    "kid": self.key_id,
                    "crv": "P-256",
                    "alg": _ALGORITHM,
                    "x": _base64url(numbers.x.to_bytes(32, "big")),
                    "y": _base64url(numbers.y.to_bytes(32, "big")),
                }
            ]
        }


def _private_claims(
    service_account: Object, bound_object: Object | None, node: Object | None
) -> dict[str, Any]:
    private: dict[str, Any] = {
        "namespace": namespace_of(service_account),
        "serviceaccount": _reference(service_account),
    }
    if bound_object is not None:
        private[str(bound_object["kind"]).lower()] = _reference(bound_object)
    if node is not None and "node" not in private:
        private["node"] = _reference(node)
    return private


def _reference(obj: Object) -> dict[str, str]:
    """Name and uid; a node that is named but gone has no uid."""
    uid = uid_of(obj)
    return {"name": name_of(obj), **({"uid": uid} if uid else {})}


def _subject(namespace: str, name: str) -> str:
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def _key_id(key: ec.EllipticCurvePublicKey) -> str:
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return _base64url(hashlib.sha256(der).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class _Verified:
    """What a token says, once its signature is known to be good."""

    user: UserInfo
    claims: dict[str, Any]
    audiences: frozenset[str]


class ServiceAccountTokenAuthenticator:
    """Checks tokens of one issuer against what is stored now."""

    def __init__(self, issuer: ServiceAccountTokenIssuer, lookup: ObjectLookup) -> None:
        self._issuer = issuer
        self._lookup = lookup
        self._remembered: dict[str, _Verified] = {}

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        token = credentials.bearer_token
        if token is None:
            return None
        return self.user_of(token, credentials.audiences or self._issuer.audiences)

    def user_of(self, token: str, audiences: Sequence[str]) -> UserInfo | None:
        """The token's user, None if it is not from this issuer.

        Raises Unauthorized if it is, and is not good for any of `audiences`.
        """
        verified = self._remembered.get(token) or self._verify(token)
        if verified is None:
            return None
        _check_times(verified.claims)
        if verified.audiences.isdisjoint(audiences):
            raise Unauthorized("token audiences do not match")
        self._check_objects(verified.claims[_PRIVATE])
        return verified.user

    def _verify(self, token: str) -> _Verified | None:
        if token.count(".") != 2 or token.startswith("{"):
            return None
        try:
            unverified = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return None
        if unverified.get("iss") != self._issuer.issuer:
            return None
        try:
            if jwt.get_unverified_header(token).get("kid", self._issuer.key_id) != (
                self._issuer.key_id
            ):
                raise Unauthorized("no key with this id")
            key = self._issuer.public_key
            claims = jwt.decode(token, key, algorithms=[_ALGORITHM], options=_UNCHECKED)
            verified = _read_claims(claims)
        except (jwt.PyJWTError, KeyError, TypeError, AttributeError) as error:
            raise Unauthorized(f"invalid token: {type(error).__name__}") from error
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[token] = verified
        return verified

    def _check_objects(self, private: dict[str, Any]) -> None:
        namespace = private["namespace"]
        self._check("serviceaccounts", namespace, private["serviceaccount"])
        if "secret" in private:
            self._check("secrets", namespace, private["secret"])
        if "pod" in private:
            self._check("pods", namespace, private["pod"])
        elif "node" in private:
            # A pod-bound token only mentions its node; the pod is what it lives with.
            self._check("nodes", "", private["node"])

    def _check(self, resource: str, namespace: str, reference: dict[str, str]) -> None:
        obj = self._lookup.get(resource, namespace, reference["name"])
        if obj is None:
            raise Unauthorized(f"{resource} {reference['name']} has been deleted")
        if uid_of(obj) != reference.get("uid", ""):
            raise Unauthorized(f"{resource} {reference['name']} has another uid")
        deleted = obj.get("metadata", {}).get("deletionTimestamp")
        if deleted:
            gone_for = (env.now() - env.parse_time(deleted)).total_seconds()
            if gone_for > _LEEWAY_SECONDS:
                raise Unauthorized(f"{resource} {reference['name']} has been deleted")


def _check_times(claims: dict[str, Any]) -> None:
    now = env.now().timestamp()
    if now > claims["exp"] + _LEEWAY_SECONDS:
        raise Unauthorized("service account token has expired")
    if now < claims.get("nbf", 0) - _LEEWAY_SECONDS:
        raise Unauthorized("service account token is not valid yet")
    if now < claims.get("iat", 0) - _LEEWAY_SECONDS:
        raise Unauthorized("service account token was issued in the future")


def _read_claims(claims: dict[str, Any]) -> _Verified:
    private = claims[_PRIVATE]
    namespace, account = private["namespace"], private["serviceaccount"]
    name = _subject(namespace, account["name"])
    if claims["sub"] != name or not isinstance(claims["exp"], int | float):
        raise KeyError("sub")
    extra: dict[str, tuple[str, ...]] = {}
    for kind in ("pod", "node"):
        reference = private.get(kind)
        if reference:
            extra[f"{_EXTRA}{kind}-name"] = (reference["name"],)
            if reference.get("uid"):
                extra[f"{_EXTRA}{kind}-uid"] = (reference["uid"],)
    if claims.get("jti"):
        extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    user = UserInfo(name=name, uid=account["uid"], groups=groups, extra=extra)
    audience = claims["aud"]
    audiences = frozenset([audience] if isinstance(audience, str) else audience)
    return _Verified(user, claims, audiences)
