"""Server-side apply, and who manages which field.

`apply_patch` merges an applied configuration into the live object, removes what its manager no
longer applies and nobody else owns, and refuses to change what another manager owns.
`track_update` keeps the books for every other write. Both only see plain dicts; reporting
decode errors of the result and defaulting it is the caller's work. Fields managed through another API version of the kind
are left as they are. Sources: sigs.k8s.io/structured-merge-diff `merge/update.go`,
k8s.io/apimachinery `pkg/util/managedfields`.
"""

from functools import lru_cache
from typing import Any

import orjson

from kapi.api.errors import BadRequest, Conflict, plain_error
from kapi.api.object import Object, clone, metadata, name_of, namespace_of
from kapi.api.patch.field_set import FieldSet, Path, of_paths, path_text
from kapi.api.patch.managers import (
    Managed,
    ManagerKey,
    Managers,
    applier,
    cap_updaters,
    readable_managers,
    strip_meta,
    updater,
    write_managers,
)
from kapi.api.patch.typed import (
    Comparison,
    TypedError,
    compare,
    remove_items,
    to_field_set,
    validate,
    with_named_fields,
)
from kapi.api.patch.typed_merge import merge
from kapi.api.schema import DecodeError, KindSchema
from kapi.api.schema.node import SchemaNode

BEFORE_FIRST_APPLY = "before-first-apply"
KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_NOTHING = FieldSet()
_MAIN_IGNORES = of_paths(("f:status",))
_STATUS_IGNORES = of_paths(
    ("f:spec",), ("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences")
)


class _Conflicts(Exception):
    """Fields that the configuration wants to change and others own."""

    def __init__(self, fields: list[tuple[ManagerKey, Path]]) -> None:
        super().__init__()
        self.fields = fields


def _ignored(schema: KindSchema, subresource: str) -> FieldSet:
    """Fields that this endpoint puts back, so that writing to it owns none of them."""
    if subresource == "status":
        return _STATUS_IGNORES
    if not subresource and schema.status_is_separate:
        return _MAIN_IGNORES
    return _NOTHING


def _bare(obj: Object) -> Object:
    """The object without managedFields; shares everything else."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict) or "managedFields" not in meta:
        return obj
    return {**obj, "metadata": {key: meta[key] for key in meta if key != "managedFields"}}


@lru_cache(maxsize=256)
def _empty_object(schema: KindSchema) -> Object:
    """What an object is before anything is written into it: Go's zero value of the type.

    Shared by all callers, who only compare with it and merge into copies.
    """
    obj: Object = {"apiVersion": schema.api_version, "kind": schema.kind}
    schema.default(obj)
    _add_nulls(obj, schema.root)
    return obj


def _add_nulls(value: dict[str, Any], node: SchemaNode) -> None:
    """Required lists and maps are null, not absent, in the zero value."""
    for name, child in node.properties.items():
        present = value.get(name)
        if isinstance(present, dict):
            _add_nulls(present, child)
        elif name in node.required and name not in value and child.kind in ("array", "map"):
            value[name] = None


# The books ------------------------------------------------------------------------------------


def _settle(
    managers: Managers, difference: Comparison, workflow: ManagerKey, force: bool, version: str
) -> None:
    """Take changed fields from other managers, or raise _Conflicts if that needs force."""
    touched = difference.modified.union(difference.added)
    concerned = touched.union(difference.removed)
    conflicts: list[tuple[ManagerKey, Path]] = []
    taken: Managers = {}
    for key, managed in managers.items():
        if key == workflow or managed.api_version != version or not managed.may_share(concerned):
            continue
        wanted = managed.fields.intersection(touched)
        conflicts += [(key, path) for path in wanted.paths()]
        left = managed.fields.difference(wanted).difference(difference.removed)
        taken[key] = managed.with_fields(left)
    if conflicts and not force:
        raise _Conflicts(sorted(conflicts, key=lambda one: one[0]))
    for key, managed in taken.items():
        if managed.fields.empty:
            del managers[key]
        else:
            managers[key] = managed


def _record_update(
    managers: Managers, key: ManagerKey, difference: Comparison, version: str, now: str
) -> None:
    """Give the fields that an update changed to its manager."""
    before = managers.get(key)
    self_key = ManagerKey("", "", "", "")
    _settle(managers, difference, self_key, True, version)
    fields = difference.modified.union(difference.added)
    managers[self_key] = Managed(version, fields)
    strip_meta(managers, self_key)
    gained = managers.pop(self_key, None)
    if gained is None or gained.fields.empty:
        return
    previous = managers.get(key)
    joined = gained.fields.union(previous.fields) if previous else gained.fields
    managers[key] = Managed(version, joined, now)
    if before is None:
        cap_updaters(managers)


def _write(obj: Object, managers: Managers) -> None:
    meta = metadata(obj)
    entries = write_managers(managers)
    if entries:
        meta["managedFields"] = entries
    else:
        meta.pop("managedFields", None)


def _is_reset(entries: Any) -> bool:
    """A list with one empty entry asks to forget all managers."""
    return isinstance(entries, list) and bool(entries) and entries[0] == {}


def _managers_of_update(live: Object | None, new: Object, subresource: str) -> Managers:
    """The books to go on from: the request's own if it brings good ones, else the live object's."""
    given = metadata(new).get("managedFields")
    kept = live.get("metadata", {}).get("managedFields") if live is not None else None
    if not subresource and given != kept:
        if _is_reset(given):
            return {}
        found = readable_managers(given)
        if found:
            return found
    return readable_managers(kept, trusted=True)


def track_update(
    live: Object | None,
    new: Object,
    *,
    manager: str,
    schema: KindSchema,
    now: str,
    subresource: str = "",
    operation: str = "Update",
) -> None:
    """Set `new`'s managedFields after a write that was not an apply.

    `live` is the object before the write, None for a create; `now` is a metav1.Time. An object
    that has no managers stays without until something is applied to it.
    """
    managers = _managers_of_update(live, new, subresource)
    if live is not None and not managers:
        metadata(new).pop("managedFields", None)
        return
    old = _bare(live) if live is not None else _empty_object(schema)
    difference = compare(old, _bare(new), schema.root).without(_ignored(schema, subresource))
    version = schema.api_version
    key = ManagerKey(manager, operation, version, subresource)
    _record_update(managers, key, difference, version, now)
    _write(new, managers)
    if live is not None:
        keep_timestamps(new, live)


def _timeless(entries: Any) -> list[dict[str, Any]]:
    return [{key: one[key] for key in one if key != "time"} for one in entries or ()]


def _content(obj: Object) -> Object:
    """What a write must change to be more than a new timestamp in the books."""
    meta = {
        key: value
        for key, value in obj.get("metadata", {}).items()
        if key not in ("managedFields", "resourceVersion")
    }
    return {**obj, "metadata": meta}


def keep_timestamps(new: Object, live: Object) -> None:
    """Put the old managedFields back where nothing but their times differs.

    A write that changes nothing must not become one. Source: k8s.io/apiserver
    `pkg/endpoints/handlers/fieldmanager/equality.go`.
    """
    old_entries = live.get("metadata", {}).get("managedFields")
    new_entries = metadata(new).get("managedFields")
    if old_entries == new_entries or _timeless(old_entries) != _timeless(new_entries):
        return
    if _content(new) == _content(live):
        metadata(new)["managedFields"] = clone(old_entries)


# Apply ----------------------------------------------------------------------------------------


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

    owned = _NOTHING
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
    fields = to_field_set(applied, schema.root).without(_ignored(schema, key.subresource))
    managers[key] = Managed(schema.api_version, fields, last.time if last else None)
    merged = merge(live, applied, schema.root)
    new = _prune(merged, managers, key, last, schema.root)
    difference = compare(live, new, schema.root)
    _settle(managers, difference, key, force, schema.api_version)
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


def _conflict(found: _Conflicts) -> Conflict:
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
        return _NOTHING
    try:
        config = orjson.loads(text)
        validate(config, schema.root)
    except (orjson.JSONDecodeError, TypedError):
        return _NOTHING
    return to_field_set(config, schema.root)


def _apply(
    live: Object, applied: Object, managers: Managers, key: ManagerKey, *, force: bool,
    schema: KindSchema,
) -> tuple[Object, Managers, bool]:  # fmt: skip
    """Apply; kubectl may take over from its own client-side apply without force."""
    attempt = dict(managers)
    try:
        new, same = _apply_once(live, applied, attempt, key, force=force, schema=schema)
    except _Conflicts as found:
        allowed = _last_applied(live, schema) if key.manager == KUBECTL else _NOTHING
        left = [(who, path) for who, path in found.fields if not allowed.has(path)]
        if left:
            raise _conflict(_Conflicts(left)) from None
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
    bare = _bare(live) if live is not None else _empty_object(schema)
    kept = live.get("metadata", {}).get("managedFields") if live is not None else None
    managers = readable_managers(kept, trusted=True)
    version = schema.api_version
    if live is not None and not managers:
        before = updater(BEFORE_FIRST_APPLY, version, subresource)
        difference = compare(_empty_object(schema), bare, schema.root)
        difference = difference.without(_ignored(schema, subresource))
        _record_update(managers, before, difference, version, now)
    key = applier(manager, subresource)
    new, managers, same = _apply(bare, applied, managers, key, force=force, schema=schema)
    if same:
        new = bare
    elif key in managers:
        managers[key] = Managed(version, managers[key].fields, now)
    if manager == KUBECTL:
        new = _sync_last_applied(new, bare, applied)
    result = clone(new)
    _write(result, managers)
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
