"""Who makes a request: client certificates, static tokens, and the union of all ways.

Anonymous access is not decided here: a union answers None for a request without credentials, and
the server decides what that may do. Upstream: apiserver `pkg/authentication`.
"""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from kapi import env
from kapi.api.errors import Unauthorized
from kapi.api.user import (
    ANONYMOUS,
    GROUP_AUTHENTICATED,
    GROUP_UNAUTHENTICATED,
    UserInfo,
)
from kapi.auth.interface import Authenticator, Credentials

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
_REMEMBERED_MAX = 1024


class X509Authenticator:
    """The user a client certificate names: CN is the user, each O a group.

    The TLS layer has checked the chain against the cluster CA and the clientAuth usage during the
    handshake. Expiry is checked again on each request, as a connection may outlive a certificate.
    """

    def __init__(self) -> None:
        self._remembered: dict[bytes, tuple[UserInfo | None, datetime]] = {}

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        der = credentials.client_certificate
        if der is None:
            return None
        found = self._remembered.get(der)
        if found is None:
            found = _read_certificate(der)
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[der] = found
        user, not_after = found
        if env.now() > not_after:
            raise Unauthorized("Unauthorized")
        return user


def _read_certificate(der: bytes) -> tuple[UserInfo | None, datetime]:
    certificate = x509.load_der_x509_certificate(der)
    subject = certificate.subject
    names = [str(part.value) for part in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(part.value) for part in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    uids = [str(part.value) for part in subject.get_attributes_for_oid(_UID)]
    if len(uids) > 1 or uids == [""]:
        raise Unauthorized("Unauthorized")
    if not names or not names[-1]:
        return None, certificate.not_valid_after_utc
    user = UserInfo(
        name=names[-1],
        uid=uids[0] if uids else "",
        groups=tuple(groups),
        extra={CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)},
    )
    return user, certificate.not_valid_after_utc


class StaticTokenAuthenticator:
    """Tokens from a file in upstream's CSV form: `token,user,uid[,"group1,group2"]`."""

    def __init__(self, users: dict[str, UserInfo]) -> None:
        self._users = users

    @classmethod
    def from_csv(cls, text: str) -> "StaticTokenAuthenticator":
        """Raises ValueError naming the line if a row has fewer than three columns."""
        users: dict[str, UserInfo] = {}
        reader = csv.reader(io.StringIO(text), skipinitialspace=True)
        for row in reader:
            if not row or row[0].startswith("#"):
                continue
            if len(row) < 3:
                raise ValueError(
                    f"token file: line {reader.line_num} has {len(row)} columns, expected at least "
                    "3: token, user name, user uid"
                )
            token, name, uid = row[0], row[1], row[2]
            if not token:
                continue
            groups = tuple(row[3].split(",")) if len(row) > 3 and row[3] else ()
            users[token] = UserInfo(name=name, uid=uid, groups=groups)
        return cls(users)

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        if credentials.bearer_token is None or credentials.audiences:
            # These tokens know no audience: they are good for this API and nothing else.
            return None
        return self._users.get(credentials.bearer_token)


class UnionAuthenticator:
    """The first authenticator that proves a user wins. Nobody, with credentials given, is a 401."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        refused = credentials.bearer_token is not None
        for authenticator in self._authenticators:
            try:
                user = await authenticator.authenticate(credentials)
            except Unauthorized:
                refused = True
                continue
            if user is not None:
                return with_authenticated_group(user)
        if refused:
            # Why is never told to the client.
            raise Unauthorized("Unauthorized")
        return None


def with_authenticated_group(user: UserInfo) -> UserInfo:
    """The user as a member of system:authenticated, unless it is marked as nobody."""
    marks = (GROUP_AUTHENTICATED, GROUP_UNAUTHENTICATED)
    if user.name == ANONYMOUS or any(group in marks for group in user.groups):
        return user
    return replace(user, groups=(*user.groups, GROUP_AUTHENTICATED))
