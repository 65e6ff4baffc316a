"""Keeps what is served in step with the CustomResourceDefinitions in the cache.

For each definition: plans and writes its conditions, serves its objects from the moment its names
are accepted, and when it is deleted deletes its objects first and stops serving them last. Every
API server of a cluster does this; they plan the same, and whoever writes second changes nothing.

Upstream spreads this over controllers: k8s.io/apiextensions-apiserver `pkg/controller/*` and the
handler in `pkg/apiserver/customresource_handler.go`.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from kapi import env
from kapi.api import errors
from kapi.api.object import Object, is_deleting, metadata, name_of, namespace_of
from kapi.registry.apiextensions.conditions import (
    FINALIZER,
    NAMES_ACCEPTED,
    TERMINATING,
    Condition,
    condition,
    is_served,
    is_terminating,
    is_true,
    planned_status,
    set_conditions,
)
from kapi.registry.custom.rows import custom_rows
from kapi.registry.options import DeleteOptions
from kapi.registry.resource import Resource
from kapi.registry.store import GenericStore
from kapi.registry.strategy import RequestContext
from kapi.server.bootstrap import API_SERVER
from kapi.server.call import Api
from kapi.server.discovery import Discovery
from kapi.server.lookup import indexer
from kapi.server.openapi_documents import OpenApiDocuments
from kapi.server.router import Router
from kapi.storage.errors import StorageError
from kapi.storage.watch_cache import WatchCache
from kapi.storage.watcher import Watcher

_log = logging.getLogger(__name__)

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_AT_ONCE = 32
_RETRY_SECONDS = 1.0
_GONE_POLL_SECONDS = 5.0


@dataclass(slots=True)
class Served:
    """Everything that knows which resources there are, and changes when a custom kind comes."""

    by_name: dict[str, Resource]
    router: Router
    discovery: Discovery
    documents: OpenApiDocuments
    rows: dict[str, tuple[Resource, ...]] = field(default_factory=dict)
    """Name of the definition -> its rows."""
    _builtin: frozenset[str] = field(init=False)
    _changed: set[tuple[str, str]] = field(default_factory=set)
    """Groups and versions put since the last announcement."""

    def __post_init__(self) -> None:
        self._builtin = frozenset(self.by_name)

    def put(self, definition: str, rows: tuple[Resource, ...]) -> None:
        """Serve exactly these rows for the definition; none ends it. Watches of old rows end.

        A built-in kind is never replaced. `announce` has to follow, before anybody else's turn.
        """
        rows = tuple(row for row in rows if row.qualified not in self._builtin)
        old = self.rows.pop(definition, ())
        for row in old:
            self.router.remove(row)
            self.by_name.pop(row.qualified, None)
        if rows:
            self.rows[definition] = rows
        for row in rows:
            self.router.add(row)
            self.by_name[row.qualified] = row
        for row in old[:1]:
            assert row.retired is not None
            row.retired.set()
        self._changed |= {(row.group, row.version) for row in (*old, *rows)}

    def announce(self) -> None:
        """Bring discovery and OpenAPI documents up to date with what was put."""
        if not self._changed:
            return
        custom = [row for rows in self.rows.values() for row in rows]
        self.discovery.serve(custom)
        self.documents.serve(custom, self._changed)
        self._changed = set()


class CustomResources:
    """Follows the definitions. `start` after the cache has its state, `stop` before it stops."""

    def __init__(self, api: Api, cache: WatchCache, served: Served) -> None:
        self._api, self._cache, self._served = api, cache, served
        self._status = served.router.subresource_store(DEFINITIONS, "v1", "status")
        self._prefix = self._status.resource.prefix
        self._signatures: dict[str, object] = {}
        self._cleaning: set[str] = set()
        self._tasks = env.TaskScope()

    def start(self) -> None:
        """Serve what is there already, and follow what changes."""
        watcher = self._cache.watch(self._prefix)
        present = self._present()
        for definition in present:
            self._serve(definition)
        self._served.announce()
        self._tasks.spawn(
            self._follow(watcher, {name_of(item) for item in present}), "custom kinds"
        )

    async def stop(self) -> None:
        await self._tasks.close()

    def _present(self, groups: set[str] | None = None) -> list[Object]:
        """The definitions, of some groups only if they are given: schemas are large."""
        return [
            self._cache.decoded(entry)
            for entry in self._cache.list(self._prefix)
            if groups is None or _group_of(_name_of_key(entry.key)) in groups
        ]

    # Following ---------------------------------------------------------------------------------

    async def _follow(self, watcher: Watcher, names: set[str]) -> None:
        """`names` are the definitions to look at first."""
        while True:
            try:
                again = await self._settle(names)
                events = await watcher.next(_RETRY_SECONDS if again else None)
                names = again | {_name_of_key(event.key) for event in events}
            except StorageError as error:
                _log.warning("definitions of custom kinds are listed again: %s", error)
                watcher.close()
                await env.sleep(_RETRY_SECONDS)
                watcher = self._cache.watch(self._prefix)
                names = {*self._signatures, *(name_of(item) for item in self._present())}

    async def _settle(self, names: set[str]) -> set[str]:
        """Bring the named definitions, and their groups, to what they should be.

        Returns those whose status could not be written.
        """
        present = {name_of(item): item for item in self._present({_group_of(n) for n in names})}
        for name in sorted(names - set(present)):
            self._forget(name)
        for name in sorted(names & set(present)):
            self._serve(present[name])
        self._served.announce()
        # The others of the group change only if they wait for a name that has become free.
        waiting = {name for name, item in present.items() if not is_true(item, NAMES_ACCEPTED)}
        due = sorted(waiting | (names & set(present)))
        return {name for name in due if not await self._settle_one(name)}

    async def _settle_one(self, name: str) -> bool:
        """Write the planned status, clean up after a deletion; False if it must be retried."""
        definition = self._current(name)
        if definition is None:
            return True
        if is_deleting(definition):
            if FINALIZER in (metadata(definition).get("finalizers") or ()):
                self._clean_up(name)
            return True
        others = [item for item in self._present({_group_of(name)}) if name_of(item) != name]
        try:
            status = planned_status(definition, others, env.timestamp())
        except Exception:
            # As in `_serve`: what an older version let in must not hold up its neighbours.
            _log.exception("the status of the custom kind %s cannot be planned", name)
            return True
        return status is None or await self._write_status(name, status)

    def _current(self, name: str) -> Object | None:
        entry = self._cache.get(f"{self._prefix}{name}")
        return self._cache.decoded(entry) if entry is not None else None

    async def _write_status(self, name: str, status: Object) -> bool:
        async def build(old: Object) -> Object:
            return {**old, "status": status}

        try:
            await self._status.update(_context(), name, build)
        except errors.NotFound:
            return True
        except errors.ApiError as error:
            _log.warning("the status of %s was not written: %s", name, error)
            return False
        return True

    # Serving -----------------------------------------------------------------------------------

    def _serve(self, definition: Object) -> None:
        """Serve the definition's rows if they are not served as they should be."""
        name = name_of(definition)
        if not is_served(definition):
            self._forget(name)
            return
        status = definition["status"]
        signature = (
            metadata(definition)["uid"],
            metadata(definition).get("generation"),
            repr(status.get("acceptedNames")),
            is_terminating(definition),
        )
        if self._signatures.get(name) == signature:
            return
        try:
            rows = custom_rows(definition)
        except Exception:
            # It passed validation, but of another version perhaps: its neighbours are still served.
            _log.exception("the custom kind of %s cannot be served", name)
            rows = ()
        self._signatures[name] = signature
        self._served.put(name, rows)
        served = self._served.rows.get(name)
        if served:
            self._cache.register(served[0].prefix, indexer(served))

    def _forget(self, name: str) -> None:
        if self._signatures.pop(name, None) is not None:
            self._served.put(name, ())

    # Deleting ----------------------------------------------------------------------------------

    def _clean_up(self, name: str) -> None:
        if name not in self._cleaning:
            self._cleaning.add(name)
            self._tasks.spawn(self._delete_instances(name), f"delete the objects of {name}")

    async def _delete_instances(self, name: str) -> None:
        """Delete every object of the definition, wait until they are gone, and let it go."""
        try:
            await self._say(name, "True", "InstanceDeletionInProgress", _DELETING)
            definition = self._current(name)
            if definition is None:
                return
            rows = self._served.rows.get(name, ())
            if rows:
                await self._delete_all(rows[0])
            await self._say(name, "False", "InstanceDeletionCompleted", "removed all instances")
            await self._release(name)
        except (errors.ApiError, StorageError) as error:
            _log.warning("the objects of %s are not deleted yet: %s", name, error)
            await env.sleep(_RETRY_SECONDS)
            self._tasks.spawn(self._again(name), f"delete the objects of {name} again")
        finally:
            self._cleaning.discard(name)

    async def _again(self, name: str) -> None:
        if self._current(name) is not None:
            self._clean_up(name)

    async def _delete_all(self, row: Resource) -> None:
        watcher = self._cache.watch(row.prefix)
        try:
            while True:
                store = self._api.stores[(row.qualified, row.version)]
                entries = self._cache.list(row.prefix)
                if not entries:
                    return
                turn = asyncio.Semaphore(_AT_ONCE)
                await asyncio.gather(
                    *(
                        self._delete_one(store, turn, self._cache.decoded(entry))
                        for entry in entries
                        if not is_deleting(self._cache.decoded(entry))
                    )
                )
                if self._cache.list(row.prefix):
                    await watcher.next(_GONE_POLL_SECONDS)
        finally:
            watcher.close()

    async def _delete_one(self, store: GenericStore, turn: asyncio.Semaphore, obj: Object) -> None:
        async with turn:
            try:
                await store.delete(_context(namespace_of(obj)), name_of(obj), DeleteOptions())
            except errors.NotFound:
                return

    async def _say(self, name: str, status: str, reason: str, message: str) -> None:
        definition = self._current(name)
        found = condition(definition, TERMINATING) if definition else None
        if definition is None or (found and found["reason"] == reason):
            return
        said = {**(definition.get("status") or {})}
        set_conditions(said, [Condition(TERMINATING, status, reason, message)], env.timestamp())
        await self._write_status(name, said)

    async def _release(self, name: str) -> None:
        async def build(old: Object) -> Object:
            meta = metadata(old)
            left = [item for item in meta.get("finalizers") or () if item != FINALIZER]
            meta["finalizers"] = left
            if not left:
                del meta["finalizers"]
            return old

        try:
            # Through status, which is not judged: an invalid definition must be able to go too.
            await self._status.update(_context(), name, build)
        except errors.NotFound:
            return


_DELETING = "CustomResource deletion is in progress"


def _name_of_key(key: str) -> str:
    return key.rpartition("/")[2]


def _group_of(name: str) -> str:
    """Of a definition, whose name is the plural and the group."""
    return name.partition(".")[2]


def _context(namespace: str = "") -> RequestContext:
    context = RequestContext(API_SERVER, namespace=namespace, field_manager="kube-apiserver")
    context.retry_conflicts = True
    return context
