"""Creates, deletes and releases the pods of Jobs, and remembers what is not seen yet."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from kapi.api.errors import ApiError, NotFound
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.client.client import PODS, STRATEGIC_MERGE_PATCH, Client
from kapi.client.events import NORMAL, WARNING
from kapi.client.informer import key_of
from kapi.client.reconcile import Expectations, slow_start
from kapi.controllers.context import ControllerContext
from kapi.controllers.job.pods import FINALIZER, is_tracked
from kapi.controllers.job.template import pod_for
from kapi.controllers.ownership import namespace_terminating

_DROP_FINALIZER = {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}
_AT_ONCE = 20
"""Requests under way for one Job."""


class PodWriter:
    """`expectations` are by the Job's key; `released` are uids by the Job's key."""

    def __init__(self, context: ControllerContext, expectations: Expectations) -> None:
        self.expectations = expectations
        self._client = context.client
        self._recorder = context.recorder
        self._released: dict[str, set[str]] = defaultdict(set)

    def released(self, key: str) -> frozenset[str]:
        """Pods whose finalizer was taken off, which the informer has not shown yet."""
        return frozenset(self._released.get(key, ()))

    def release_seen(self, key: str, pod: Object) -> None:
        if key in self._released:
            self._released[key].discard(uid_of(pod))

    def forget(self, key: str) -> None:
        self.expectations.forget(key)
        self._released.pop(key, None)

    async def create(
        self, job: Object, indexes: Sequence[int | None], replaced: dict[int, Object]
    ) -> tuple[int, Exception | None]:
        """A pod for each index (None without indexes); how many were made, and what went wrong.

        `replaced` holds failed pods by their index.
        """
        key = key_of(job)
        self.expectations.expect_creations(key, len(indexes))

        async def create_one(position: int) -> None:
            index = indexes[position]
            body = pod_for(job, index, None if index is None else replaced.get(index))
            try:
                pod = await self._client.create(PODS, namespace_of(job), body)
            except Exception as error:
                if not namespace_terminating(error):
                    text = f"Error creating: {error}"
                    self._recorder.event(job, WARNING, "FailedCreate", text)
                raise
            self._recorder.event(job, NORMAL, "SuccessfulCreate", f"Created pod: {name_of(pod)}")

        made, error = await slow_start(len(indexes), create_one)
        # What was not created will never be seen.
        self.expectations.creation_seen(key, len(indexes) - made)
        if error is not None and namespace_terminating(error):
            error = None
        return made, error

    async def delete(
        self, job: Object, pods: Sequence[Object], *, uncounted: bool
    ) -> tuple[list[Object], Exception | None]:
        """Which were deleted, and what went wrong.

        `uncounted` takes the finalizer off before, so that they do not count as failed.
        """
        key = key_of(job)
        if pods and self.expectations.satisfied(key):
            # What is still expected of earlier creations must not be forgotten.
            self.expectations.expect_deletions(key, [uid_of(pod) for pod in pods])
        limit = asyncio.Semaphore(_AT_ONCE)

        async def delete_one(pod: Object) -> Exception | None:
            async with limit:
                try:
                    if uncounted and is_tracked(pod):
                        await drop_finalizer(self._client, pod)
                    await self._delete(pod)
                except NotFound:
                    self.expectations.deletion_seen(key, uid_of(pod))
                except (ApiError, ConnectionError) as error:
                    self.expectations.deletion_seen(key, uid_of(pod))
                    text = f"Error deleting: {error}"
                    self._recorder.event(job, WARNING, "FailedDelete", text)
                    return error
                else:
                    text = f"Deleted pod: {name_of(pod)}"
                    self._recorder.event(job, NORMAL, "SuccessfulDelete", text)
                return None

        results = await asyncio.gather(*(delete_one(pod) for pod in pods))
        gone = [pod for pod, error in zip(pods, results, strict=True) if error is None]
        return gone, next((error for error in results if error is not None), None)

    async def release(
        self, job: Object, pods: Iterable[Object]
    ) -> tuple[set[str], Exception | None]:
        """Take the finalizer off; the uids for which that worked, and what went wrong."""
        key = key_of(job)
        limit = asyncio.Semaphore(_AT_ONCE)

        async def release_one(pod: Object) -> Exception | None:
            async with limit:
                self._released[key].add(uid_of(pod))
                try:
                    await drop_finalizer(self._client, pod)
                except NotFound:
                    return None
                except (ApiError, ConnectionError) as error:
                    self._released[key].discard(uid_of(pod))
                    return error
                return None

        chosen = list(pods)
        results = await asyncio.gather(*(release_one(pod) for pod in chosen))
        free = {uid_of(pod) for pod, error in zip(chosen, results, strict=True) if error is None}
        return free, next((error for error in results if error is not None), None)

    async def _delete(self, pod: Object) -> None:
        options = {"preconditions": {"uid": uid_of(pod)}}
        await self._client.delete(PODS, namespace_of(pod), name_of(pod), options=options)


async def drop_finalizer(client: Client, pod: Object) -> None:
    """Raises NotFound if the pod is gone."""
    patch = {"metadata": {"uid": uid_of(pod), **_DROP_FINALIZER}}
    await client.patch(
        PODS, namespace_of(pod), name_of(pod), patch, content_type=STRATEGIC_MERGE_PATCH
    )
