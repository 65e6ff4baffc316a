"""Every object of the cluster as bytes, kept current by one watch, and the fan-out of its events.

Owns: the entries per resource, the recent events, the watchers. Reads are synchronous and take
no copy beyond the list returned; what `list` gives and what `revision` says in the same turn of
the event loop belong together.

Must not: know kinds (an indexer per resource tells labels and fields), selectors or HTTP.
Upstream's counterpart is `k8s.io/apiserver/pkg/storage/cacher`; consistent reads follow KEP-2340:
ask the store for its revision, then `wait_for` it.
"""

import asyncio
import heapq
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager

from kapi import env
from kapi.api.object import Object
from kapi.storage.cache_state import CacheState, Entries, Events, covers
from kapi.storage.cached import (
    CachedObject,
    CacheEvent,
    DecodedObjects,
    EventType,
    Indexer,
    make_entry,
)
from kapi.storage.errors import (
    Compacted,
    FutureRevision,
    StorageError,
    StorageUnavailable,
    WatchLagged,
)
from kapi.storage.interface import Event, KeyValue, Store
from kapi.storage.watcher import Watcher

_log = logging.getLogger(__name__)

Items = list[KeyValue]
Batch = list[Event]
MaybeEvents = list[CacheEvent | None]

RECENT_EVENTS_MAX = 10_000
WATCH_QUEUE_LEN_MAX = 10_000
DECODED_BYTES_MAX = 4 * 1024 * 1024
LIST_PAGE_LEN = 500
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


class WatchCache:
    """A view of everything under `prefix` in the store.

    `register` the resources, `start`, and `stop` at the end. Keys are
    `<prefix><resource>/[<namespace>/]<name>`.

    Wherever a prefix is asked for: with a trailing slash it is a prefix, without one it names
    exactly one key.
    """

    def __init__(
        self,
        store: Store,
        prefix: str = "/registry/",
        *,
        recent_events_max: int = RECENT_EVENTS_MAX,
        queue_len_max: int = WATCH_QUEUE_LEN_MAX,
        decoded_bytes_max: int = DECODED_BYTES_MAX,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._queue_len_max = queue_len_max
        self._revision = 0
        self._state = CacheState(prefix, recent_events_max)
        self._watchers: dict[str, list[Watcher]] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waiting_count = 0
        self._decoded = DecodedObjects(decoded_bytes_max)
        self._tasks = env.TaskScope()

    # Life

    def register(self, prefix: str, indexer: Indexer) -> None:
        """Say how objects under a resource's prefix (with its slash) are indexed.

        May be called at any time; objects already held are indexed again.
        """
        self._state.register(prefix, indexer)

    async def start(self) -> None:
        """Read the present state, then follow it. Raises StorageUnavailable."""
        await self._load()
        self._tasks.spawn(self._follow_forever(), "watch cache")

    async def stop(self) -> None:
        """End every watch and stop following the store."""
        await self._tasks.close()
        error = StorageUnavailable("the watch cache has stopped")
        for watchers in list(self._watchers.values()):
            for watcher in list(watchers):
                watcher.fail(error)
        self._watchers.clear()
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()

    # Reading

    @property
    def revision(self) -> int:
        """The revision the cached state is at."""
        return self._revision

    async def wait_for(self, revision: int, timeout: float) -> None:
        """Return once the cache is at `revision` or later.

        Raises StorageUnavailable when that takes more than `timeout` seconds.
        """
        if revision <= self._revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting_count += 1
        heapq.heappush(self._waiting, (revision, self._waiting_count, future))
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            raise StorageUnavailable(
                f"the watch cache is at revision {self._revision}, behind {revision}"
            ) from None

    def get(self, key: str) -> CachedObject | None:
        return self._state.get(key)

    def list(self, prefix: str, start: str = "") -> Entries:
        """The entries in byte order of their keys, from the key `start` (inclusive) on.

        Costs the length of the result, however large the rest of the resource is.
        """
        return self._state.select(prefix, start)

    def changed_at(self, resource: str) -> int:
        """The revision of the last change under a resource's prefix (with its slash)."""
        return self._state.changed_at(resource)

    def decoded(self, entry: CachedObject) -> Object:
        """The entry as a dict, shared between callers: nobody may change it. Copy to change."""
        return self._decoded.get(entry)

    # Watching

    def watch(self, prefix: str, since: int | None = None) -> Watcher:
        """Events under the prefix with a revision above `since` (None: from now on).

        Raises FutureRevision when the cache has not reached `since` (`wait_for` it first).
        Events too old for memory come from the store's history; if that has been compacted, the
        watcher's `next` raises Compacted. The caller closes the watcher.
        """
        after = self._revision if since is None else since
        if after > self._revision:
            raise FutureRevision(after, self._revision)
        in_memory = after >= self._state.recent_since
        watcher = Watcher(
            self,
            prefix,
            after,
            queue_len_max=self._queue_len_max,
            replay=self._state.recent_after(prefix, after) if in_memory else [],
            history=None if in_memory else lambda: self._history(prefix, after),
        )
        self._watchers.setdefault(prefix, []).append(watcher)
        return watcher

    def detach(self, watcher: Watcher) -> None:
        """Called by `Watcher.close`."""
        watchers = self._watchers.get(watcher.prefix)
        if watchers is not None and watcher in watchers:
            watchers.remove(watcher)
            if not watchers:
                del self._watchers[watcher.prefix]

    @asynccontextmanager
    async def _history(self, prefix: str, after: int) -> AsyncIterator[AsyncIterator[Events]]:
        """The store's own watch, as cache events."""
        async with self._store.watch(prefix, from_revision=after + 1) as batches:

            async def converted() -> AsyncGenerator[Events, None]:
                async for batch in batches:
                    found = [self._past_event(e) for e in batch if covers(prefix, e.key)]
                    yield [event for event in found if event is not None]

            async with aclosing(converted()) as events:
                yield events

    def _past_event(self, event: Event) -> CacheEvent | None:
        """An event from history. Its previous state, whose own revision the store does not tell,
        carries the revision of the event."""
        indexer = self._state.indexer(event.key)
        previous = None
        if event.previous is not None:
            previous = make_entry(event.key, event.previous, event.revision, indexer)
        if event.is_delete:
            if previous is None:
                return None
            return CacheEvent("DELETED", previous, previous, event.revision)
        entry = make_entry(event.key, event.value, event.revision, indexer)
        kind: EventType = "MODIFIED" if previous is not None else "ADDED"
        return CacheEvent(kind, entry, previous, event.revision) if entry is not None else None

    # Following the store

    async def _follow_forever(self) -> None:
        """Resume after every loss of the store; re-list when it has forgotten where we were."""
        failures = 0
        while True:
            try:
                start = self._revision + 1
                async with self._store.watch(
                    self._prefix, from_revision=start, progress=self._progressed
                ) as batches:
                    async for batch in batches:
                        self._apply(batch)
                        failures = 0
            except Compacted:
                _log.warning("history after revision %d is gone: listing again", self._revision)
                failures += await self._try_load()
            except WatchLagged:
                continue
            except StorageError as error:
                _log.warning("the watch cache lost the store: %s", error)
                failures += 1
            except Exception:
                # One value that nobody foresaw must not leave the server behind for ever.
                _log.exception("the watch cache could not follow after %d", self._revision)
                failures += 1
            if failures:
                await env.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1])

    async def _try_load(self) -> int:
        """Returns the number of failures: 0 or 1."""
        try:
            await self._load()
        except StorageError as error:
            _log.warning("the watch cache cannot list: %s", error)
            return 1
        return 0

    async def _load(self) -> None:
        """Bring the cache to the store's present; what differs from before becomes events."""
        page = await self._store.range(self._prefix, limit=LIST_PAGE_LEN)
        revision, items = page.revision, page.items
        while page.remaining:
            page = await self._store.range(
                self._prefix,
                start=page.items[-1].key + "\0",
                limit=LIST_PAGE_LEN,
                revision=revision,
            )
            items += page.items
        if not self._revision:
            for item in items:
                self._state.put(item.key, item.value, item.revision)
            self._state.recent_since = revision
            self._advance(revision)
        else:
            self._dispatch(self._differences(items, revision), revision)
            # What came and went in between is not among the events: whoever saw it elsewhere
            # (another API server) and resumes here must be sent to the store's history.
            self._state.recent_since = revision

    def _differences(self, items: Items, revision: int) -> Events:
        """Apply a fresh list; the events that lead there from the state before, in order.

        When a key was deleted is not known any more: such events are at the list's revision,
        or, for a key created anew, just before the new object appears.
        """
        present = {item.key for item in items}
        gone = [entry.key for entry in self._state.select(self._prefix) if entry.key not in present]
        found: MaybeEvents = []
        for item in sorted(items, key=lambda item: item.revision):
            held = self.get(item.key)
            if held is not None and held.revision == item.revision:
                continue
            if held is not None and item.create_revision > held.revision:
                found.append(self._delete(item.key, item.revision))
            found.append(self._state.put(item.key, item.value, item.revision))
        found += [self._delete(key, revision) for key in gone]
        return [event for event in found if event is not None]

    def _apply(self, batch: Batch) -> None:
        found: MaybeEvents = []
        for event in batch:
            if event.is_delete:
                found.append(self._delete(event.key, event.revision))
            else:
                found.append(self._state.put(event.key, event.value, event.revision))
        if batch:
            self._dispatch([event for event in found if event is not None], batch[-1].revision)

    def _progressed(self, revision: int) -> None:
        """The store's word that nothing happened under the prefix since the last batch."""
        if revision > self._revision:
            self._advance(revision)

    def _delete(self, key: str, revision: int) -> CacheEvent | None:
        self._decoded.drop(key)
        return self._state.remove(key, revision)

    def _dispatch(self, events: Events, revision: int) -> None:
        """Remember the events, queue them for the watchers, and move to `revision`."""
        touched: dict[str, Events] = {}
        for event in events:
            self._state.remember(event)
            for prefix in self._audience(event.key):
                touched.setdefault(prefix, []).append(event)
        for prefix, wanted in touched.items():
            for watcher in self._watchers[prefix]:
                watcher.push(wanted)
        self._advance(revision)

    def _audience(self, key: str) -> Iterator[str]:
        """The watched prefixes that cover the key: each part that ends in a slash, and itself."""
        slash = key.find("/")
        while slash >= 0:
            if (prefix := key[: slash + 1]) in self._watchers:
                yield prefix
            slash = key.find("/", slash + 1)
        if key in self._watchers:
            yield key

    def _advance(self, revision: int) -> None:
        self._revision = revision
        while self._waiting and self._waiting[0][0] <= revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
