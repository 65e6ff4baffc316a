"""CSIDriver, CSINode, CSIStorageCapacity and VolumeAttachment.

Source: k8s.io/kubernetes `pkg/apis/storage/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, duplicate, forbidden, invalid, required
from kapi.api.names import dns_subdomain_errors, qualified_name_errors
from kapi.api.object import Object, name_of
from kapi.api.quantity import stored_quantity
from kapi.api.selectors import validate_label_selector
from kapi.registry.cells import UNSET
from kapi.registry.core.quantities import amount
from kapi.registry.fields import (
    IMMUTABLE,
    NOT_NEGATIVE,
    complaints,
    dns_subdomain,
    immutable,
    not_negative,
    one_of,
)
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

_FS_GROUP = ("File", "None", "ReadWriteOnceWithFSType")
_MODES = ("Persistent", "Ephemeral")
_TEN_MINUTES = 600
_LONGEST_TOKEN = 1 << 32
_SHORTEST_PERIOD = 10
_DRIVER_DEFAULTS = (
    ("attachRequired", True),
    ("podInfoOnMount", False),
    ("storageCapacity", False),
    ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
    ("requiresRepublish", False),
    ("seLinuxMount", False),
)


class CSIDriverStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/storage/csidriver/strategy.go`."""

    has_generation = True
    first_generation = 0
    allow_unconditional_update = False
    returns_deleted_object = True
    columns = (
        NAME_COLUMN,
        Column("AttachRequired", "boolean", about="=api.storage.v1.CSIDriverSpec.attachRequired"),
        Column("PodInfoOnMount", "boolean", about="=api.storage.v1.CSIDriverSpec.podInfoOnMount"),
        Column("StorageCapacity", "boolean", about="=api.storage.v1.CSIDriverSpec.storageCapacity"),
        Column("TokenRequests", about="=api.storage.v1.CSIDriverSpec.tokenRequests"),
        Column(
            "RequiresRepublish", "boolean", about="=api.storage.v1.CSIDriverSpec.requiresRepublish"
        ),
        Column("Modes", about="=api.storage.v1.CSIDriverSpec.volumeLifecycleModes"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        for field, value in _DRIVER_DEFAULTS:
            if spec.get(field) is None:
                spec[field] = value
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = one_of(spec.get("fsGroupPolicy"), _FS_GROUP, "spec.fsGroupPolicy")
        errors += _token_requests(spec.get("tokenRequests") or [])
        for mode in spec.get("volumeLifecycleModes") or ():
            errors += one_of(mode, _MODES, "spec.volumeLifecycleModes")
        period = spec.get("nodeAllocatableUpdatePeriodSeconds")
        if period is not None and period < _SHORTEST_PERIOD:
            text = f"must be greater than or equal to {_SHORTEST_PERIOD} seconds"
            path = "spec.nodeAllocatableUpdatePeriodSeconds"
            errors.append(invalid(path, period, text))
        return errors

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        pairs = (
            ("attachRequired", "spec.attachedRequired"),
            ("volumeLifecycleModes", "spec.volumeLifecycleModes"),
        )
        errors = self.validate(obj)
        for field, path in pairs:
            errors += immutable(spec.get(field), before.get(field), path)
        return errors

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        spec = obj.get("spec") or {}
        if spec.get("tokenRequests") and spec.get("serviceAccountTokenInSecrets") is None:
            return [
                "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set "
                "to true to prevent possible logging of tokens in volume attributes"
            ]
        return []

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        tokens = [str(item.get("audience") or "") for item in spec.get("tokenRequests") or ()]
        return [
            name_of(obj),
            bool(spec.get("attachRequired")),
            bool(spec.get("podInfoOnMount")),
            bool(spec.get("storageCapacity")),
            ",".join(tokens) if tokens else UNSET,
            bool(spec.get("requiresRepublish")),
            ",".join(spec.get("volumeLifecycleModes") or ()),
            age(obj, now),
        ]


def _token_requests(requests: list[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, item in enumerate(requests):
        path = f"spec.tokenRequests[{index}]"
        audience = str(item.get("audience") or "")
        if audience in seen:
            errors.append(duplicate(f"{path}.audience", audience))
            continue
        seen.add(audience)
        seconds = item.get("expirationSeconds")
        if seconds is None:
            continue
        own = f"{path}.expirationSeconds"
        if seconds < _TEN_MINUTES:
            text = "may not specify a duration less than 10 minutes"
            errors.append(invalid(own, seconds, text))
        if seconds > _LONGEST_TOKEN:
            text = "may not specify a duration larger than 2^32 seconds"
            errors.append(invalid(own, seconds, text))
    return errors


class CSINodeStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/storage/csinode/strategy.go`."""

    columns = (
        NAME_COLUMN,
        Column(
            "Drivers",
            "integer",
            about="Drivers indicates the number of CSI drivers registered on the node",
        ),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        for driver in obj.setdefault("spec", {}).get("drivers") or ():
            driver["topologyKeys"] = driver.get("topologyKeys") or None

    def canonicalize(self, obj: Object) -> None:
        """No drivers are stored as null; nobody owns that."""
        obj["spec"]["drivers"] = obj["spec"].get("drivers") or None

    def validate(self, obj: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
            path, name = f"spec.drivers[{index}]", str(driver.get("name") or "")
            errors += _node_driver(driver, path)
            if name in seen:
                errors.append(duplicate(f"{path}.name", name))
            seen.add(name)
        return errors

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        """A driver that stays may only change how many volumes it can take."""
        before = {item.get("name"): item for item in (old.get("spec") or {}).get("drivers") or ()}
        errors: list[FieldError] = []
        for driver in (obj.get("spec") or {}).get("drivers") or ():
            known = before.get(driver.get("name"))
            if known is None:
                continue
            if any(driver.get(field) != known.get(field) for field in ("nodeID", "topologyKeys")):
                shown = {
                    "Name": driver.get("name"),
                    "NodeID": driver.get("nodeID"),
                    "TopologyKeys": driver.get("topologyKeys"),
                    "Allocatable": None,
                }
                errors.append(invalid("spec.drivers", shown, IMMUTABLE))
        return errors or self.validate(obj)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), len((obj.get("spec") or {}).get("drivers") or ()), age(obj, now)]


def _node_driver(driver: Object, path: str) -> list[FieldError]:
    name = str(driver.get("name") or "")
    if not name:
        errors = [required(f"{path}.name")]
    else:
        lower = name.lower()
        errors = complaints(f"{path}.name", name, dns_subdomain_errors(lower))
    if not driver.get("nodeID"):
        errors.append(required(f"{path}.nodeID"))
    count = (driver.get("allocatable") or {}).get("count")
    errors += not_negative(count, f"{path}.allocatable.count")
    keys = driver.get("topologyKeys") or []
    for index, key in enumerate(keys):
        if not key:
            errors.append(required(path))
        if key in keys[:index]:
            errors.append(duplicate(path, key))
        errors += complaints(path, key, qualified_name_errors(key))
    return errors


class CSIStorageCapacityStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/storage/csistoragecapacity/strategy.go`."""

    allow_unconditional_update = False

    def default(self, obj: Object) -> None:
        for field in ("capacity", "maximumVolumeSize"):
            if obj.get(field) is not None:
                obj[field] = stored_quantity(str(obj[field]))

    def validate(self, obj: Object) -> list[FieldError]:
        errors = validate_label_selector(obj.get("nodeTopology"), "nodeTopology")
        errors += dns_subdomain(obj.get("storageClassName"), "storageClassName")
        capacity = obj.get("capacity")
        if capacity is not None and amount(capacity) < 0:
            errors.append(invalid("capacity", capacity, NOT_NEGATIVE))
        return errors

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        errors = self.validate(obj)
        for field in ("nodeTopology", "storageClassName"):
            errors += immutable(obj.get(field), old.get(field), field)
        return errors


class VolumeAttachmentStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/storage/volumeattachment/strategy.go`."""

    has_status = True
    returns_deleted_object = True
    columns = (
        NAME_COLUMN,
        Column("Attacher", format="name", about="=api.storage.v1.VolumeAttachmentSpec.attacher"),
        Column("PV", about="=api.storage.v1.VolumeAttachmentSource.persistentVolumeName"),
        Column("Node", about="=api.storage.v1.VolumeAttachmentSpec.nodeName"),
        Column("Attached", "boolean", about="=api.storage.v1.VolumeAttachmentStatus.attached"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {}).setdefault("source", {})

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"attached": False}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        attacher = str(spec.get("attacher") or "")
        path = "spec.attacher"
        if not attacher:
            errors = [required(path)]
        else:
            errors = complaints(path, attacher, dns_subdomain_errors(attacher.lower()))
        errors += _attachment_source(spec.get("source") or {})
        return errors + dns_subdomain(spec.get("nodeName"), "spec.nodeName")

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        if spec == (old.get("spec") or {}):
            return []
        source = spec.get("source") or {}
        shown = {
            "Attacher": spec.get("attacher") or "",
            "Source": {
                "PersistentVolumeName": source.get("persistentVolumeName"),
                "InlineVolumeSpec": source.get("inlineVolumeSpec"),
            },
            "NodeName": spec.get("nodeName") or "",
        }
        return [*self.validate(obj), invalid("spec", shown, IMMUTABLE)]

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        return [
            name_of(obj),
            spec.get("attacher") or "",
            (spec.get("source") or {}).get("persistentVolumeName") or "",
            spec.get("nodeName") or "",
            bool((obj.get("status") or {}).get("attached")),
            age(obj, now),
        ]


def _attachment_source(source: Object) -> list[FieldError]:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    path = "spec.source"
    one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and name is None:
        return [required(path, one)]
    if inline is not None and name is not None:
        return [forbidden(path, one)]
    if name is not None:
        own = f"{path}.persistentVolumeName"
        errors = [] if name else [required(own, "must specify non empty persistentVolumeName")]
        return errors + complaints(own, name, dns_subdomain_errors(name))
    own = f"{path}.inlineVolumeSpec"
    errors = []
    if (inline or {}).get("capacity"):
        text = "may not be specified in the context of inline volumes"
        errors.append(forbidden(f"{own}.capacity", text))
    if (inline or {}).get("csi") is None:
        text = "has to be specified in the context of inline volumes"
        errors.append(required(f"{own}.csi", text))
    return errors
