"""The ConfigMaps and Secrets that pods of this node refer to, each followed by one watch.

Upstream: pkg/kubelet/util/manager/watch_based_manager.go. Nothing else of the namespace is read: a
node may only see what its pods use.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kapi import env
from kapi.api.object import Object
from kapi.client.client import CONFIG_MAPS, SECRETS, Client, ResourceRef
from kapi.client.informer import Informer

_RESOURCES: dict[str, ResourceRef] = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS}
_WAIT_SECONDS = 10.0

Key = tuple[str, str, str]
"""(kind, namespace, name)"""


class CacheNotSynced(Exception):
    """The object could not be read yet; the text is upstream's."""


@dataclass(slots=True)
class _Followed:
    informer: Informer
    users: set[str] = field(default_factory=set)


class ObjectCache:
    """`on_change` is called with the uids of pods whose object came, changed or went."""

    def __init__(self, client: Client, on_change: Callable[[Iterable[str]], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._followed: dict[Key, _Followed] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._scope = env.TaskScope()

    def register(self, pod_uid: str, wanted: set[Key]) -> None:
        """From now on the pod uses exactly these objects."""
        for key in [k for k, f in self._followed.items() if pod_uid in f.users and k not in wanted]:
            self._release(pod_uid, key)
        for key in wanted:
            if key not in self._followed:
                self._followed[key] = self._follow(key)
            self._followed[key].users.add(pod_uid)

    def unregister(self, pod_uid: str) -> None:
        self.register(pod_uid, set())

    def _release(self, pod_uid: str, key: Key) -> None:
        followed = self._followed[key]
        followed.users.discard(pod_uid)
        if not followed.users:
            del self._followed[key]
            self._tasks.pop(key).cancel()

    def _follow(self, key: Key) -> _Followed:
        kind, namespace, name = key
        informer = Informer(
            self._client, _RESOURCES[kind], namespace, field_selector=f"metadata.name={name}"
        )
        followed = _Followed(informer)

        def changed(*_: Object) -> None:
            # The first copy is what a pod is waiting for in `get`; only later ones are news.
            if informer.synced:
                self._on_change(tuple(followed.users))

        informer.add_handler(changed, changed, changed)
        self._tasks[key] = self._scope.spawn(informer.run(), f"follow {kind} {namespace}/{name}")
        return followed

    async def get(self, key: Key) -> Object | None:
        """The object, or None if there is none. Raises CacheNotSynced."""
        kind, namespace, name = key
        followed = self._followed.get(key)
        if followed is None:
            raise CacheNotSynced(f'object "{namespace}"/"{name}" not registered')
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await followed.informer.wait_synced()
        except TimeoutError:
            raise CacheNotSynced(
                f"failed to sync {kind.lower()} cache: timed out waiting for the condition"
            ) from None
        return followed.informer.get(f"{namespace}/{name}")

    async def close(self) -> None:
        await self._scope.close()
