"""Reads of a few kinds for authentication, authorization and admission, from the watch cache."""

from collections.abc import Iterable, Mapping, Sequence

from kapi.api.object import Object, labels_of
from kapi.registry.resource import Resource
from kapi.registry.strategy import all_fields
from kapi.storage.cached import Indexer
from kapi.storage.watch_cache import WatchCache


class CacheLookup:
    """ObjectLookup over the cache. Objects are shared: nobody may change them."""

    def __init__(self, cache: WatchCache, resources: Mapping[str, Resource]) -> None:
        self._cache = cache
        self._resources = resources

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        row = self._resources.get(resource)
        if row is None:
            return None
        entry = self._cache.get(row.key(namespace, name))
        return self._cache.decoded(entry) if entry is not None else None

    def list(self, resource: str, namespace: str = "") -> Iterable[Object]:
        row = self._resources.get(resource)
        if row is None:
            return []
        prefix = f"{row.prefix}{namespace}/" if namespace and row.namespaced else row.prefix
        return [self._cache.decoded(entry) for entry in self._cache.list(prefix)]

    def version(self, resource: str) -> int:
        """A number that changes whenever any object of the resource does."""
        row = self._resources.get(resource)
        return self._cache.changed_at(row.prefix) if row is not None else 0


def indexer(rows: Sequence[Resource]) -> Indexer:
    """Labels and selectable fields of stored objects, for every row that shares the keys."""

    def index(obj: Object) -> tuple[dict[str, str], dict[str, str]]:
        fields: dict[str, str] = {}
        for row in rows:
            seen = row.from_storage(obj) if row.from_storage else obj
            fields.update(all_fields(row.strategy, seen))
        return labels_of(obj), fields

    return index
