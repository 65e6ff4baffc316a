"""What the watch cache keeps per object and hands out per event.

Bytes first: an entry holds the JSON a client gets, plus the few facts that requests filter by. A
decoded dict costs several times the bytes, so dicts are made on demand and kept in a bounded
cache.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import orjson

from kapi.api.object import Object, labels_of, name_of, namespace_of
from kapi.storage import codec

_log = logging.getLogger(__name__)

Indexer = Callable[[Object], tuple[dict[str, str], dict[str, str]]]
"""The labels and selectable fields of an object. Must not change or keep it."""

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class CachedObject:
    """One object at one revision.

    `data` is its JSON with metadata.resourceVersion in place; `owners` are the uids of
    metadata.ownerReferences.
    """

    key: str
    revision: int
    data: bytes
    labels: dict[str, str]
    fields: dict[str, str]
    owners: tuple[str, ...]

    def at(self, revision: int) -> "CachedObject":
        """The same state under another resourceVersion."""
        data = codec.at_revision(self.data, self.revision, revision)
        return CachedObject(self.key, revision, data, self.labels, self.fields, self.owners)


@dataclass(slots=True)
class CacheEvent:
    """One change of one object, shared by every watcher: nobody may change it, except `wire`.

    `type` is what happened in the store; a watcher with a selector turns it into what happened in
    its own view. `entry` is the state after the change; for DELETED it is the last state under the
    revision of the deletion. `previous` is the state before, None for ADDED.

    `wire` is room for the server to keep encoded forms of the event (one per media type or
    version), so that it is encoded once however many watchers there are.
    """

    type: EventType
    entry: CachedObject
    previous: CachedObject | None
    revision: int
    wire: dict[str, bytes] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.entry.key

    def departed(self) -> CachedObject:
        """The previous state under this event's revision.

        It is what a watcher gets as DELETED when an update moved the object out of its selection.
        """
        assert self.previous is not None, "an added object cannot leave a selection"
        return self.previous.at(self.revision)


def default_indexer(obj: Object) -> tuple[dict[str, str], dict[str, str]]:
    """For resources nobody registered: the two fields that every resource can be selected by."""
    fields = {"metadata.name": name_of(obj), "metadata.namespace": namespace_of(obj)}
    return labels_of(obj), fields


def make_entry(key: str, value: bytes, revision: int, indexer: Indexer) -> CachedObject | None:
    """The entry for a stored value (one without resourceVersion).

    None when the value is no object: another program's data must not stop the cache.
    """
    try:
        obj = orjson.loads(value)
        data = codec.with_revision(value, revision)
        return _entry(key, data, revision, indexer, obj)
    except (ValueError, AssertionError, KeyError, TypeError, AttributeError) as error:
        _log.error("the value of %s is not an object: %r", key, error)
        return None


def reindexed(entry: CachedObject, indexer: Indexer) -> CachedObject:
    """The same object with the facts another indexer finds in it."""
    return _entry(entry.key, entry.data, entry.revision, indexer, orjson.loads(entry.data))


def _entry(key: str, data: bytes, revision: int, indexer: Indexer, obj: Object) -> CachedObject:
    references = obj["metadata"].get("ownerReferences")
    owners = tuple(str(reference.get("uid", "")) for reference in references or ())
    try:
        labels, fields = indexer(obj)
    except Exception:
        # Objects are validated before they are stored, but by an older version perhaps.
        _log.exception("indexing %s failed; it can be selected by name only", key)
        labels, fields = default_indexer(obj)
    return CachedObject(key, revision, data, dict(labels) if labels else {}, fields, owners)


class DecodedObjects:
    """Recently used dicts, bounded by the size of the JSON they were made from."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._objects: OrderedDict[str, tuple[CachedObject, Object]] = OrderedDict()

    def get(self, entry: CachedObject) -> Object:
        """The object of the entry. It is shared: callers must not change it."""
        held = self._objects.get(entry.key)
        if held is not None and held[0] is entry:
            self._objects.move_to_end(entry.key)
            return held[1]
        obj: Object = orjson.loads(entry.data)
        if held is None or held[0].revision <= entry.revision:
            self._put(entry, obj)
        return obj

    def _put(self, entry: CachedObject, obj: Object) -> None:
        self.drop(entry.key)
        if len(entry.data) > self._bytes_max // 4:
            return
        self._objects[entry.key] = (entry, obj)
        self._bytes += len(entry.data)
        while self._bytes > self._bytes_max:
            _, (oldest, _) = self._objects.popitem(last=False)
            self._bytes -= len(oldest.data)

    def drop(self, key: str) -> None:
        """Forget the key's dict, if one is held."""
        held = self._objects.pop(key, None)
        if held is not None:
            self._bytes -= len(held[0].data)
