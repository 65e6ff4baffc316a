"""From a request to the code that answers it, derived from the rows of the table."""

from collections.abc import Awaitable, Callable

from kapi.api import errors
from kapi.registry.resource import Resource, Subresource
from kapi.registry.store import GenericStore
from kapi.server.call import Api, Call
from kapi.server.connect.handlers import CONNECT
from kapi.server.discovery import Discovery
from kapi.server.exchange import Exchange
from kapi.server.filters.metrics import counted_as_long_running
from kapi.server.request_info import RequestInfo
from kapi.server.verbs.binding import create_binding, create_legacy_binding
from kapi.server.verbs.component_status import get_component_status, list_component_statuses
from kapi.server.verbs.create import create
from kapi.server.verbs.delete import delete, delete_collection
from kapi.server.verbs.eviction import create_eviction
from kapi.server.verbs.get import get
from kapi.server.verbs.list import list_
from kapi.server.verbs.patch import patch
from kapi.server.verbs.reviews import create_review
from kapi.server.verbs.scale import get_scale, patch_scale, update_scale
from kapi.server.verbs.token import create_token
from kapi.server.verbs.update import update
from kapi.server.verbs.watch import watch

Verb = Callable[[Call], Awaitable[None]]

_VERBS: dict[str, Verb] = {
    "get": get,
    "list": list_,
    "watch": watch,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}
_COMPUTED: dict[tuple[str, str], Verb] = {
    ("componentstatuses", "get"): get_component_status,
    ("componentstatuses", "list"): list_component_statuses,
}
_SCALE: dict[str, Verb] = {"get": get_scale, "update": update_scale, "patch": patch_scale}
_STORE: dict[str, Verb] = {"get": get, "update": update, "patch": patch}
_CUSTOM: dict[tuple[str, str], Verb] = {
    ("pods", "binding"): create_binding,
    ("pods", "eviction"): create_eviction,
    ("serviceaccounts", "token"): create_token,
}
_COLLECTION = ("list", "watch", "create", "deletecollection")
_ACROSS_NAMESPACES = ("list", "watch")


def unknown_path() -> errors.NotFound:
    return errors.NotFound("the server could not find the requested resource")


def wrong_method() -> errors.MethodNotAllowed:
    return errors.MethodNotAllowed(
        "the server does not allow this method on the requested resource"
    )


class Router:
    """Finds the row, the store and the verb of a request about a resource."""

    def __init__(self, api: Api, discovery: Discovery) -> None:
        self._api = api
        self._discovery = discovery
        self._subresource_stores: dict[tuple[str, str, str], GenericStore] = {}
        self._builtin_groups = {group for group, _version in discovery.group_versions()}
        for store in api.stores.values():
            self._add_subresources(store)

    def _add_subresources(self, store: GenericStore) -> None:
        row = store.resource
        for item in row.subresources:
            self._subresource_stores[(row.qualified, row.version, item.name)] = GenericStore(
                row, store.backing, item
            )

    def add(self, row: Resource) -> None:
        """Serve a row of a custom kind, in place of an earlier one of the same name."""
        self.remove(row)
        store = GenericStore(row, self._api.backing)
        self._api.stores[(row.qualified, row.version)] = store
        self._add_subresources(store)

    def remove(self, row: Resource) -> None:
        """Serve a row of a custom kind no longer."""
        known = self._api.stores.pop((row.qualified, row.version), None)
        for item in known.resource.subresources if known else ():
            del self._subresource_stores[(row.qualified, row.version, item.name)]

    def subresource_store(self, qualified: str, version: str, name: str) -> GenericStore:
        return self._subresource_stores[(qualified, version, name)]

    def knows(self, info: RequestInfo) -> bool:
        """Is the group ours to answer for? Of custom groups only what is served is."""
        return (
            info.group in self._builtin_groups or (info.qualified, info.version) in self._api.stores
        )

    async def serve(self, exchange: Exchange) -> None:
        """Answer a resource request. Raises NotFound and MethodNotAllowed for what is not there."""
        info = exchange.info
        store = self._api.stores.get((info.qualified, info.version))
        if store is None:
            raise unknown_path()
        row = store.resource
        known = not info.subresource or row.subresource(info.subresource) is not None
        exchange.known_path = known and bool(info.verb)
        with counted_as_long_running(exchange):
            await self._serve_known(exchange, store)

    async def _serve_known(self, exchange: Exchange, store: GenericStore) -> None:
        info, row = exchange.info, store.resource
        if row.deprecation:
            exchange.warnings.append(row.deprecation)
        if row.create_only and info.name and not info.subresource:
            raise unknown_path()
        self._check_scope(row, exchange)
        if exchange.method == "HEAD" and info.subresource != "proxy":
            raise wrong_method()
        if info.subresource:
            await self._serve_subresource(exchange, row)
            return
        if row.create_only:
            if info.verb != "create":
                raise wrong_method()
            answer = create_legacy_binding if row.plural == "bindings" else create_review
            await answer(Call(exchange, self._api, store))
            return
        verb = _COMPUTED.get((row.qualified, info.verb)) or _VERBS.get(info.verb)
        if verb is None or info.verb not in row.verbs:
            raise wrong_method()
        await verb(Call(exchange, self._api, store))

    def _check_scope(self, row: Resource, exchange: Exchange) -> None:
        info = exchange.info
        if row.namespaced:
            if not info.namespace and info.verb not in _ACROSS_NAMESPACES:
                raise wrong_method() if info.verb in _COLLECTION else unknown_path()
        elif info.namespace and row.plural != "namespaces":
            raise unknown_path()
        if info.verb == "create" and info.name and not info.subresource:
            raise wrong_method()
        if info.method_on_collection and exchange.method in ("PUT", "PATCH"):
            raise wrong_method()

    async def _serve_subresource(self, exchange: Exchange, row: Resource) -> None:
        info = exchange.info
        item = row.subresource(info.subresource)
        if item is None and row.is_custom:
            raise errors.resource_not_found(row.plural, row.group, info.name)
        if item is None or (info.rest and item.name != "proxy"):
            raise unknown_path()
        verb = self._subresource_verb(row, item, exchange)
        store = self._subresource_stores[(row.qualified, row.version, item.name)]
        await verb(Call(exchange, self._api, store, item))

    def _subresource_verb(self, row: Resource, item: Subresource, exchange: Exchange) -> Verb:
        name = exchange.info.verb
        proxied = item.name == "proxy" and exchange.method == "OPTIONS"
        if name not in item.verbs and not proxied:
            raise wrong_method()
        if item.how == "connect":
            handler = CONNECT.get((row.qualified, item.name))
            if handler is None:
                raise errors.NotBuilt(f"{row.qualified}/{item.name} is not built")
            return handler
        if item.how == "custom":
            custom = _CUSTOM.get((row.qualified, item.name))
            if custom is None:
                raise errors.NotBuilt(f"{row.qualified}/{item.name} is not built")
            return custom
        verb = (_SCALE if item.how == "scale" else _STORE).get(name)
        if verb is None:
            raise wrong_method()
        return verb
