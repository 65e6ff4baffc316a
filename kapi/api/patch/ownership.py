"""Who owns which field, and how every write but apply changes that.

Holds the steps that `apply` shares: taking fields over, recording an update, writing
metadata.managedFields. Sources: sigs.k8s.io/structured-merge-diff `merge/update.go`,
k8s.io/apimachinery `pkg/util/managedfields`.
"""

from functools import lru_cache
from typing import Any

from kapi.api.object import Object, clone, metadata
from kapi.api.patch.field_set import FieldSet, Path, of_paths
from kapi.api.patch.managers import (
    Managed,
    ManagerKey,
    Managers,
    cap_updaters,
    readable_managers,
    strip_meta,
    write_managers,
)
from kapi.api.patch.typed import Comparison, compare
from kapi.api.schema import KindSchema
from kapi.api.schema.node import SchemaNode

NOTHING = FieldSet()
_MAIN_IGNORES = of_paths(("f:status",))
_STATUS_IGNORES = of_paths(
    ("f:spec",), ("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences")
)
_CUSTOM_STATUS_IGNORES = of_paths(("f:spec",), ("f:metadata",))
# The endpoints that put more back than most: nobody owns what a certificate request asks for.
_SPECIAL_IGNORES = {
    ("CertificateSigningRequest", ""): of_paths(("f:spec",), ("f:status",)),
    ("CertificateSigningRequest", "approval"): of_paths(("f:spec",)),
}

# Pointers that Go writes although they are nil: (field, pointer in it) by kind.
_WRITTEN_POINTERS = {"TokenRequest": (("spec", "boundObjectRef"),)}


class OwnershipConflicts(Exception):
    """Fields that the configuration wants to change and others own."""

    def __init__(self, fields: list[tuple[ManagerKey, Path]]) -> None:
        super().__init__()
        self.fields = fields


def ignored_fields(schema: KindSchema, subresource: str) -> FieldSet:
    """Fields that this endpoint puts back, so that writing to it owns none of them."""
    special = _SPECIAL_IGNORES.get((schema.kind, subresource))
    if special is not None:
        return special
    if subresource == "status":
        return _CUSTOM_STATUS_IGNORES if schema.is_custom else _STATUS_IGNORES
    if not subresource and schema.status_is_separate:
        return _MAIN_IGNORES
    return NOTHING


def without_books(obj: Object) -> Object:
    """The object without managedFields; shares everything else."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict) or "managedFields" not in meta:
        return obj
    return {**obj, "metadata": {key: meta[key] for key in meta if key != "managedFields"}}


@lru_cache(maxsize=256)
def empty_object(schema: KindSchema) -> Object:
    """What an object is before anything is written into it: Go's zero value of the type.

    Custom kinds have no Go type: nothing is there, and defaults belong to whoever writes first.
    Shared by all callers, who only compare with it and merge into copies.
    """
    obj: Object = {"apiVersion": schema.api_version, "kind": schema.kind}
    if not schema.is_custom:
        schema.default(obj)
        _add_nulls(obj, schema.root)
        for struct, pointer in _WRITTEN_POINTERS.get(schema.kind, ()):
            obj.setdefault(struct, {})[pointer] = None
    return obj


# Required by validation, but left out in Go where it is empty.
_OMITTED_LISTS = frozenset((("ValidatingAdmissionPolicyBindingSpec", "validationActions"),))


def _is_null_when_empty(node: SchemaNode, name: str, child: SchemaNode) -> bool:
    return (
        name in node.required
        and child.kind in ("array", "map")
        and (node.struct, name) not in _OMITTED_LISTS
    )


def _add_nulls(value: dict[str, Any], node: SchemaNode) -> None:
    """Required lists and maps are null, not absent, in the zero value."""
    for name, child in node.properties.items():
        present = value.get(name)
        if isinstance(present, dict):
            _add_nulls(present, child)
        elif _is_null_when_empty(node, name, child) and name not in value:
            value[name] = None


def settle(
    managers: Managers, difference: Comparison, workflow: ManagerKey, force: bool, version: str
) -> None:
    """Take changed fields from other managers, or raise OwnershipConflicts if that needs force."""
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
        raise OwnershipConflicts(sorted(conflicts, key=lambda one: one[0]))
    for key, managed in taken.items():
        if managed.fields.empty:
            del managers[key]
        else:
            managers[key] = managed


def record_update(
    managers: Managers, key: ManagerKey, difference: Comparison, version: str, now: str
) -> None:
    """Give the fields that an update changed to its manager."""
    before = managers.get(key)
    self_key = ManagerKey("", "", "", "")
    settle(managers, difference, self_key, True, version)
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


def write_books(obj: Object, managers: Managers) -> None:
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
    old = without_books(live) if live is not None else empty_object(schema)
    difference = compare(old, without_books(new), schema.root).without(
        ignored_fields(schema, subresource)
    )
    version = schema.api_version
    key = ManagerKey(manager, operation, version, subresource)
    record_update(managers, key, difference, version, now)
    write_books(new, managers)
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
