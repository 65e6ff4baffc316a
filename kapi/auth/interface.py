"""The seams between auth and the server."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from kapi.api.object import Object
from kapi.api.user import UserInfo


@dataclass(frozen=True, slots=True)
class Attributes:
    """One question to an authorizer.

    For a request that is not about a resource, `path` is set and `resource` is empty. Of a list or
    watch, `field_selector` is the text that narrows it.
    """

    user: UserInfo
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""

    @property
    def is_resource_request(self) -> bool:
        return bool(self.resource)


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection and its headers offer as proof: DER of the client certificate, token.

    `audiences` are those of which the token must be good for one; none stands for this API's own.
    """

    client_certificate: bytes | None = None
    bearer_token: str | None = None
    audiences: tuple[str, ...] = ()


class Authenticator(Protocol):
    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        """The user these credentials prove, None if they are not of this authenticator's kind.

        Raises kapi.api.errors.Unauthorized if they are, and are not good.
        """


class Authorizer(Protocol):
    def authorize(self, attributes: Attributes) -> Decision:
        """A decision from what is known in memory; never waits."""


class ObjectLookup(Protocol):
    """Read access to a few kinds, answered from the watch cache. Plurals are `roles.rbac...`."""

    def get(self, resource: str, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: str, namespace: str = "") -> Iterable[Object]: ...

    def version(self, resource: str) -> int:
        """A number that changes with every write to the resource: equal means nothing changed."""
