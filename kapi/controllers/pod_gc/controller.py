"""Looks every 20 seconds, but only while there is something that could need removal."""

import logging

from kapi import env
from kapi.api.errors import ApiError, NotFound
from kapi.api.object import Object, is_deleting, name_of, namespace_of, uid_of
from kapi.client.client import NODES, PODS, STRATEGIC_MERGE_PATCH
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.pod_gc.plan import (
    NODE_QUARANTINE_SECONDS,
    TERMINATED_THRESHOLD,
    Removal,
    plan_removals,
    unknown_nodes,
)
from kapi.controllers.pods import is_terminal, node_of

NAME = "pod-garbage-collector"
_PERIOD = 20.0
_ALL = "all pods"
_log = logging.getLogger(__name__)


class PodGarbageCollector:
    """One key: the whole set of pods. Events that cannot matter do not wake it."""

    def __init__(self, context: ControllerContext, threshold: int = TERMINATED_THRESHOLD) -> None:
        self._client = context.client
        self._threshold = threshold
        self._pods = context.informers.get(PODS)
        self._nodes = context.informers.get(NODES)
        self._missing_since: dict[str, float] = {}
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=1))
        self._pods.add_handler(self._pod_seen, lambda _, new: self._pod_seen(new), lambda _: None)
        self._nodes.add_handler(lambda _: None, lambda _, __: self._wake(), lambda _: self._wake())

    def _wake(self) -> None:
        self._loop.queue.add_after(_ALL, _PERIOD)

    def _pod_seen(self, pod: Object) -> None:
        stranded = bool(node_of(pod)) and self._nodes.get(node_of(pod)) is None
        if stranded or is_terminal(pod) or (is_deleting(pod) and not node_of(pod)):
            self._wake()

    async def run(self) -> None:
        await self._pods.wait_synced()
        await self._nodes.wait_synced()
        self._loop.queue.add(_ALL)
        await self._loop.run()

    async def reconcile(self, _: str) -> float | None:
        pods, nodes = list(self._pods.list()), list(self._nodes.list())
        gone = await self._gone_nodes(unknown_nodes(pods, nodes))
        removals = plan_removals(pods, nodes, gone, env.now(), self._threshold)
        for removal in removals:
            try:
                await self._remove(removal)
            except NotFound:
                continue
            except ApiError as error:
                _log.warning("%s: %s: %s", NAME, name_of(removal.pod), error)
        return _PERIOD if removals or self._missing_since else None

    async def _gone_nodes(self, missing: list[str]) -> list[str]:
        now = env.monotonic()
        since = {name: self._missing_since.get(name, now) for name in missing}
        self._missing_since = since
        gone = []
        for name, moment in since.items():
            if now - moment < NODE_QUARANTINE_SECONDS:
                continue
            try:
                await self._client.get(NODES, "", name)
            except NotFound:
                gone.append(name)
        return gone

    async def _remove(self, removal: Removal) -> None:
        pod = removal.pod
        namespace, name = namespace_of(pod), name_of(pod)
        if removal.fail:
            status: Object = {"phase": "Failed"}
            if removal.condition is not None:
                status["conditions"] = [removal.condition]
            await self._client.patch(
                PODS,
                namespace,
                name,
                {"metadata": {"uid": uid_of(pod)}, "status": status},
                content_type=STRATEGIC_MERGE_PATCH,
                subresource="status",
            )
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid_of(pod)}}
        await self._client.delete(PODS, namespace, name, options=options)
