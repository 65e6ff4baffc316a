"""POST pods/NAME/eviction: a deletion that asks the PodDisruptionBudgets first.

Source of the order: k8s.io/kubernetes `pkg/registry/core/pod/storage/eviction.go`. The rules are in
`registry/policy/eviction.py`. Admission judges the eviction; the writes that follow from it are the
server's own.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.object import GroupVersionKind, Object, metadata, name_of
from kapi.registry.admission import AdmissionRequest, NoAdmission
from kapi.registry.policy import eviction as rules
from kapi.registry.store import Backing, DeleteOptions, GenericStore, Preconditions
from kapi.registry.strategy import RequestContext
from kapi.registry.system_fields import check_preconditions
from kapi.server.call import Call
from kapi.server.decoding import read_object
from kapi.server.verbs.delete import checked_options

_EVICTION = GroupVersionKind("policy", "v1", "Eviction")
_BUDGETS = "poddisruptionbudgets.policy"
_SERVER = "kube-apiserver"
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.5

T = TypeVar("T")


async def create_eviction(call: Call) -> None:
    ctx = call.context()
    eviction = await read_object(call.exchange, _EVICTION, None, also=("policy/v1beta1",))
    if metadata(eviction).get("name", call.name) != call.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    options, dry = checked_options(eviction.get("deleteOptions") or {})
    ctx.dry_run = ctx.dry_run or dry
    await _admit(call, ctx, eviction)
    await _Eviction(call, options, dry_run=ctx.dry_run).run()
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    await call.exchange.respond(201, orjson.dumps(status))


async def _admit(call: Call, ctx: RequestContext, eviction: Object) -> None:
    admission = call.store.backing.admission
    request = AdmissionRequest(
        "CREATE", call.resource, "eviction", call.namespace, call.name, eviction, None, ctx
    )
    await admission.mutate(request)
    await admission.validate(request)


class _Eviction:
    """One eviction of one pod. `options` are the caller's, for the deletion."""

    def __init__(self, call: Call, options: DeleteOptions, *, dry_run: bool) -> None:
        self._call = call
        self._options = options
        self._dry_run = dry_run
        self._backing = replace(call.store.backing, admission=NoAdmission())

    async def run(self) -> None:
        """Raises TooManyRequests if the pod's budget does not allow it, NotFound, Conflict, ..."""
        wanted = self._options.preconditions
        # What is not meant is not waited for, and costs no budget.
        check_preconditions(self._call.resource, await self._pod(), wanted)
        if wanted.resource_version:
            pod = await self._delete_if_free()
        else:
            # The pod may change between the look and the deletion: then look again.
            pod = await _retried(self._delete_if_free)
        if pod is None:
            return
        budget = self._budget_of(pod)
        if budget is None:
            await self._delete(pod)
        elif rules.is_unhealthy_and_free(budget, pod):
            await self._delete_unhealthy(pod, name_of(budget))
        else:
            await self._spend(name_of(budget))
            await self._delete(pod)

    async def _pod(self) -> Object:
        return await self._call.store.get(self._call.namespace, self._call.name)

    async def _delete_if_free(self) -> Object | None:
        """The pod, if it needs a budget; None if it did not and is deleted."""
        pod = await self._pod()
        if not rules.needs_no_budget(pod):
            return pod
        await self._delete(pod, as_seen=rules.may_become_ready(pod))
        return None

    def _budget_of(self, pod: Object) -> Object | None:
        """Raises an error without a reason if there are several, as upstream."""
        budgets = self._call.api.lookup.list(_BUDGETS, self._call.namespace)
        matching = rules.matching_budgets(budgets, pod)
        if len(matching) > 1:
            raise errors.plain_error(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                "does not support."
            )
        return matching[0] if matching else None

    async def _delete_unhealthy(self, pod: Object, budget: str) -> None:
        """Only as long as the pod is not ready: otherwise it has to be asked for again."""
        try:
            await self._delete(pod, as_seen=True)
        except errors.Conflict:
            if self._options.preconditions.resource_version:
                raise
            raise rules.still_processed(budget) from None

    async def _spend(self, name: str) -> None:
        """Take one disruption from the budget. Its revision is the lock: two evictions that read
        the same number cannot both write the next one.
        """
        main = self._call.api.store_of(_BUDGETS)
        store = _status_store(main, self._backing)
        ctx = self._context(field_manager=_SERVER)

        async def build(old: Object) -> Object:
            rules.spend(old, self._call.name, env.timestamp())
            return old

        try:
            await _retried(lambda: store.update(ctx, name, build))
        except errors.Conflict:
            raise errors.Timeout(
                f'couldn\'t update PodDisruptionBudget "{name}" due to conflicts', retry_after=10
            ) from None

    async def _delete(self, pod: Object, *, as_seen: bool = False) -> None:
        """Mark the pod and delete it; with `as_seen` only if nothing about it has changed."""
        wanted = self._options.preconditions
        version = wanted.resource_version or (metadata(pod)["resourceVersion"] if as_seen else "")
        # A pod that has taken the name meanwhile was not asked for.
        preconditions = Preconditions(wanted.uid or metadata(pod)["uid"], version)
        if not self._dry_run:
            marked = await self._mark(preconditions)
            if version:
                preconditions = replace(preconditions, resource_version=marked)
        store = GenericStore(self._call.resource, self._backing)
        options = replace(self._options, preconditions=preconditions)
        await store.delete(self._context(), self._call.name, options)

    async def _mark(self, preconditions: Preconditions) -> str:
        """Add the DisruptionTarget condition; returns the pod's resourceVersion after that."""
        store = _status_store(self._call.store, self._backing)
        ctx = self._context()
        # Upstream writes the condition below the level that keeps managedFields.
        ctx.managed_fields_done = True

        async def build(old: Object) -> Object:
            rules.mark_as_disrupted(old, env.timestamp())
            return old

        written = await store.update(ctx, self._call.name, build, preconditions)
        return str(metadata(written.obj)["resourceVersion"])

    def _context(self, *, field_manager: str = "") -> RequestContext:
        ctx = self._call.context()
        ctx.dry_run = self._dry_run
        ctx.retry_conflicts = True
        ctx.field_manager = field_manager or ctx.field_manager
        return ctx


def _status_store(store: GenericStore, backing: Backing) -> GenericStore:
    return GenericStore(store.resource, backing, store.resource.subresource("status"))


async def _retried(act: Callable[[], Awaitable[T]]) -> T:
    """Again after a Conflict, for ten seconds or so. Raises the last one."""
    for _attempt in range(_ATTEMPTS - 1):
        try:
            return await act()
        except errors.Conflict:
            await env.sleep(_PAUSE_SECONDS * (1 + 0.1 * env.random().random()))
    return await act()
