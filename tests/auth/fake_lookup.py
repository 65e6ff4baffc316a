"""A lookup over a list of objects, for the auth tests."""

from collections.abc import Iterable

from kapi.api.object import Object, name_of, namespace_of


class FakeLookup:
    """`put` and `remove` count as writes, as the watch cache's revision would."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._version = 0

    def put(self, resource: str, obj: Object) -> None:
        self._version += 1
        self._objects.setdefault(resource, {})[namespace_of(obj), name_of(obj)] = obj

    def remove(self, resource: str, namespace: str, name: str) -> None:
        self._version += 1
        del self._objects[resource][namespace, name]

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def list(self, resource: str, namespace: str = "") -> Iterable[Object]:
        found = self._objects.get(resource, {})
        return [obj for (where, _), obj in found.items() if not namespace or where == namespace]

    def version(self, resource: str) -> int:
        return self._version
