"""Nothing is created beyond a namespace's quotas.

Usage is booked in the quota's status before the write, by compare-and-swap, so that of two writers
who race for the last bit one is refused. What a failed write booked too much, the quota controller
counts away. Source: k8s.io/apiserver `pkg/admission/plugin/resourcequota/controller.go`.
"""

import asyncio
from weakref import WeakValueDictionary

from kapi import env
from kapi.admission.plugin import AdmissionPlugin, refuse
from kapi.api.errors import InternalError, resource_conflict
from kapi.api.object import Object, name_of, namespace_of
from kapi.api.quota.pods import missing_demands
from kapi.api.quota.resource_list import add, amount, exceeded, increase, mask, printed
from kapi.api.quota.usage import in_scope, usage
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest
from kapi.storage import codec
from kapi.storage.errors import KeyNotFound, RevisionConflict
from kapi.storage.interface import Store

_QUOTAS = "resourcequotas"
_UNCOUNTED = ("bindings", "events", "events.events.k8s.io", "localsubjectaccessreviews")
_UPDATES = ("persistentvolumeclaims", "services")
_ATTEMPTS = 10
_SECONDS = 10.0


class ResourceQuota(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup, store: Store) -> None:
        self._lookup, self._store = lookup, store
        # Writers of this server take turns per namespace; other servers are met with retries.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def handles(self, request: AdmissionRequest) -> bool:
        resource = request.resource
        if not resource.namespaced or resource.create_only or resource.qualified in _UNCOUNTED:
            return False
        if request.operation == "CREATE":
            return not request.subresource
        if request.operation != "UPDATE":
            return False
        if resource.qualified == "pods":
            return request.subresource == "resize"
        return resource.qualified in _UPDATES and not request.subresource

    async def validate(self, request: AdmissionRequest) -> None:
        quotas = list(self._lookup.list(_QUOTAS, request.namespace))
        if not quotas:
            return
        lock = self._locks.setdefault(request.namespace, asyncio.Lock())
        try:
            async with asyncio.timeout(_SECONDS), lock:
                await self._charge(request, [name_of(quota) for quota in quotas])
        except TimeoutError as error:
            raise InternalError("resource quota evaluation timed out") from error

    async def _charge(self, request: AdmissionRequest, names: list[str]) -> None:
        """Judge by every quota, then book on each; a lost race starts again with what is left."""
        left = sorted(names)
        for _attempt in range(_ATTEMPTS):
            stored = [await self._read(request.namespace, name) for name in left]
            plans = [
                (revision, *plan)
                for revision, quota in filter(None, stored)
                if (plan := _planned(request, quota)) is not None
            ]
            if request.ctx.dry_run:
                return
            try:
                for revision, quota, used in plans:
                    await self._book(revision, quota, used)
                    left.remove(name_of(quota))
            except (RevisionConflict, KeyNotFound):
                continue
            return
        raise resource_conflict(_QUOTAS, "", names[0])

    def _key(self, namespace: str, name: str) -> str:
        return f"/registry/{_QUOTAS}/{namespace}/{name}"

    async def _read(self, namespace: str, name: str) -> tuple[int, Object] | None:
        found = await self._store.get(self._key(namespace, name))
        return None if found is None else (found.revision, codec.decode(found.value, 0))

    async def _book(self, revision: int, quota: Object, used: dict[str, str]) -> None:
        new = {**quota, "status": {**quota["status"], "used": used}}
        key = self._key(namespace_of(quota), name_of(quota))
        await self._store.update(key, codec.encode(new), revision)


def _planned(request: AdmissionRequest, quota: Object) -> tuple[Object, dict[str, str]] | None:
    """The quota and its new usage; None if it is not concerned. Raises Forbidden."""
    assert request.obj is not None
    resource, name = request.resource.qualified, name_of(quota)
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    whole = usage(resource, request.obj, env.now())
    concerned = set(hard) & _countable(resource, whole, hard)
    if not concerned or not in_scope(quota, resource, request.obj):
        return None
    if resource == "pods":
        demand = missing_demands(mask(hard, concerned), request.obj)
        if demand:
            raise refuse(request, f"failed quota: {name}: {demand}")
    if not concerned <= set(used):
        names = ",".join(sorted(concerned))
        raise refuse(request, f"status unknown for quota: {name}, resources: {names}")
    if request.old is not None:
        whole = increase(whole, usage(resource, request.old, env.now()))
    asked = {key: value for key, value in mask(whole, hard).items() if amount(value)}
    if not asked:
        return None
    total = add(used, asked)
    beyond = exceeded(mask(total, asked), hard)
    if beyond:
        raise refuse(
            request,
            f"exceeded quota: {name}, requested: {printed(mask(asked, beyond))}, "
            f"used: {printed(mask(used, beyond))}, limited: {printed(mask(hard, beyond))}",
        )
    return quota, total


_POD_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def _countable(resource: str, whole: dict[str, str], hard: Object) -> set[str]:
    """The names in `hard` that objects of this resource can use, even if this one does not."""
    found = set(whole)
    if resource == "pods":
        found |= {"pods", *_POD_COMPUTE}
        found |= {
            name
            for name in hard
            if name.startswith(("limits.", "hugepages-"))
            or (name.startswith("requests.") and name != "requests.storage")
        }
    elif resource == "services":
        found |= {"services", "services.loadbalancers", "services.nodeports"}
    return found
