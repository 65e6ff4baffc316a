"""Where a kubelet learns about pods, services and its own Node object.

One kubelet follows its own objects. Thousands in one process share informers over everything, and a
source hands each its part: one watch and one decoded copy for all of them.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from kapi.api.object import Object, name_of, uid_of

Change = Callable[[Object], None]
Update = Callable[[Object, Object], None]


class ObjectSource(Protocol):
    """What a kubelet uses of an informer."""

    @property
    def synced(self) -> bool: ...

    def list(self) -> Iterable[Object]: ...

    def add_handler(self, on_add: Change, on_update: Update, on_delete: Change) -> None:
        """Objects already known are reported as additions at once."""

    async def wait_synced(self) -> None: ...


class _Part:
    """One node's share; same promises as an informer."""

    def __init__(self, shared: "SharedSource", node: str) -> None:
        self._shared = shared
        self._objects: dict[str, Object] = {}
        self._handlers: list[tuple[Change, Update, Change]] = []
        self.node = node

    @property
    def synced(self) -> bool:
        return self._shared.source.synced

    def list(self) -> Iterable[Object]:
        return tuple(self._objects.values())

    def add_handler(self, on_add: Change, on_update: Update, on_delete: Change) -> None:
        self._handlers.append((on_add, on_update, on_delete))
        for obj in self.list():
            on_add(obj)

    async def wait_synced(self) -> None:
        await self._shared.source.wait_synced()

    def put(self, obj: Object) -> None:
        old = self._objects.get(uid_of(obj))
        self._objects[uid_of(obj)] = obj
        for on_add, on_update, _ in self._handlers:
            if old is None:
                on_add(obj)
            else:
                on_update(old, obj)

    def drop(self, obj: Object) -> None:
        if self._objects.pop(uid_of(obj), None) is not None:
            for _, _, on_delete in self._handlers:
                on_delete(obj)


class SharedSource:
    """Splits one informer by node. `node_of` names the node an object belongs to, or ``."""

    def __init__(self, source: ObjectSource, node_of: Callable[[Object], str]) -> None:
        self.source = source
        self._node_of = node_of
        self._parts: dict[str, _Part] = {}
        source.add_handler(self._put, lambda _, new: self._put(new), self._drop)

    def part(self, node: str) -> ObjectSource:
        """The objects of one node, now and later."""
        found = self._parts.get(node)
        if found is None:
            found = self._parts[node] = _Part(self, node)
            for obj in self.source.list():
                if self._node_of(obj) == node:
                    found.put(obj)
        return found

    def _put(self, obj: Object) -> None:
        part = self._parts.get(self._node_of(obj))
        if part is not None:
            part.put(obj)

    def _drop(self, obj: Object) -> None:
        part = self._parts.get(self._node_of(obj))
        if part is not None:
            part.drop(obj)


def node_of_pod(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or "")


def node_of_node(node: Object) -> str:
    return name_of(node)
