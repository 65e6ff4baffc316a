"""Follows the metadata of every deletable resource and acts on what the graph asks for."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from kapi import env
from kapi.api.errors import ApiError, Conflict, NotFound
from kapi.api.object import Object, uid_of
from kapi.client.client import METADATA_ONLY, Client, ResourceRef
from kapi.client.informer import Informer
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.discovery import discover
from kapi.controllers.garbage_collector.graph import FOREGROUND, ORPHAN, Graph, Node, Work
from kapi.controllers.garbage_collector.owners import Classified, Owners

NAME = "generic-garbage-collector"
_DISCOVERY_SECONDS = 30.0
_IGNORED = frozenset({"events"})
_CONFLICT_TRIES = 5
_log = logging.getLogger(__name__)
Keep = Callable[[list[Any]], list[Any]]


def _slim(obj: Object) -> Object:
    """What the graph reads, so that following all objects stays cheap."""
    metadata = obj["metadata"]
    fields = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers")
    kept = {field: metadata[field] for field in fields if metadata.get(field)}
    if metadata.get("deletionTimestamp"):
        kept["deletionTimestamp"] = metadata["deletionTimestamp"]
    return {"metadata": kept}


class GarbageCollector:
    """Keys are uids. `follow` is the client for list and watch, shared with the informers."""

    def __init__(self, context: ControllerContext, follow: Client) -> None:
        self._client = context.client
        self._follow_client = follow
        self._graph = Graph()
        self._owners = Owners(context.client, self._graph, context.recorder)
        self._informers: dict[tuple[str, str], Informer] = {}
        self._following: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._followers = env.TaskScope()
        self._unresolved: dict[str, None] = {}
        options = LoopOptions(workers=20)
        self._delete_loop = ReconcileLoop(f"{NAME} delete", self.attempt_to_delete, options)
        self._orphan_loop = ReconcileLoop(f"{NAME} orphan", self.attempt_to_orphan, options)

    @property
    def graph(self) -> Graph:
        return self._graph

    async def run(self) -> None:
        scope = env.TaskScope()
        try:
            await self._discover_first()
            for informer in list(self._informers.values()):
                await informer.wait_synced()
            loops = (self._delete_loop.run(), self._orphan_loop.run(), self._keep_discovering())
            await asyncio.gather(*(scope.spawn(loop, NAME) for loop in loops))
        finally:
            await scope.close()
            await self._followers.close()

    # Following

    async def _discover_first(self) -> None:
        delay = 0.1
        while not await self._discover():
            await env.sleep(delay)
            delay = min(delay * 2, _DISCOVERY_SECONDS)

    async def _keep_discovering(self) -> None:
        while True:
            await env.sleep(_DISCOVERY_SECONDS)
            await self._discover()

    async def _discover(self) -> bool:
        try:
            found = await discover(self._follow_client)
        except (ApiError, ConnectionError) as error:
            _log.warning("%s: discovery failed: %s", NAME, error)
            return False
        kinds = {(served.ref.group, served.ref.kind): served.ref for served in found.resources}
        collectable = {
            (ref.group, ref.plural): ref
            for ref in found.with_verbs("delete", "list", "watch")
            if ref.plural not in _IGNORED
        }
        if not found.failures:
            # What discovery could not be asked about is not gone.
            for place in [place for place in self._informers if place not in collectable]:
                self._unfollow(place)
            self._owners.resources.clear()
        self._owners.resources.update(kinds)
        self._unresolved = {uid: None for uid in self._unresolved if self._graph.get(uid)}
        news = [ref for place, ref in collectable.items() if place not in self._informers]
        for ref in news:
            self._follow(ref)
        if news:
            waiting, self._unresolved = self._unresolved, {}
            for uid in waiting:
                self._delete_loop.queue.add(uid)
        return True

    def _follow(self, ref: ResourceRef) -> None:
        informer = Informer(self._follow_client, ref, accept=METADATA_ONLY)
        informer.keep_only(_slim)
        self._informers[ref.group, ref.plural] = informer

        def put(obj: Object) -> None:
            self._queue(self._graph.put(ref, obj))

        def gone(obj: Object) -> None:
            self._queue(self._graph.remove(uid_of(obj)))

        informer.add_handler(put, lambda _, new: put(new), gone)
        name = f"{NAME} follows {ref.plural}"
        self._following[ref.group, ref.plural] = self._followers.spawn(informer.run(), name)

    def _unfollow(self, place: tuple[str, str]) -> None:
        """The resource is no longer served: nothing of it exists any more."""
        self._following.pop(place).cancel()
        for obj in self._informers.pop(place).list():
            self._queue(self._graph.remove(uid_of(obj)))

    def _queue(self, work: Work) -> None:
        for uid in work.delete:
            self._delete_loop.queue.add(uid)
        for uid in work.orphan:
            self._orphan_loop.queue.add(uid)

    # Deleting

    async def attempt_to_delete(self, uid: str) -> float | None:
        """Decide about one object, from its owners."""
        node = self._graph.get(uid)
        if node is None:
            return None
        if node.virtual:
            await self._check_virtual(node)
        elif node.deleting_dependents:
            await self._delete_dependents_of(node)
        elif not node.deleting and node.owners:
            await self._delete_if_unowned(node)
        return None

    async def _check_virtual(self, node: Node) -> None:
        exists = await self._owners.exists(node)
        if exists is None:
            self._unresolved[node.uid] = None
        elif not exists and node.virtual:
            self._queue(self._graph.remove(node.uid))

    async def _delete_dependents_of(self, node: Node) -> None:
        blocking = node.blocking_dependents()
        if not blocking:
            await self._remove_finalizer(node, FOREGROUND)
        for dependent in blocking:
            if not dependent.deleting_dependents:
                self._delete_loop.queue.add(dependent.uid)

    async def _delete_if_unowned(self, node: Node) -> None:
        found = await self._owners.classify(node)
        if found.unknown:
            self._unresolved[node.uid] = None
            return
        if found.solid:
            if found.dangling or found.waiting:
                going = {ref["uid"] for ref in [*found.dangling, *found.waiting]}
                await self._drop_references(node, going)
            return
        await self._delete(node, await self._policy(node, found))

    async def _policy(self, node: Node, found: Classified) -> str:
        if found.waiting and node.dependents:
            if any(dependent.deleting_dependents for dependent in node.dependents.values()):
                # A circle of objects that wait for each other: this one stops blocking.
                await self._unblock(node)
            return "Foreground"
        if ORPHAN in node.finalizers:
            return "Orphan"
        return "Foreground" if FOREGROUND in node.finalizers else "Background"

    async def _delete(self, node: Node, policy: str) -> None:
        """With uid and version as preconditions: a change since we looked may be a new owner."""
        assert node.resource is not None
        preconditions = {"uid": node.uid, "resourceVersion": node.resource_version}
        for attempt in range(_CONFLICT_TRIES):
            options = {"propagationPolicy": policy, "preconditions": preconditions}
            try:
                await self._client.delete(node.resource, node.namespace, node.name, options=options)
                return
            except NotFound:
                return
            except Conflict:
                live = await self._read(node)
                if live is None:
                    return
                owners = tuple(live["metadata"].get("ownerReferences") or ())
                if owners != node.owners:
                    # Our copy is behind; its event decides anew.
                    self._delete_loop.queue.add_after(node.uid, 0.1)
                    return
                if attempt == _CONFLICT_TRIES - 1:
                    raise
                preconditions = {"uid": node.uid}

    # Orphaning

    async def attempt_to_orphan(self, uid: str) -> float | None:
        """Cut every dependent loose, then let the owner go."""
        node = self._graph.get(uid)
        if node is None or node.virtual:
            return None
        dependents = list(node.dependents.values())
        results = await asyncio.gather(
            *(self._drop_references(dependent, {uid}) for dependent in dependents),
            return_exceptions=True,
        )
        for error in results:
            if error is not None:
                raise error
        await self._remove_finalizer(node, ORPHAN)
        return None

    # Writing

    async def _read(self, node: Node) -> Object | None:
        """The live metadata, or None if that object is gone."""
        assert node.resource is not None
        try:
            live = await self._client.request(
                "GET", node.resource.path(node.namespace, node.name), accept=METADATA_ONLY
            )
        except NotFound:
            return None
        return live if uid_of(live) == node.uid else None

    async def _change(self, node: Node, field: str, keep: Keep) -> None:
        """Rewrite one list of the metadata on the live object, until no one interferes."""
        for attempt in range(_CONFLICT_TRIES):
            live = await self._read(node)
            if live is None:
                return
            before = live["metadata"].get(field) or []
            after = keep(before)
            if after == before:
                return
            metadata = {
                "uid": node.uid,
                "resourceVersion": live["metadata"]["resourceVersion"],
                field: after,
            }
            assert node.resource is not None
            try:
                await self._client.patch(
                    node.resource, node.namespace, node.name, {"metadata": metadata}
                )
                return
            except NotFound:
                return
            except Conflict:
                if attempt == _CONFLICT_TRIES - 1:
                    raise

    async def _remove_finalizer(self, node: Node, finalizer: str) -> None:
        await self._change(node, "finalizers", lambda had: [f for f in had if f != finalizer])

    async def _drop_references(self, node: Node, uids: set[str]) -> None:
        await self._change(
            node, "ownerReferences", lambda had: [ref for ref in had if ref["uid"] not in uids]
        )

    async def _unblock(self, node: Node) -> None:
        await self._change(
            node,
            "ownerReferences",
            lambda had: [{**ref, "blockOwnerDeletion": False} for ref in had],
        )
