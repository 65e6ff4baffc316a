"""The managers of an object's fields: metadata.managedFields read, changed and written.

Source: k8s.io/apimachinery `pkg/util/managedfields/internal` (`managedfields.go`,
`capmanagers.go`, `stripmeta.go`).
"""

from typing import Any, NamedTuple

import orjson

from kapi.api.patch.field_set import FieldsError, FieldSet, from_fields_v1, of_paths

UPDATE_MANAGERS_MAX = 10
OLD_UPDATES = "ancient-changes"

_META = "f:metadata"
STRIPPED = of_paths(
    ("f:apiVersion",),
    ("f:kind",),
    (_META,),
    *(
        (_META, f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ),
)
"""Fields that nobody owns, since the server decides them or they name the object."""


class ManagerKey(NamedTuple):
    """Who manages; an applier is the same one whatever version it applies."""

    manager: str
    operation: str
    api_version: str
    subresource: str

    def text(self) -> str:
        """How conflict messages name the manager."""
        shown = f"{orjson.dumps(self.manager).decode()}"
        if self.subresource:
            shown += f" with subresource {orjson.dumps(self.subresource).decode()}"
        if self.operation == "Update":
            shown += f" using {self.api_version}"
        return shown


class Managed:
    """What one manager owns.

    Entries that come from the store keep their wire form and are read only if a change touches
    them: most writes touch few of an object's managers.
    """

    __slots__ = ("_fields", "_wire", "api_version", "time")

    def __init__(
        self,
        api_version: str,
        fields: FieldSet | None = None,
        time: str | None = None,
        wire: dict[str, Any] | None = None,
    ) -> None:
        self.api_version = api_version
        self.time = time
        self._fields = fields
        self._wire = wire

    @property
    def fields(self) -> FieldSet:
        if self._fields is None:
            self._fields = from_fields_v1(self._wire or {})
        return self._fields

    @property
    def wire(self) -> dict[str, Any]:
        return self._wire if self._wire is not None else self.fields.to_fields_v1()

    def with_fields(self, fields: FieldSet) -> "Managed":
        return Managed(self.api_version, fields, self.time)

    def may_share(self, other: FieldSet) -> bool:
        """Could it have a field of the other set? False is certain."""
        mine = self._wire if self._fields is None else None
        if mine is None:
            mine = dict.fromkeys((*self.fields.members, *self.fields.children))
        return any(element in mine for element in (*other.members, *other.children))


Managers = dict[ManagerKey, Managed]


def applier(manager: str, subresource: str) -> ManagerKey:
    return ManagerKey(manager, "Apply", "", subresource)


def updater(manager: str, api_version: str, subresource: str) -> ManagerKey:
    return ManagerKey(manager, "Update", api_version, subresource)


def read_managers(entries: Any, *, trusted: bool = False) -> Managers:
    """Raises FieldsError if an entry is malformed; those of the store are trusted not to be."""
    found: Managers = {}
    for entry in entries or ():
        operation = entry.get("operation", "")
        if operation not in ("Apply", "Update"):
            raise FieldsError(f"operation is {operation!r}")
        if entry.get("fieldsType", "FieldsV1") != "FieldsV1":
            raise FieldsError(f"fieldsType is {entry['fieldsType']!r}")
        api_version = entry.get("apiVersion", "")
        key = ManagerKey(
            entry.get("manager", ""),
            operation,
            "" if operation == "Apply" else api_version,
            entry.get("subresource", ""),
        )
        wire = entry.get("fieldsV1") or {}
        fields = None if trusted else from_fields_v1(wire)
        found[key] = Managed(api_version, fields, entry.get("time"), wire)
    return found


def readable_managers(entries: Any, *, trusted: bool = False) -> Managers:
    """As read_managers; malformed entries count as none at all."""
    try:
        return read_managers(entries, trusted=trusted)
    except FieldsError:
        return {}


def write_managers(managers: Managers) -> list[dict[str, Any]]:
    """Entries in upstream's order: appliers first, then by time, then by name."""
    ordered = sorted(
        managers.items(),
        key=lambda item: (
            item[0].operation,
            item[1].time or "",
            item[0].manager,
            item[1].api_version,
            item[0].subresource,
        ),
    )
    return [_entry(key, managed) for key, managed in ordered]


def _entry(key: ManagerKey, managed: Managed) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "manager": key.manager,
        "operation": key.operation,
        "apiVersion": managed.api_version,
        "time": managed.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": managed.wire,
        "subresource": key.subresource,
    }
    return {name: value for name, value in entry.items() if value not in (None, "")}


def strip_meta(managers: Managers, key: ManagerKey) -> None:
    """Take the fields that nobody owns from one manager; drop the manager if nothing is left."""
    managed = managers.get(key)
    if managed is None:
        return
    fields = managed.fields.difference(STRIPPED)
    if fields.empty:
        del managers[key]
    else:
        managers[key] = managed.with_fields(fields)


def cap_updaters(managers: Managers) -> None:
    """Merge the oldest updaters of a version once there are more than ten."""
    updaters = sorted(
        (key for key in managers if key.operation == "Update"),
        key=lambda key: (managers[key].time or "", key),
    )
    count = len(updaters)
    first_of_version: dict[str, ManagerKey] = {}
    for key in updaters:
        if count <= UPDATE_MANAGERS_MAX:
            return
        managed = managers[key]
        version = managed.api_version
        bucket = updater(OLD_UPDATES, version, "")
        first = first_of_version.get(version)
        if first is None:
            first_of_version[version] = key
            continue
        if bucket not in managers:
            managers[bucket] = managers.pop(first)
        if key != bucket:
            joined = managed.fields.union(managers[bucket].fields)
            del managers[key]
            managers[bucket] = Managed(version, joined, managed.time)
        count -= 1
