"""Sets a timer for every finished Job with a time to live."""

from kapi import env
from kapi.api.errors import NotFound
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.client.client import JOBS
from kapi.client.informer import key_of
from kapi.client.reconcile import ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.ttl_after_finished.plan import expires_in

NAME = "ttl-after-finished-controller"


class TtlAfterFinishedController:
    """Deletes expired Jobs, their pods first."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._jobs = context.informers.get(JOBS)
        self._loop = ReconcileLoop(NAME, self.reconcile)
        self._jobs.add_handler(self._enqueue, self._changed, self._gone)

    async def run(self) -> None:
        await self._jobs.wait_synced()
        await self._loop.run()

    def _enqueue(self, job: Object) -> None:
        if expires_in(job, env.now()) is not None:
            self._loop.queue.add(key_of(job))

    def _changed(self, old: Object, new: Object) -> None:
        self._enqueue(new)

    def _gone(self, job: Object) -> None:
        """Gone is what it should be."""

    async def reconcile(self, key: str) -> float | None:
        """One Job: wait, or look at it once more and delete it."""
        job = self._jobs.get(key)
        left = expires_in(job, env.now()) if job is not None else None
        if job is None or left is None:
            return None
        if left > 0:
            return left
        try:
            # Its time to live may have been raised a moment ago.
            live = await self._client.get(JOBS, namespace_of(job), name_of(job))
            left = expires_in(live, env.now()) if uid_of(live) == uid_of(job) else None
            if left is None or left > 0:
                return left
            options = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid_of(job)}}
            await self._client.delete(JOBS, namespace_of(job), name_of(job), options=options)
        except NotFound:
            pass
        return None
