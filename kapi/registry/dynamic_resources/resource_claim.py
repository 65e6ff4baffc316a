"""ResourceClaim and ResourceClaimTemplate.

Source: k8s.io/kubernetes `pkg/registry/resource/{resourceclaim,resourceclaimtemplate}` and
`pkg/apis/resource/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

import orjson

from kapi.api.errors import FieldError, forbidden, invalid, object_invalid, required
from kapi.api.object import Object, is_deleting, labels_of, name_of
from kapi.registry.dynamic_resources import shared
from kapi.registry.dynamic_resources.device_claim import (
    INTERNAL_TYPES,
    asks_admin_access,
    canonical_claim,
    claim_spec,
    default_claim,
)
from kapi.registry.fields import IMMUTABLE, annotations, labels
from kapi.registry.internal_form import internal_form
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Allocation,
    Column,
    RequestContext,
    Strategy,
    age,
)
from kapi.storage.interface import Store

ADMIN_LABEL = "resource.kubernetes.io/admin-access"
_MOST_RESERVED = 256
_GROUP = "resource.k8s.io"


class ResourceClaimStrategy(Strategy):
    """The spec of a claim never changes."""

    has_status = True
    returns_deleted_object = True
    columns = (
        NAME_COLUMN,
        Column(
            "State",
            about="A summary of the current state (allocated, pending, reserved, etc.).",
        ),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        default_claim(obj.setdefault("spec", {}))

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {}

    def canonicalize(self, obj: Object) -> None:
        canonical_claim(obj["spec"])

    def validate(self, obj: Object) -> list[FieldError]:
        return claim_spec(obj.get("spec") or {}, "spec")

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return _immutable(obj, old, "ClaimSpec")

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return _status(obj.get("status") or {}, old.get("status") or {})

    async def allocate(
        self, storage: Store, ctx: RequestContext, obj: Object, old: Object | None
    ) -> Allocation | None:
        """Reserves nothing: refuses what the namespace does not allow."""
        await _judge_admin_access(storage, ctx, "ResourceClaim", obj, obj.get("spec") or {})
        return None

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), _state(obj), age(obj, now)]


class ResourceClaimTemplateStrategy(Strategy):
    """Neither does the spec of a template."""

    returns_deleted_object = True
    columns = (NAME_COLUMN, AGE_COLUMN)

    def default(self, obj: Object) -> None:
        default_claim(obj.setdefault("spec", {}).setdefault("spec", {}))

    def canonicalize(self, obj: Object) -> None:
        canonical_claim(obj["spec"]["spec"])

    def validate(self, obj: Object) -> list[FieldError]:
        template = obj.get("spec") or {}
        meta = template.get("metadata") or {}
        errors = annotations(meta.get("annotations"), "spec.metadata.annotations")
        errors += labels(meta.get("labels"), "spec.metadata.labels")
        return errors + claim_spec(template.get("spec") or {}, "spec.spec")

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return _immutable(obj, old, "TemplateSpec")

    async def allocate(
        self, storage: Store, ctx: RequestContext, obj: Object, old: Object | None
    ) -> Allocation | None:
        """Reserves nothing: refuses what the namespace does not allow."""
        spec = (obj.get("spec") or {}).get("spec") or {}
        await _judge_admin_access(storage, ctx, "ResourceClaimTemplate", obj, spec)
        return None

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), age(obj, now)]


def _immutable(obj: Object, old: Object, kind: str) -> list[FieldError]:
    new, before = _internal(obj, kind), _internal(old, kind)
    return [] if new == before else [invalid("spec", new, IMMUTABLE)]


def _internal(obj: Object, kind: str) -> Object:
    """The spec in the form messages quote: absence and null are the same there."""
    spec = obj.get("spec") or {}
    return {**(spec.get("metadata") or {}), **internal_form(spec, kind, INTERNAL_TYPES)}


async def _judge_admin_access(
    storage: Store, ctx: RequestContext, kind: str, obj: Object, spec: Object
) -> None:
    paths = asks_admin_access(spec)
    if not paths:
        return
    found = await storage.get(f"/registry/namespaces/{ctx.namespace}")
    namespace: Object = orjson.loads(found.value) if found is not None else {}
    if labels_of(namespace).get(ADMIN_LABEL) == "true":
        return
    text = (
        f"admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing "
        "namespace"
    )
    raise object_invalid(kind, _GROUP, name_of(obj), [forbidden(path, text) for path in paths])


def _status(status: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    reserved = status.get("reservedFor") or []
    path = "status.reservedFor"
    if reserved and not status.get("allocation"):
        text = "may not be specified when `allocated` is not set"
        errors.append(forbidden(path, text))
    errors += shared.each(reserved, _MOST_RESERVED, _consumer, path, "uid")
    allocation, before = status.get("allocation"), old.get("allocation")
    if before is not None and allocation is not None and allocation != before:
        errors.append(invalid("status.allocation", allocation, IMMUTABLE))
    if before is not None and allocation is None and reserved:
        text = "must not be removed while the claim is reserved"
        errors.append(forbidden("status.allocation", text))
    return errors


def _consumer(item: Object, path: str) -> list[FieldError]:
    return [
        required(f"{path}.{field}") for field in ("resource", "name", "uid") if not item.get(field)
    ]


def _state(obj: Object) -> str:
    status = obj.get("status") or {}
    states = ["deleted"] if is_deleting(obj) else []
    if status.get("allocation"):
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    elif not states:
        states.append("pending")
    return ",".join(states)
