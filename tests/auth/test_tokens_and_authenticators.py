"""Certificates, static tokens and service-account tokens prove who somebody is."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from fake_lookup import FakeLookup

from kapi import env
from kapi.api.errors import Unauthorized
from kapi.auth.authenticators import (
    StaticTokenAuthenticator,
    UnionAuthenticator,
    X509Authenticator,
)
from kapi.auth.interface import Credentials
from kapi.auth.pki import ADMIN, ClusterPki, node_spec
from kapi.auth.service_account_tokens import (
    ServiceAccountTokenAuthenticator,
    ServiceAccountTokenIssuer,
)
from kapi.env import SystemClock

ACCOUNT = {"kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": "a", "uid": "u1"}}
POD = {"kind": "Pod", "metadata": {"name": "p", "namespace": "a", "uid": "u2"}}
NODE = {"kind": "Node", "metadata": {"name": "n", "uid": "u3"}}


class _Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 5, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()


@pytest.fixture
def clock() -> Any:
    clock = _Clock()
    env.install(clock, random.Random(7))
    yield clock
    env.install(SystemClock(), random.SystemRandom())


@pytest.fixture
def lookup() -> FakeLookup:
    lookup = FakeLookup()
    lookup.put("serviceaccounts", ACCOUNT)
    lookup.put("pods", POD)
    return lookup


@pytest.fixture
def issuer(tmp_path: Path) -> ServiceAccountTokenIssuer:
    return ServiceAccountTokenIssuer(ClusterPki(tmp_path).ensure_service_account_key())


def _issue(issuer: ServiceAccountTokenIssuer, **more: Any) -> str:
    settings: dict[str, Any] = {
        "audiences": (),
        "expiration_seconds": 3600,
        "bound_object": POD,
        "node": NODE,
    }
    return issuer.issue(ACCOUNT, **{**settings, **more}).token


async def test_a_token_proves_its_account(
    clock: _Clock, lookup: FakeLookup, issuer: ServiceAccountTokenIssuer
) -> None:
    tokens = ServiceAccountTokenAuthenticator(issuer, lookup)
    issued = issuer.issue(
        ACCOUNT, audiences=(), expiration_seconds=3600, bound_object=POD, node=NODE
    )
    assert issued.expiration_timestamp == "2026-05-01T01:00:00Z"
    user = await tokens.authenticate(Credentials(bearer_token=issued.token))
    assert user is not None
    assert user.name == "system:serviceaccount:a:bot"
    assert user.uid == "u1"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:a")
    prefix = "authentication.kubernetes.io/"
    assert user.extra[f"{prefix}pod-name"] == ("p",)
    assert user.extra[f"{prefix}node-uid"] == ("u3",)
    assert user.extra[f"{prefix}credential-id"][0].startswith("JTI=")


async def test_a_token_ends(
    clock: _Clock, lookup: FakeLookup, issuer: ServiceAccountTokenIssuer
) -> None:
    tokens = ServiceAccountTokenAuthenticator(issuer, lookup)
    token = _issue(issuer)
    clock.moment += timedelta(seconds=3650)
    assert tokens.user_of(token, issuer.audiences)
    clock.moment += timedelta(seconds=20)
    with pytest.raises(Unauthorized):
        tokens.user_of(token, issuer.audiences)
    clock.moment -= timedelta(days=1)
    with pytest.raises(Unauthorized):
        tokens.user_of(token, issuer.audiences)


async def test_the_kubelets_token_is_extended(
    clock: _Clock, lookup: FakeLookup, issuer: ServiceAccountTokenIssuer
) -> None:
    issued = issuer.issue(ACCOUNT, audiences=(), expiration_seconds=3607, bound_object=POD)
    claims = jwt.decode(issued.token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 31536000
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    assert issued.expiration_timestamp == "2026-05-01T01:00:07Z"


async def test_a_token_dies_with_its_pod(
    clock: _Clock, lookup: FakeLookup, issuer: ServiceAccountTokenIssuer
) -> None:
    tokens = ServiceAccountTokenAuthenticator(issuer, lookup)
    token = _issue(issuer)
    deleted = {"deletionTimestamp": "2026-05-01T00:00:10Z"}
    lookup.put("pods", {**POD, "metadata": {**POD["metadata"], **deleted}})  # type: ignore[dict-item]
    assert tokens.user_of(token, issuer.audiences)
    clock.moment += timedelta(seconds=71)
    with pytest.raises(Unauthorized):
        tokens.user_of(token, issuer.audiences)
    lookup.put("pods", {**POD, "metadata": {**POD["metadata"], "uid": "new"}})  # type: ignore[dict-item]
    with pytest.raises(Unauthorized):
        tokens.user_of(token, issuer.audiences)
    lookup.remove("pods", "a", "p")
    with pytest.raises(Unauthorized):
        tokens.user_of(token, issuer.audiences)


async def test_a_token_is_for_its_audience(
    lookup: FakeLookup, issuer: ServiceAccountTokenIssuer
) -> None:
    tokens = ServiceAccountTokenAuthenticator(issuer, lookup)
    token = _issue(issuer, audiences=("vault",))
    with pytest.raises(Unauthorized):
        await tokens.authenticate(Credentials(bearer_token=token))
    assert tokens.user_of(token, ["vault"])


async def test_forged_tokens_are_refused(
    lookup: FakeLookup, issuer: ServiceAccountTokenIssuer, tmp_path: Path
) -> None:
    tokens = ServiceAccountTokenAuthenticator(issuer, lookup)
    other = ServiceAccountTokenIssuer(ClusterPki(tmp_path / "o").ensure_service_account_key())
    header, payload, signature = _issue(issuer).split(".")
    claims = jwt.decode(_issue(issuer), options={"verify_signature": False})
    forged = [
        _issue(other),
        f"{header}.{payload}x.{signature}",
        f"{header}.{payload}.",
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode({**claims, "sub": "system:serviceaccount:a:root"}, other._key, "ES256"),
    ]
    for token in forged:
        with pytest.raises(Unauthorized):
            await UnionAuthenticator([tokens]).authenticate(Credentials(bearer_token=token))
    assert tokens.user_of("not.a.jwt", ()) is None
    assert tokens.user_of("opaque", ()) is None


async def test_static_tokens_and_the_union() -> None:
    static = StaticTokenAuthenticator.from_csv(
        'T1,admin,admin-uid,system:masters\nT2,alice,alice-uid,"dev,ops"\n\n,empty,u\n'
    )
    union = UnionAuthenticator([X509Authenticator(), static])
    alice = await union.authenticate(Credentials(bearer_token="T2"))
    assert alice is not None
    assert (alice.name, alice.uid) == ("alice", "alice-uid")
    assert alice.groups == ("dev", "ops", "system:authenticated")
    assert await union.authenticate(Credentials()) is None
    for unknown in ("nope", ""):
        with pytest.raises(Unauthorized):
            await union.authenticate(Credentials(bearer_token=unknown))
    with pytest.raises(ValueError, match="line 1"):
        StaticTokenAuthenticator.from_csv("T1,admin\n")


async def test_certificates_name_user_and_groups(tmp_path: Path, clock: _Clock) -> None:
    pki = ClusterPki(tmp_path)
    der = _der(pki.ensure(node_spec("n1")).cert_file)
    authenticator = X509Authenticator()
    user = await authenticator.authenticate(Credentials(client_certificate=der))
    assert user is not None
    assert user.name == "system:node:n1"
    assert user.groups == ("system:nodes",)
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")
    clock.moment += timedelta(days=400)
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(Credentials(client_certificate=der))


def _der(path: Path) -> bytes:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.public_bytes(serialization.Encoding.DER)


def test_certificates_are_kept_until_they_must_change(tmp_path: Path, clock: _Clock) -> None:
    first = ClusterPki(tmp_path)
    before = first.ensure(ADMIN).cert_pem
    assert (tmp_path / "admin.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    assert ClusterPki(tmp_path).ensure(ADMIN).cert_pem == before
    clock.moment += timedelta(days=340)
    renewed = ClusterPki(tmp_path).ensure(ADMIN).cert_pem
    assert renewed != before
    (tmp_path / "admin.key").write_bytes((tmp_path / "ca.key").read_bytes())
    assert ClusterPki(tmp_path).ensure(ADMIN).cert_pem != renewed
    (tmp_path / "ca.crt").unlink()
    assert ClusterPki(tmp_path).ensure_authority().cert_pem
    (tmp_path / "ca.key").write_bytes((tmp_path / "admin.key").read_bytes())
    with pytest.raises(ValueError, match="do not match"):
        ClusterPki(tmp_path).ensure_authority()
