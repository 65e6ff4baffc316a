"""Server-side apply.

`apply_patch` merges an applied configuration into the live object, removes what its manager no
longer applies and nobody else owns, and refuses to change what another manager owns. It only sees
plain dicts; reporting decode errors of the result and defaulting it is the caller's work. Fields
managed through another API version of the kind are left as they are. Other writes keep the books
with `track_update`. Source: sigs.k8s.io/structured-merge-diff `merge/update.go`.
"""

from typing import Any

import orjson

from kapi.api.errors import BadRequest, Conflict, plain_error
from kapi.api.object import Object, clone, name_of, namespace_of
from kapi.api.patch.field_set import FieldSet, path_text
from kapi.api.patch.managers import (
    Managed,
    ManagerKey,
    Managers,
    applier,
    readable_managers,
    strip_meta,
    updater,
)
from kapi.api.patch.ownership import (
    NOTHING,
    OwnershipConflicts,
    empty_object,
    ignored_fields,
    keep_timestamps,
    record_update,
    settle,
    track_update,
    without_books,
    write_books,
)
from kapi.api.patch.typed import (
    TypedError,
    compare,
    remove_items,
    to_field_set,
    validate,
    with_named_fields,
)
from kapi.api.patch.typed_merge import merge
from kapi.api.schema.kind import DecodeError, KindSchema
from kapi.api.schema.node import SchemaNode

__all__ = ["BEFORE_FIRST_APPLY", "LAST_APPLIED", "apply_patch", "track_update"]

BEFORE_FIRST_APPLY = "before-first-apply"
KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _prune(
    merged: Any, managers: Managers, key: ManagerKey, last: Managed | None, node: SchemaNode
) -> Any:
    """Remove what the manager applied last time and does not now, unless others own it."""
    if last is None or last.fields.empty:
        return merged
    version = managers[key].api_version
    applied_last = with_named_fields(last.fields, node)
    pruned = remove_items(merged, node, applied_last)
    everything = with_named_fields(to_field_set(merged, node), node)

    owned = NOTHING
    for managed in managers.values():
        if managed.api_version == version:
            owned = owned.union(managed.fields)
    left = with_named_fields(to_field_set(pruned, node), node)
    spared = left.union(with_named_fields(owned, node))
    pruned = remove_items(merged, node, everything.difference(spared))

    # What hung below a removed item without having been applied is no one's to remove.
    left = with_named_fields(to_field_set(pruned, node), node)
    gone = everything.difference(left).intersection(applied_last)
    return remove_items(merged, node, gone)


def _apply_once(
    live: Object, applied: Object, managers: Managers, key: ManagerKey, *, force: bool,
    schema: KindSchema,
) -> tuple[Object, bool]:  # fmt: skip
    """(the new object, is it the same as the live one?); changes `managers`."""
    last = managers.get(key)
    fields = to_field_set(applied, schema.root).without(ignored_fields(schema, key.subresource))
    managers[key] = Managed(schema.api_version, fields, last.time if last else None)
    merged = merge(live, applied, schema.root)
    new = _prune(merged, managers, key, last, schema.root)
    difference = compare(live, new, schema.root)
    settle(managers, difference, key, force, schema.api_version)
    strip_meta(managers, key)
    return new, difference.same


def _check_applied(applied: Object, schema: KindSchema) -> None:
    if applied.get("metadata", {}).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    try:
        validate(applied, schema.root)
    except TypedError as error:
        name = f"{namespace_of(applied)}/{name_of(applied)}"
        kind = f"{schema.group}/{schema.version}, Kind={schema.kind}"
        raise plain_error(
            f"failed to create typed patch object ({name}; {kind}): {error}"
        ) from error


def _conflict(found: OwnershipConflicts) -> Conflict:
    fields = found.fields
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {key.text()}",
            "field": path_text(path),
        }
        for key, path in fields
    ]
    if len(fields) == 1:
        key, path = fields[0]
        text = f"1 conflict: conflict with {key.text()}: {path_text(path)}"
    else:
        lines: list[str] = []
        for key in dict.fromkeys(key for key, _path in fields):
            lines.append(f"conflicts with {key.text()}:")
            lines += [f"- {path_text(path)}" for other, path in fields if other == key]
        text = f"{len(fields)} conflicts: " + "\n".join(lines)
    return Conflict(f"Apply failed with {text}", details={"causes": causes})


def _last_applied(live: Object, schema: KindSchema) -> FieldSet:
    """The fields of the configuration that client-side apply left in its annotation."""
    text = (live.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    if not isinstance(text, str):
        return NOTHING
    try:
        config = orjson.loads(text)
        validate(config, schema.root)
    except (orjson.JSONDecodeError, TypedError):
        return NOTHING
    return to_field_set(config, schema.root)


def _apply(
    live: Object, applied: Object, managers: Managers, key: ManagerKey, *, force: bool,
    schema: KindSchema,
) -> tuple[Object, Managers, bool]:  # fmt: skip
    """Apply; kubectl may take over from its own client-side apply without force."""
    attempt = dict(managers)
    try:
        new, same = _apply_once(live, applied, attempt, key, force=force, schema=schema)
    except OwnershipConflicts as found:
        allowed = _last_applied(live, schema) if key.manager == KUBECTL else NOTHING
        left = [(who, path) for who, path in found.fields if not allowed.has(path)]
        if left:
            raise _conflict(OwnershipConflicts(left)) from None
        attempt = dict(managers)
        new, same = _apply_once(live, applied, attempt, key, force=True, schema=schema)
    return new, attempt, same


def _sync_last_applied(new: Object, live: Object, applied: Object) -> Object:
    """Keep client-side apply's annotation in step, where it is there at all."""
    if LAST_APPLIED not in (live.get("metadata", {}).get("annotations") or {}):
        return new
    text = orjson.dumps(applied, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    meta = dict(new.get("metadata") or {})
    meta["annotations"] = {**(meta.get("annotations") or {}), LAST_APPLIED: text}
    return {**new, "metadata": meta}


def apply_patch(
    live: Object | None,
    applied: Object,
    *,
    manager: str,
    force: bool,
    schema: KindSchema,
    now: str,
    subresource: str = "",
) -> Object:
    """The object after `manager` applied its configuration; a new object, inputs unchanged.

    `live` is None if there is no object yet. Raises Conflict with one cause per field that another
    manager owns (unless `force`), BadRequest if the configuration carries managedFields, and
    upstream's reasonless 500 if it does not fit the kind's types.
    """
    _check_applied(applied, schema)
    bare = without_books(live) if live is not None else empty_object(schema)
    kept = live.get("metadata", {}).get("managedFields") if live is not None else None
    managers = readable_managers(kept, trusted=True)
    version = schema.api_version
    if live is not None and not managers:
        before = updater(BEFORE_FIRST_APPLY, version, subresource)
        difference = compare(empty_object(schema), bare, schema.root)
        difference = difference.without(ignored_fields(schema, subresource))
        record_update(managers, before, difference, version, now)
    key = applier(manager, subresource)
    new, managers, same = _apply(bare, applied, managers, key, force=force, schema=schema)
    if same:
        new = bare
    elif key in managers:
        managers[key] = Managed(version, managers[key].fields, now)
    if manager == KUBECTL:
        new = _sync_last_applied(new, bare, applied)
    result = clone(new)
    write_books(result, managers)
    if live is not None:
        _settle_timestamps(result, live, schema)
    return result


def _settle_timestamps(new: Object, live: Object, schema: KindSchema) -> None:
    """As keep_timestamps, judging the object as it will be stored (`1000m` is stored as `1`)."""
    try:
        schema.decode(new)
    except DecodeError:
        # The caller decodes the result too and reports this in its own words.
        return
    keep_timestamps(new, live)
