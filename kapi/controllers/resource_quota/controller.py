"""Follows the resources that quotas count, from the first quota that counts them on."""

import asyncio
import logging

from kapi import env
from kapi.api.errors import Conflict, NotFound
from kapi.api.object import Object, is_deleting, namespace_of
from kapi.api.quota.usage import DEVICE_CLAIMS, counted_resources
from kapi.client.client import (
    METADATA_ONLY,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_CLAIMS,
    RESOURCE_QUOTAS,
    SERVICES,
    Client,
    ResourceRef,
)
from kapi.client.informer import Informer, key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.discovery import discover
from kapi.controllers.resource_quota.plan import changes_usage, plan_status

NAME = "resourcequota-controller"
_RECOUNT_SECONDS = 300.0
_WHOLE = {
    "pods": PODS,
    "services": SERVICES,
    "persistentvolumeclaims": PERSISTENT_VOLUME_CLAIMS,
    DEVICE_CLAIMS: RESOURCE_CLAIMS,
}
_log = logging.getLogger(__name__)


class ResourceQuotaController:
    """Keys are quotas. `follow` is the client for list and watch, shared with the informers."""

    def __init__(self, context: ControllerContext, follow: Client) -> None:
        self._client = context.client
        self._follow_client = follow
        self._shared = context.informers
        self._quotas = context.informers.get(RESOURCE_QUOTAS)
        self._followed: dict[str, Informer] = {}
        self._followers = env.TaskScope()
        self._finding = asyncio.Lock()
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=5))
        self._quotas.add_handler(self._seen, lambda _, new: self._seen(new), lambda _: None)

    def _seen(self, quota: Object) -> None:
        spec, status = quota.get("spec") or {}, quota.get("status") or {}
        hard = spec.get("hard") or {}
        if hard != (status.get("hard") or {}) or not set(hard) <= set(status.get("used") or {}):
            self._loop.queue.add(key_of(quota))

    async def run(self) -> None:
        await self._quotas.wait_synced()
        for quota in self._quotas.list():
            self._loop.queue.add(key_of(quota))
        try:
            await self._loop.run()
        finally:
            await self._followers.close()

    async def reconcile(self, key: str) -> float | None:
        quota = self._quotas.get(key)
        if quota is None or is_deleting(quota):
            return None
        namespace = namespace_of(quota)
        hard = (quota.get("spec") or {}).get("hard") or {}
        objects = {}
        for resource in sorted(counted_resources(hard)):
            informer = await self._informer(resource)
            if informer is not None:
                objects[resource] = list(informer.by_index("namespace", namespace))
        status = plan_status(quota, objects, env.now())
        if status is not None:
            new = {**quota, "status": status}
            try:
                await self._client.update(RESOURCE_QUOTAS, namespace, new, subresource="status")
            except NotFound:
                return None
            except Conflict:
                # Admission booked meanwhile; its event may be on its way.
                return 0.1
        return _RECOUNT_SECONDS

    async def _informer(self, resource: str) -> Informer | None:
        """A current copy of the resource; None if the server has no such resource."""
        async with self._finding:
            found = self._followed.get(resource)
            if found is None:
                found = await self._follow(resource)
        if found is not None:
            await found.wait_synced()
        return found

    async def _follow(self, resource: str) -> Informer | None:
        whole = _WHOLE.get(resource)
        if whole is not None:
            informer = self._shared.get(whole)
        else:
            ref = await self._served(resource)
            if ref is None:
                return None
            informer = Informer(self._follow_client, ref, accept=METADATA_ONLY)
            self._followers.spawn(informer.run(), f"{NAME} follows {resource}")
        self._followed[resource] = informer

        def changed(old: Object, new: Object) -> None:
            if resource in _WHOLE and changes_usage(resource, new, old, env.now()):
                self._recount(resource, namespace_of(new))

        informer.add_handler(
            lambda _: None, changed, lambda old: self._recount(resource, namespace_of(old))
        )
        return informer

    async def _served(self, resource: str) -> ResourceRef | None:
        for ref in (await discover(self._client)).with_verbs("list", "watch"):
            name = f"{ref.plural}.{ref.group}" if ref.group else ref.plural
            if name == resource and ref.namespaced:
                return ref
        _log.info("%s: nothing to count: the server has no namespaced %s", NAME, resource)
        return None

    def _recount(self, resource: str, namespace: str) -> None:
        for quota in self._quotas.by_index("namespace", namespace):
            hard = (quota.get("spec") or {}).get("hard") or {}
            if resource in counted_resources(hard):
                self._loop.queue.add(key_of(quota))
