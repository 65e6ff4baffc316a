"""The generic store: what serves one resource, or one subresource of it.

Deletion is here; reads, creation and updates are in `store_base.py`. Source of the order:
k8s.io/apiserver `pkg/registry/generic/registry/store.go` and `pkg/registry/rest/delete.go`.
"""

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.object import Object, metadata
from kapi.registry.errors import to_api_error
from kapi.registry.options import DeleteOptions, Preconditions
from kapi.registry.store_base import Backing, StoreBase, Written
from kapi.registry.strategy import RequestContext
from kapi.registry.system_fields import check_preconditions, same
from kapi.storage.cached import CachedObject
from kapi.storage.errors import KeyNotFound, RevisionConflict, StorageError

_CONFLICT_ATTEMPTS = 30

__all__ = ["Backing", "DeleteOptions", "GenericStore", "Preconditions", "Written"]


class GenericStore(StoreBase):
    """One resource, or one subresource of it (`strategy` differs, the keys are the same)."""

    async def delete(
        self, ctx: RequestContext, name: str, options: DeleteOptions
    ) -> tuple[Written, bool]:
        """Begin or finish a deletion; the flag says whether the object is gone.

        Raises NotFound, Conflict (preconditions) and whatever admission says.
        """
        for _attempt in range(_CONFLICT_ATTEMPTS):
            current = await self.entry(ctx.namespace, name)
            old = self.to_external(current.data)
            check_preconditions(self.resource, old, options.preconditions)
            await self._validate_admission("DELETE", ctx, None, old)
            try:
                return await self._delete_from(ctx, current, old, options)
            except (RevisionConflict, KeyNotFound):
                continue
            except StorageError as error:
                raise to_api_error(error, self.resource, name) from error
        raise errors.resource_conflict(self.resource.plural, self.resource.group, name)

    async def _delete_from(
        self, ctx: RequestContext, current: CachedObject, old: Object, options: DeleteOptions
    ) -> tuple[Written, bool]:
        new = self.to_external(current.data)
        meta = metadata(new)
        finalizers = options.finalizers(list(meta.get("finalizers") or ()), self.strategy)
        if finalizers:
            meta["finalizers"] = finalizers
        else:
            meta.pop("finalizers", None)
        grace = max(0, self.strategy.grace_period_seconds(new, options.grace_period_seconds))
        self._mark_deleting(new, grace)
        marked = bool(metadata(old).get("deletionTimestamp"))
        due = self._deletion_is_due(new) and (marked or not self.strategy.deletes_in_two_steps)
        if due and not marked and not self.strategy.deletes_gracefully:
            # An immediate deletion shows the object as it was, with the last revision.
            for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
                meta.pop(field, None)
            if "generation" in metadata(old):
                meta["generation"] = metadata(old)["generation"]
        if ctx.dry_run:
            return Written(new, orjson.dumps(new)), due
        if due:
            return await self._remove(current, new), True
        data = self._encode(new)
        if same(new, old):
            return Written(new, self.external_bytes(current)), False
        revision = await self.backing.store.update(current.key, data, current.revision)
        return await self._written(new, data, revision), False

    def _mark_deleting(self, obj: Object, grace: int) -> None:
        meta = metadata(obj)
        if meta.get("deletionTimestamp"):
            left = int(meta.get("deletionGracePeriodSeconds") or 0)
            if grace >= left:
                return
            # A shorter grace brings the end nearer; a longer one is refused silently, as upstream.
            started = env.parse_time(meta["deletionTimestamp"]).timestamp() - left
            moment = max(started + grace, env.now().timestamp() if grace == 0 else 0)
            meta["deletionTimestamp"] = env.format_time(env.from_timestamp(moment))
            meta["deletionGracePeriodSeconds"] = grace
            return
        end = env.now().timestamp() + grace
        meta["deletionTimestamp"] = env.format_time(env.from_timestamp(end))
        if not self.strategy.deletes_in_two_steps:
            meta["deletionGracePeriodSeconds"] = grace
        if meta.get("generation") and not self.strategy.deletes_in_two_steps:
            meta["generation"] = int(meta["generation"]) + 1
        self.strategy.on_deletion(obj)
