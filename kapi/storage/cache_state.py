"""The watch cache's state, without any waiting: entries per resource and the recent events.

Everything here is synchronous and knows no store; `WatchCache` decides when it changes.
"""

from collections import deque

from sortedcontainers import SortedDict, SortedList

from kapi.storage.cached import (
    CachedObject,
    CacheEvent,
    Indexer,
    default_indexer,
    make_entry,
    reindexed,
)
from kapi.storage.keys import prefix_end

Entries = list[CachedObject]
Events = list[CacheEvent]


def covers(prefix: str, key: str) -> bool:
    """Whether the key is asked for: without a trailing slash a prefix names exactly one key."""
    return key.startswith(prefix) if prefix.endswith("/") else key == prefix


class _Bucket:
    """The objects of one resource: a dict for get, sorted keys for list, its recent events."""

    def __init__(self, indexer: Indexer) -> None:
        self.indexer = indexer
        self.entries: dict[str, CachedObject] = {}
        self.keys: SortedList = SortedList()
        self.recent: deque[CacheEvent] = deque()
        self.changed_at = 0
        """The revision of the last change of any object here."""

    def put(self, entry: CachedObject) -> CachedObject | None:
        """Returns what was there before."""
        previous = self.entries.get(entry.key)
        if previous is None:
            self.keys.add(entry.key)
        self.entries[entry.key] = entry
        return previous

    def remove(self, key: str) -> CachedObject | None:
        previous = self.entries.pop(key, None)
        if previous is not None:
            self.keys.remove(key)
        return previous

    def select(self, prefix: str, start: str) -> Entries:
        first, end = max(prefix, start), prefix_end(prefix)
        keys = self.keys.irange(first, end, inclusive=(True, False))
        return list(map(self.entries.__getitem__, keys))


class CacheState:
    """Objects by resource. Keys are `<prefix><resource>/[<namespace>/]<name>`."""

    def __init__(self, prefix: str, recent_events_max: int) -> None:
        self._prefix = prefix
        self._recent_events_max = recent_events_max
        self._indexers: dict[str, Indexer] = {}
        self._buckets: SortedDict = SortedDict()
        """resource prefix -> _Bucket. No resource prefix is the prefix of another."""
        self._recent: deque[tuple[int, _Bucket]] = deque()
        """(revision, bucket) of every recent event: whose oldest one is dropped next."""
        self.recent_since = 0
        """Every event after this revision is among the recent ones."""

    def register(self, resource: str, indexer: Indexer) -> None:
        """Index the resource's objects, held and to come, with `indexer`."""
        self._indexers[resource] = indexer
        bucket = self._buckets.get(resource)
        if bucket is not None:
            bucket.indexer = indexer
            for key, entry in bucket.entries.items():
                bucket.entries[key] = reindexed(entry, indexer)

    def get(self, key: str) -> CachedObject | None:
        bucket = self._buckets.get(self._resource(key))
        return bucket.entries.get(key) if bucket is not None else None

    def select(self, prefix: str, start: str = "") -> Entries:
        """The entries under the prefix in byte order, from the key `start` on."""
        if not prefix.endswith("/"):
            entry = self.get(prefix)
            return [entry] if entry is not None and prefix >= start else []
        buckets = self._buckets_under(prefix)
        if len(buckets) == 1:
            return buckets[0].select(prefix, start)
        return [entry for bucket in buckets for entry in bucket.select(prefix, start)]

    def put(self, key: str, value: bytes, revision: int) -> CacheEvent | None:
        """Store the value; the event, or None when the value is not an object."""
        bucket = self._bucket(self._resource(key))
        entry = make_entry(key, value, revision, bucket.indexer)
        if entry is None:
            return None
        previous = bucket.put(entry)
        bucket.changed_at = revision
        return CacheEvent("MODIFIED" if previous else "ADDED", entry, previous, revision)

    def remove(self, key: str, revision: int) -> CacheEvent | None:
        """Remove the key; the event, or None when it was not there."""
        bucket = self._bucket(self._resource(key))
        previous = bucket.remove(key)
        if previous is None:
            return None
        bucket.changed_at = revision
        return CacheEvent("DELETED", previous.at(revision), previous, revision)

    def changed_at(self, resource: str) -> int:
        """The revision of the last change under a resource's prefix; 0 if there was none."""
        bucket = self._buckets.get(resource)
        return bucket.changed_at if bucket is not None else 0

    def indexer(self, key: str) -> Indexer:
        return self._indexers.get(self._resource(key), default_indexer)

    def remember(self, event: CacheEvent) -> None:
        """Keep the event for watchers that come later, in place of the oldest one."""
        bucket = self._bucket(self._resource(event.key))
        bucket.recent.append(event)
        self._recent.append((event.revision, bucket))
        if len(self._recent) > self._recent_events_max:
            revision, oldest = self._recent.popleft()
            self.recent_since = max(self.recent_since, revision)
            oldest.recent.popleft()

    def recent_after(self, prefix: str, revision: int) -> Events:
        """The recent events under the prefix with a greater revision, in order."""
        found: Events = []
        for bucket in self._buckets_under(prefix):
            for event in reversed(bucket.recent):
                if event.revision <= revision:
                    break
                if covers(prefix, event.key):
                    found.append(event)
        found.reverse()
        found.sort(key=lambda event: event.revision)
        return found

    def _resource(self, key: str) -> str:
        """`/registry/pods/ns/name` -> `/registry/pods/`; empty when the key is above that."""
        return key[: key.find("/", len(self._prefix)) + 1]

    def _bucket(self, resource: str) -> _Bucket:
        bucket: _Bucket | None = self._buckets.get(resource)
        if bucket is None:
            indexer = self._indexers.get(resource, default_indexer)
            bucket = self._buckets[resource] = _Bucket(indexer)
        return bucket

    def _buckets_under(self, prefix: str) -> list[_Bucket]:
        """The buckets that may hold keys under the prefix, in byte order of their keys."""
        if resource := self._resource(prefix):
            bucket = self._buckets.get(resource)
            return [bucket] if bucket is not None else []
        return [bucket for name, bucket in self._buckets.items() if name.startswith(prefix)]
