"""What a verb works with: the request, the resource it is about, and the server around it."""

from dataclasses import dataclass

from kapi.api import errors
from kapi.api.object import GroupVersionKind
from kapi.api.object_meta import field_manager_errors
from kapi.api.schema import KindSchema
from kapi.auth.interface import Authenticator, Authorizer, ObjectLookup
from kapi.auth.rbac import RbacAuthorizer
from kapi.registry.resource import Resource, Subresource
from kapi.registry.store import Backing, GenericStore
from kapi.registry.strategy import RequestContext, Strategy
from kapi.server.config import ApiServerConfig
from kapi.server.exchange import Exchange
from kapi.server.negotiation import Accepted, accepted
from kapi.server.printing import include_object


@dataclass(slots=True)
class Api:
    """The server around every call. `stores` is keyed by (qualified plural, version)."""

    config: ApiServerConfig
    backing: Backing
    authenticator: Authenticator
    authorizer: Authorizer
    rbac: RbacAuthorizer
    lookup: ObjectLookup
    stores: dict[tuple[str, str], GenericStore]

    def store_of(self, qualified: str, version: str = "v1") -> GenericStore:
        return self.stores[(qualified, version)]


@dataclass(slots=True)
class Call:
    """One request to one resource (or a subresource of it)."""

    exchange: Exchange
    api: Api
    store: GenericStore
    subresource: Subresource | None = None

    @property
    def resource(self) -> Resource:
        return self.store.resource

    @property
    def strategy(self) -> Strategy:
        return self.store.strategy

    @property
    def namespace(self) -> str:
        return self.exchange.info.namespace if self.resource.namespaced else ""

    @property
    def name(self) -> str:
        return self.exchange.info.name

    @property
    def body_kind(self) -> GroupVersionKind:
        """The kind of request bodies at this endpoint."""
        if self.subresource and self.subresource.kind:
            return self.subresource.kind
        return self.resource.gvk

    @property
    def custom_schema(self) -> KindSchema | None:
        """The schema of request bodies at this endpoint, if they are of a custom kind."""
        if self.subresource and self.subresource.kind:
            return None
        return self.resource.schema

    def form(self) -> Accepted:
        return accepted(self.exchange.header(b"accept"))

    def include(self) -> str:
        return include_object(self.exchange.param("includeObject"))

    def context(self) -> RequestContext:
        """What the store may know about the request. Raises Invalid for a bad dryRun or manager."""
        exchange = self.exchange
        return RequestContext(
            user=exchange.user,
            namespace=self.namespace,
            dry_run=dry_run(exchange),
            field_manager=field_manager(exchange),
            warnings=exchange.warnings,
        )


_OPTIONS_KIND = {
    "POST": "CreateOptions",
    "PUT": "UpdateOptions",
    "PATCH": "PatchOptions",
    "DELETE": "DeleteOptions",
}


def dry_run(exchange: Exchange) -> bool:
    """The dryRun parameter: only `All` is known."""
    values = exchange.query.get("dryRun", [])
    bad = [value for value in values if value != "All"]
    if bad:
        raise invalid_options(exchange.method, errors.not_supported("dryRun", values, ["All"]))
    return "All" in values


def field_manager(exchange: Exchange) -> str:
    """The fieldManager parameter, or the User-Agent up to its first slash."""
    manager = exchange.param("fieldManager")
    if manager:
        problems = field_manager_errors(manager, "fieldManager")
        if problems:
            raise invalid_options(exchange.method, *problems)
        return manager
    agent = exchange.header(b"user-agent").split("/")[0]
    return "".join(letter for letter in agent if letter.isprintable())[:128]


def invalid_options(method: str, *problems: errors.FieldError) -> errors.Invalid:
    """422 for a bad write option, named after the options kind of the method."""
    kind = _OPTIONS_KIND.get(method, "CreateOptions")
    return errors.object_invalid(kind, "meta.k8s.io", "", problems)
