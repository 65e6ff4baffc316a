"""The generic store's first part: the order of every read, create and update, for every kind.

It knows optimistic locking, finalizers, graceful deletion, dry run and generated names. It knows
no kind: whatever differs is asked of the strategy. Source of the order: k8s.io/apiserver
`pkg/registry/generic/registry/store.go` and `pkg/registry/rest`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.errors import FieldError
from kapi.api.object import Object, is_deleting, metadata, name_of
from kapi.api.object_meta import validate_object_meta, validate_object_meta_update
from kapi.api.patch.apply import track_update
from kapi.registry.admission import Admission, AdmissionRequest
from kapi.registry.errors import to_api_error
from kapi.registry.options import NO_PRECONDITIONS, Preconditions
from kapi.registry.resource import Resource, Subresource
from kapi.registry.strategy import Allocation, RequestContext, Strategy
from kapi.registry.system_fields import (
    check_preconditions,
    check_version,
    restore_status,
    restore_system_fields,
    same,
    set_generation,
)
from kapi.storage import codec
from kapi.storage.cached import CachedObject
from kapi.storage.errors import KeyExists, RevisionConflict, StorageError, StorageUnavailable
from kapi.storage.interface import Store
from kapi.storage.watch_cache import WatchCache

_log = logging.getLogger(__name__)

_NAME_ATTEMPTS = 8
_GENERATED_BASE = 58  # 63 minus the random suffix, as upstream
_CONFLICT_ATTEMPTS = 30
_FRESH_SECONDS = 10.0
_SEEN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Backing:
    """What all generic stores of one server share."""

    store: Store
    cache: WatchCache
    admission: Admission


@dataclass(frozen=True, slots=True)
class Written:
    """The object as it is now, and its bytes as clients see them."""

    obj: Object
    data: bytes


BuildObject = Callable[[Object], Awaitable[Object]]
"""Makes the new object from a private copy of the stored one: a PUT ignores it, a patch uses it."""


class StoreBase:
    """Reading, creating and updating; `GenericStore` in store.py adds deletion."""

    def __init__(
        self, resource: Resource, backing: Backing, subresource: Subresource | None = None
    ) -> None:
        self.resource = resource
        self.backing = backing
        self.subresource = subresource.name if subresource else ""
        self.strategy: Strategy = resource.strategy
        if subresource and subresource.strategy:
            self.strategy = subresource.strategy

    # Reading -----------------------------------------------------------------------------------

    async def fresh(self) -> int:
        """Wait until the cache has seen every write made before this call; returns its revision."""
        revision = await self.backing.store.current_revision()
        if revision > self.backing.cache.revision:
            await self.backing.cache.wait_for(revision, _FRESH_SECONDS)
        return self.backing.cache.revision

    async def entry(self, namespace: str, name: str, *, fresh: bool = True) -> CachedObject:
        """The cached object. Raises NotFound."""
        if fresh:
            await self.fresh()
        found = self.backing.cache.get(self.resource.key(namespace, name))
        if found is None:
            raise errors.resource_not_found(self.resource.plural, self.resource.group, name)
        return found

    def to_external(self, data: bytes) -> Object:
        """A private decoded copy of stored (or cached) bytes, in this row's version."""
        obj: Object = orjson.loads(data)
        convert = self.resource.from_storage
        return convert(obj) if convert else obj

    def external_bytes(self, entry: CachedObject) -> bytes:
        """Bytes for the wire; free of cost unless the row converts."""
        if self.resource.from_storage is None:
            return entry.data
        return orjson.dumps(self.to_external(entry.data))

    async def get(self, namespace: str, name: str) -> Object:
        """A private decoded copy. Raises NotFound."""
        return self.to_external((await self.entry(namespace, name)).data)

    # Creating ----------------------------------------------------------------------------------

    async def create(self, ctx: RequestContext, obj: Object) -> Written:
        """Store a new object. Raises Invalid, AlreadyExists and whatever admission says."""
        meta = metadata(obj)
        generate = meta.get("generateName") if not meta.get("name") else None
        self._fill_new(ctx, obj)
        for attempt in range(_NAME_ATTEMPTS):
            candidate = obj
            if generate:
                candidate = orjson.loads(orjson.dumps(obj))
                base = str(generate)[:_GENERATED_BASE]
                candidate["metadata"]["name"] = base + env.name_suffix()
            try:
                return await self._create_named(ctx, candidate)
            except errors.AlreadyExists as error:
                if not generate:
                    raise
                if attempt == _NAME_ATTEMPTS - 1:
                    raise errors.AlreadyExists(
                        f"{error.message}, the server was not able to generate a unique name "
                        "for the object",
                        details={**error.details, "retryAfterSeconds": 1},
                    ) from error
        raise AssertionError("unreachable")

    def _fill_new(self, ctx: RequestContext, obj: Object) -> None:
        meta = metadata(obj)
        if meta.get("resourceVersion"):
            raise errors.UntypedError("resourceVersion should not be set on objects to be created")
        if self.resource.namespaced:
            meta["namespace"] = ctx.namespace
        else:
            meta.pop("namespace", None)
        for owned in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            meta.pop(owned, None)
        meta["uid"] = env.uuid4()
        meta["creationTimestamp"] = env.timestamp()
        if self.strategy.has_status:
            obj.pop("status", None)

    async def _create_named(self, ctx: RequestContext, obj: Object) -> Written:
        resource, strategy = self.resource, self.strategy
        name = name_of(obj)
        self._track(ctx, None, obj)
        await self._admit("CREATE", ctx, obj, None)
        strategy.prepare_for_create(ctx, obj)
        if strategy.has_generation and strategy.first_generation:
            metadata(obj)["generation"] = strategy.first_generation
        found = strategy.validate(obj) or self._meta_errors(obj)
        if found:
            raise errors.object_invalid(resource.kind, resource.stored_group, name, found)
        ctx.warnings.extend(strategy.warnings(obj, None))
        key = resource.key(ctx.namespace, name)
        allocation = await strategy.allocate(self.backing.store, ctx, obj, None)
        try:
            strategy.canonicalize(obj)
            await self._validate_admission("CREATE", ctx, obj, None)
            if ctx.dry_run:
                if await self.backing.store.get(key) is not None:
                    raise self._exists(key, name)
                return self._unwritten(obj)
            data = self._encode(obj)
            revision = await self.backing.store.create(key, data)
        except BaseException as error:
            await _give_back(allocation, error)
            if isinstance(error, KeyExists):
                raise self._exists(key, name) from error
            if isinstance(error, StorageError):
                raise to_api_error(error, resource, name) from error
            raise
        await _keep(allocation)
        return await self._written(obj, data, revision)

    def _exists(self, key: str, name: str) -> errors.AlreadyExists:
        """409, which says so if the object in the way is on its way out."""
        error = errors.resource_already_exists(self.resource.plural, self.resource.group, name)
        entry = self.backing.cache.get(key)
        if entry is not None and is_deleting(orjson.loads(entry.data)):
            return errors.AlreadyExists(
                f"object is being deleted: {error.message}", details=error.details
            )
        return error

    def _meta_errors(self, obj: Object) -> list[FieldError]:
        strategy = self.strategy
        return validate_object_meta(
            metadata(obj),
            namespaced=self.resource.namespaced,
            name_errors=lambda name, prefix: strategy.name_errors(name, prefix=prefix),
            qualified_finalizers=strategy.qualified_finalizers,
        )

    def _meta_update_errors(self, new: Object, old: Object) -> list[FieldError]:
        """Complaints about metadata, each twice.

        Upstream's generic update and its strategies both check, and a Status carries the causes
        of both.
        """
        found = validate_object_meta_update(metadata(new), metadata(old))
        return 2 * (found + self._meta_errors(new))

    # Updating ----------------------------------------------------------------------------------

    async def update(
        self,
        ctx: RequestContext,
        name: str,
        build: BuildObject,
        preconditions: Preconditions = NO_PRECONDITIONS,
    ) -> Written:
        """Replace an object by what `build` makes of it.

        Without a resourceVersion in the result a conflict is retried on the newer object; with one
        it is the caller's. Raises NotFound, Conflict, Invalid and whatever admission says.
        """
        for _attempt in range(_CONFLICT_ATTEMPTS):
            current = await self.entry(ctx.namespace, name)
            old = self.to_external(current.data)
            new = await build(self.to_external(current.data))
            locked = bool(metadata(new).get("resourceVersion")) or bool(
                preconditions.resource_version
            )
            try:
                return await self._update_from(ctx, current, old, new, preconditions)
            except RevisionConflict as error:
                unchanged = metadata(new).get("resourceVersion") == str(current.revision)
                if locked and not (unchanged and ctx.retry_conflicts):
                    raise to_api_error(error, self.resource, name) from error
            except StorageError as error:
                raise to_api_error(error, self.resource, name) from error
        raise errors.resource_conflict(self.resource.plural, self.resource.group, name)

    async def _update_from(
        self,
        ctx: RequestContext,
        current: CachedObject,
        old: Object,
        new: Object,
        preconditions: Preconditions,
    ) -> Written:
        resource, strategy = self.resource, self.strategy
        name = name_of(old)
        check_preconditions(resource, old, preconditions)
        check_version(resource, strategy, new, old)
        restore_system_fields(resource, ctx.namespace, new, old)
        if strategy.has_status and not self.subresource:
            restore_status(new, old)
        self._track(ctx, old, new)
        await self._admit("UPDATE", ctx, new, old)
        strategy.prepare_for_update(ctx, new, old)
        if strategy.has_generation:
            set_generation(strategy, new, old, subresource=self.subresource)
        found = self._meta_update_errors(new, old) + strategy.validate_update(new, old)
        if found:
            raise errors.object_invalid(resource.kind, resource.stored_group, name, found)
        ctx.warnings.extend(strategy.warnings(new, old))
        allocation = await strategy.allocate(self.backing.store, ctx, new, old)
        try:
            strategy.canonicalize(new)
            await self._validate_admission("UPDATE", ctx, new, old)
            if ctx.dry_run:
                metadata(new)["resourceVersion"] = metadata(old)["resourceVersion"]
                return Written(new, orjson.dumps(new))
            written = await self._write_update(current, new, old)
        except BaseException as error:
            await _give_back(allocation, error)
            raise
        await _keep(allocation)
        return written

    async def _write_update(self, current: CachedObject, new: Object, old: Object) -> Written:
        if self._deletion_is_due(new):
            removed = await self._remove(current, new)
            metadata(removed.obj)["resourceVersion"] = str(current.revision)
            return Written(removed.obj, orjson.dumps(removed.obj))
        data = self._encode(new)
        if same(new, old):
            metadata(new)["resourceVersion"] = str(current.revision)
            return Written(new, self.external_bytes(current))
        revision = await self.backing.store.update(current.key, data, current.revision)
        return await self._written(new, data, revision)

    # Shared steps ------------------------------------------------------------------------------

    def _deletion_is_due(self, obj: Object) -> bool:
        meta = metadata(obj)
        return bool(
            meta.get("deletionTimestamp")
            and not meta.get("finalizers")
            and not meta.get("deletionGracePeriodSeconds")
            and not self.strategy.blocks_removal(obj)
        )

    async def _remove(self, current: CachedObject, obj: Object) -> Written:
        revision = await self.backing.store.delete(current.key, current.revision)
        await self.strategy.after_delete(self.backing.store, obj)
        return await self._written(obj, self._encode(obj), revision)

    async def _admit(
        self, operation: str, ctx: RequestContext, obj: Object, old: Object | None
    ) -> None:
        await self.backing.admission.mutate(self._admission_request(operation, ctx, obj, old))

    async def _validate_admission(
        self, operation: str, ctx: RequestContext, obj: Object | None, old: Object | None
    ) -> None:
        await self.backing.admission.validate(self._admission_request(operation, ctx, obj, old))

    def _admission_request(
        self, operation: str, ctx: RequestContext, obj: Object | None, old: Object | None
    ) -> AdmissionRequest:
        return AdmissionRequest(
            operation,  # type: ignore[arg-type]
            self.resource,
            self.subresource,
            ctx.namespace,
            name_of(obj or old or {}),
            obj,
            old,
            ctx,
        )

    def _track(self, ctx: RequestContext, old: Object | None, new: Object) -> None:
        """Keep managedFields: who set what. Apply has set them already."""
        if ctx.managed_fields_done:
            return
        schema = self.resource.kind_schema()
        if schema is not None:
            track_update(
                old,
                new,
                manager=ctx.field_manager or "unknown",
                schema=schema,
                now=env.timestamp(),
                subresource=self.subresource,
            )

    def _encode(self, obj: Object) -> bytes:
        convert = self.resource.to_storage
        return codec.encode(convert(obj) if convert else obj)

    async def _written(self, obj: Object, data: bytes, revision: int) -> Written:
        """What a write left, once this server's own cache shows it.

        So whoever got the answer finds it respected: by reads, authorization and admission.
        """
        await self._seen(revision)
        metadata(obj)["resourceVersion"] = str(revision)
        if self.resource.to_storage is None:
            return Written(obj, codec.with_revision(data, revision))
        return Written(obj, orjson.dumps(obj))

    async def _seen(self, revision: int) -> None:
        try:
            await self.backing.cache.wait_for(revision, _SEEN_SECONDS)
        except StorageUnavailable:
            # The write is done and must be acknowledged, even if the cache lags behind it.
            _log.warning("the watch cache is behind revision %d", revision)

    def _unwritten(self, obj: Object) -> Written:
        return Written(obj, orjson.dumps(obj))


async def _keep(allocation: Allocation | None) -> None:
    if allocation is not None:
        await allocation.commit()


async def _give_back(allocation: Allocation | None, error: BaseException) -> None:
    """Revert what a failed write had reserved, unless the write may have happened after all.

    Then its values are in use; should it not have happened, the reservations have no owner.
    """
    unknown = isinstance(error, StorageUnavailable | asyncio.CancelledError)
    if allocation is not None and not unknown:
        await allocation.revert()
