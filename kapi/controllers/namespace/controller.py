"""Deletes the content of terminating namespaces: pods first, then everything else."""

from kapi import env
from kapi.api.errors import ApiError, Conflict, MethodNotAllowed, NotFound
from kapi.api.object import Object, is_deleting, name_of, namespace_of, uid_of
from kapi.client.client import METADATA_LIST, NAMESPACES, PODS, ResourceRef
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.discovery import Discovered, discover
from kapi.controllers.namespace.plan import (
    FINALIZER,
    Content,
    count_remaining,
    plan_conditions,
    pods_estimate,
    resource_name,
)

NAME = "namespace-controller"
_OPTIONS = LoopOptions(workers=10, max_delay=60.0)
# Upstream waits 5 s after the event so that several API servers learn of the deletion first. One
# server knows at once; the wait only has to outlast requests that were admitted before.
GRACE_SECONDS = 0.2
_BACKGROUND = {"propagationPolicy": "Background"}


class ContentRemains(Exception):
    """Objects are left that nothing is known to be removing: try again with back-off."""


class NamespaceController:
    """Keys are namespaces."""

    def __init__(self, context: ControllerContext, grace: float = GRACE_SECONDS) -> None:
        self._client = context.client
        self._grace = grace
        self._namespaces = context.informers.get(NAMESPACES)
        self._pods = context.informers.get(PODS)
        self._loop = ReconcileLoop(NAME, self.reconcile, _OPTIONS)
        self._namespaces.add_handler(self._seen, lambda _, new: self._seen(new), lambda _: None)
        # Upstream sleeps for half the grace period; the last pod's end is a better alarm clock.
        self._pods.add_handler(lambda _: None, lambda _, __: None, self._pod_gone)

    def _seen(self, namespace: Object) -> None:
        if is_deleting(namespace):
            self._loop.queue.add_after(name_of(namespace), self._grace)

    def _pod_gone(self, pod: Object) -> None:
        namespace = self._namespaces.get(namespace_of(pod))
        if namespace is not None and is_deleting(namespace):
            self._loop.queue.add(name_of(namespace))

    async def run(self) -> None:
        await self._namespaces.wait_synced()
        await self._loop.run()

    async def reconcile(self, name: str) -> float | None:
        try:
            namespace = await self._client.get(NAMESPACES, "", name)
        except NotFound:
            return None
        if not is_deleting(namespace):
            return None
        status = namespace.get("status") or {}
        if status.get("phase") != "Terminating":
            namespace = await self._write_status(namespace, {**status, "phase": "Terminating"})
        if FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return None
        content = await self._delete_content(namespace)
        namespace = await self._report(namespace, content)
        if content.estimate > 0:
            return content.estimate / 2 + 1
        if not content.is_empty:
            raise ContentRemains("; ".join([*content.deletion_errors, *content.remaining]))
        await self._finalize(namespace)
        return None

    async def _delete_content(self, namespace: Object) -> Content:
        name = name_of(namespace)
        content = Content()
        discovered = await discover(self._client)
        content.discovery_failures.update(discovered.failures)
        await self._delete_all_of(PODS, name, content, discovered)
        pods = (await self._client.list(PODS, name)).get("items") or []
        if pods:
            # Nothing else goes while a pod may still need it. ContentRemaining does not count
            # the pods themselves in this phase, as upstream has it.
            deleted_at = env.parse_time(namespace["metadata"]["deletionTimestamp"])
            content.estimate = pods_estimate(pods, deleted_at, env.now())
            held = Content()
            count_remaining(held, PODS, pods)
            content.finalizers = held.finalizers
            content.estimate = max(content.estimate, held.estimate, 1.0)
            return content
        for resource in discovered.with_verbs("delete"):
            if resource.namespaced and resource.plural != PODS.plural:
                await self._delete_all_of(resource, name, content, discovered)
        return content

    async def _delete_all_of(
        self, resource: ResourceRef, namespace: str, content: Content, discovered: Discovered
    ) -> None:
        try:
            items = await self._list(resource, namespace)
            if not items:
                return
            if resource in discovered.with_verbs("deletecollection"):
                await self._client.delete_collection(resource, namespace, options=_BACKGROUND)
            else:
                for item in items:
                    await self._delete_one(resource, namespace, item)
            if resource.plural != PODS.plural:
                count_remaining(content, resource, await self._list(resource, namespace))
        except (NotFound, MethodNotAllowed):
            # Removed from the server since discovery, or not for deletion after all.
            return
        except ApiError as error:
            content.deletion_errors.append(f"{resource_name(resource)}: {error}")

    async def _list(self, resource: ResourceRef, namespace: str) -> list[Object]:
        found = await self._client.list(resource, namespace, accept=METADATA_LIST)
        return found.get("items") or []

    async def _delete_one(self, resource: ResourceRef, namespace: str, item: Object) -> None:
        try:
            await self._client.delete(resource, namespace, name_of(item), options=_BACKGROUND)
        except NotFound:
            return

    async def _report(self, namespace: Object, content: Content) -> Object:
        status = namespace.get("status") or {}
        conditions = plan_conditions(status.get("conditions"), content, env.now())
        if conditions == status.get("conditions"):
            return namespace
        return await self._write_status(namespace, {**status, "conditions": conditions})

    async def _write_status(self, namespace: Object, status: Object) -> Object:
        wanted = {**namespace, "status": status}
        try:
            return await self._client.update(NAMESPACES, "", wanted, subresource="status")
        except Conflict:
            live = await self._client.get(NAMESPACES, "", name_of(namespace))
            if uid_of(live) != uid_of(namespace):
                raise
            return await self._client.update(
                NAMESPACES, "", {**live, "status": status}, subresource="status"
            )

    async def _finalize(self, namespace: Object) -> None:
        finalizers = [f for f in namespace["spec"].get("finalizers") or () if f != FINALIZER]
        spec = {**namespace["spec"], "finalizers": finalizers}
        try:
            await self._client.update(
                NAMESPACES, "", {**namespace, "spec": spec}, subresource="finalize"
            )
        except NotFound:
            return
