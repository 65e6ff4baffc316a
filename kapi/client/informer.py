"""A local, always current copy of one resource: list and watch, indexes, handlers.

Objects handed out are shared: read only; copy before changing. Behaviour follows client-go's
reflector and shared informer: watch with initial events first, list and watch where the server
does not offer that, resume from the last resourceVersion, list again after 410.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass

from kapi import env
from kapi.api.errors import ApiError, BadRequest, Expired, Gone, Invalid
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.client.client import JSON, Client, ResourceRef, WatchEvent

_log = logging.getLogger(__name__)

# client-go's reflector: 800 ms doubling up to 30 s with full jitter. kapi starts lower, because in
# one process the server is a function call away.
_FIRST_DELAY = 0.1
_LAST_DELAY = 30.0
_SHORT_WATCH_SECONDS = 1.0
_PAGE = 500
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Handler:
    """What to call on a change; called in order, never concurrently, and must not block."""

    on_add: Callable[[Object], None]
    on_update: Callable[[Object, Object], None]
    on_delete: Callable[[Object], None]


IndexFunction = Callable[[Object], Iterable[str]]


def key_of(obj: Object) -> str:
    """`namespace/name`, or `name` for cluster-scoped objects."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_key(key: str) -> tuple[str, str]:
    """`namespace/name` -> (namespace, name); `name` -> (``, name)."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def by_namespace(obj: Object) -> Iterable[str]:
    return (namespace_of(obj),)


class Informer:
    """Keeps `get`, `list` and `by_index` current while `run` runs.

    `accept` may ask for PartialObjectMetadata. managedFields are dropped from what is kept: no
    component reads them, and the server restores them when an update comes without.
    """

    def __init__(
        self,
        client: Client,
        resource: ResourceRef,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        accept: str = JSON,
    ) -> None:
        self.resource = resource
        self._keep: Callable[[Object], Object] | None = None
        self._client = client
        self._namespace = namespace
        self._accept = accept
        self._selectors = {
            name: value
            for name, value in (
                ("labelSelector", label_selector),
                ("fieldSelector", field_selector),
            )
            if value
        }
        self._objects: dict[str, Object] = {}
        self._indexers: dict[str, IndexFunction] = {"namespace": by_namespace}
        self._indexes: dict[str, dict[str, dict[str, Object]]] = {"namespace": {}}
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._revision = ""
        self._watch_list = True

    # Reading

    def get(self, key: str) -> Object | None:
        return self._objects.get(key)

    def list(self) -> Iterator[Object]:
        """A snapshot: safe to hold while events arrive."""
        return iter(tuple(self._objects.values()))

    def by_index(self, index: str, value: str) -> Iterator[Object]:
        return iter(tuple(self._indexes[index].get(value, {}).values()))

    def in_namespace(self, namespace: str) -> Iterator[Object]:
        return self.by_index("namespace", namespace)

    def __len__(self) -> int:
        return len(self._objects)

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    @property
    def revision(self) -> str:
        """The resourceVersion up to which the copy is known to be current."""
        return self._revision

    async def wait_synced(self) -> None:
        """Until the first complete copy has arrived."""
        await self._synced.wait()

    # Wiring

    def keep_only(self, cut: Callable[[Object], Object]) -> None:
        """Cut every object down to what its readers need; to be called before `run`."""
        self._keep = cut

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Adding the same index twice is harmless."""
        if self._indexers.get(name) is function:
            return
        self._indexers[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._index_one(name, key, obj)

    def add_handler(
        self,
        on_add: Callable[[Object], None],
        on_update: Callable[[Object, Object], None],
        on_delete: Callable[[Object], None],
    ) -> None:
        """Objects that are already here are reported as additions at once."""
        handler = Handler(on_add, on_update, on_delete)
        self._handlers.append(handler)
        for obj in self.list():
            _call(handler.on_add, obj)

    # Following

    async def run(self) -> None:
        """Follow the server until cancelled; connection trouble is waited out."""
        delay = _FIRST_DELAY
        while True:
            began = env.monotonic()
            seen = self._revision
            try:
                await self._follow()
                problem = ""
            except (Expired, Gone) as error:
                self._revision = ""
                if seen:
                    _log.info("%s: starting over: %s", self.resource.plural, error)
                    continue
                # Not even what began from nothing is recent enough: no reason to hurry.
                problem = str(error)
            except (ConnectionError, TimeoutError) as error:
                problem = str(error)
            except ApiError as error:
                # Unlike a lost connection this may last: no permission, or no such resource.
                _log.warning("cannot follow %s: %s", self.resource.plural, error)
                problem = str(error)
            if self._revision != seen or env.monotonic() - began > _LAST_DELAY:
                delay = _FIRST_DELAY
            if problem:
                _log.info("%s: watching again after: %s", self.resource.plural, problem)
            elif env.monotonic() - began > _SHORT_WATCH_SECONDS:
                continue
            await env.sleep(delay * (1 + env.random().random()))
            delay = min(delay * 2, _LAST_DELAY)

    async def _follow(self) -> None:
        if not self._revision:
            if self._watch_list and await self._stream_from_start():
                return
            await self._list()
        await self._watch({"resourceVersion": self._revision}, None)

    async def _stream_from_start(self) -> bool:
        """One watch that begins with everything there is. False: the server does not know how."""
        params = {
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "resourceVersion": "",
        }
        try:
            await self._watch(params, {})
        except (BadRequest, Invalid) as error:
            _log.info("%s: no streamed lists here: %s", self.resource.plural, error)
            self._watch_list = False
            return False
        return True

    async def _watch(self, params: dict[str, str], initial: dict[str, Object] | None) -> None:
        """`initial` collects the objects of a streamed list until its end is announced."""
        seconds = str(300 + int(300 * env.random().random()))
        query = {**self._selectors, **params, "timeoutSeconds": seconds}
        if not query["resourceVersion"]:
            del query["resourceVersion"]
        watch = self._client.watch(self.resource, self._namespace, accept=self._accept, **query)
        async with aclosing(watch) as events:
            async for event in events:
                if initial is None:
                    self._apply(event)
                elif _ends_initial_events(event):
                    self._replace(initial, _revision_of(event.object))
                    initial = None
                else:
                    _collect(initial, event)

    async def _list(self) -> None:
        found: dict[str, Object] = {}
        params = {**self._selectors, "limit": str(_PAGE)}
        while True:
            page = await self._client.list(
                self.resource, self._namespace, accept=self._accept, **params
            )
            for item in page.get("items") or ():
                item.setdefault("apiVersion", self.resource.api_version)
                item.setdefault("kind", self.resource.kind)
                found[key_of(item)] = item
            continue_token = page["metadata"].get("continue")
            if not continue_token:
                break
            params["continue"] = continue_token
        self._replace(found, page["metadata"]["resourceVersion"])

    # Changing the copy

    def _apply(self, event: WatchEvent) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            self._put(key_of(event.object), event.object)
        elif event.type == "DELETED":
            self._drop(key_of(event.object), event.object)
        self._revision = _revision_of(event.object)

    def _replace(self, found: dict[str, Object], revision: str) -> None:
        for key in [key for key in self._objects if key not in found]:
            self._drop(key, self._objects[key])
        for key, obj in found.items():
            self._put(key, obj)
        self._revision = revision
        self._synced.set()

    def _put(self, key: str, obj: Object) -> None:
        obj["metadata"].pop("managedFields", None)
        if self._keep is not None:
            obj = self._keep(obj)
        old = self._objects.get(key)
        if old is not None and uid_of(old) != uid_of(obj):
            # Deleted and created again while nobody watched.
            self._drop(key, old)
            old = None
        self._unindex(key, old)
        self._objects[key] = obj
        for name in self._indexers:
            self._index_one(name, key, obj)
        if old is None:
            for handler in self._handlers:
                _call(handler.on_add, obj)
        elif _revision_of(old) != _revision_of(obj):
            for handler in self._handlers:
                _call(handler.on_update, old, obj)

    def _drop(self, key: str, last: Object) -> None:
        old = self._objects.pop(key, None)
        if old is None:
            return
        self._unindex(key, old)
        last["metadata"].pop("managedFields", None)
        for handler in self._handlers:
            _call(handler.on_delete, last)

    def _index_one(self, name: str, key: str, obj: Object) -> None:
        for value in self._indexers[name](obj):
            self._indexes[name].setdefault(value, {})[key] = obj

    def _unindex(self, key: str, old: Object | None) -> None:
        if old is None:
            return
        for name, function in self._indexers.items():
            for value in function(old):
                bucket = self._indexes[name].get(value, {})
                bucket.pop(key, None)
                if not bucket:
                    self._indexes[name].pop(value, None)


def _call(function: Callable[..., None], *objects: Object) -> None:
    """A handler's error must not stop the copy from following the server."""
    try:
        function(*objects)
    except Exception:
        _log.exception("an informer's handler failed on %s", key_of(objects[-1]))


def _collect(initial: dict[str, Object], event: WatchEvent) -> None:
    if event.type in ("ADDED", "MODIFIED"):
        initial[key_of(event.object)] = event.object
    elif event.type == "DELETED":
        initial.pop(key_of(event.object), None)


def _ends_initial_events(event: WatchEvent) -> bool:
    if event.type != "BOOKMARK":
        return False
    annotations = event.object["metadata"].get("annotations") or {}
    return bool(annotations.get(_INITIAL_EVENTS_END) == "true")


def _revision_of(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))
