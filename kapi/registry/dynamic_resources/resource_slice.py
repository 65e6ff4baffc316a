"""ResourceSlice: devices that a driver offers.

Source: k8s.io/kubernetes `pkg/registry/resource/resourceslice` and
`pkg/apis/resource/validation/validation.go`.
"""

import re
from datetime import datetime
from typing import Any

from kapi import env
from kapi.api.errors import FieldError, invalid, required, too_long
from kapi.api.names import label_value_errors, qualified_name_errors
from kapi.api.object import Object, name_of
from kapi.registry.core.scheduling_validation import node_selector
from kapi.registry.dynamic_resources import shared
from kapi.registry.fields import complaints, dns_label, dns_subdomain, immutable, one_of
from kapi.registry.internal_form import internal_form
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

_MOST_DEVICES = 128
_MOST_COUNTER_SETS = 8
_MOST_TAINTS = 16
_LONGEST_STRING = 64
_LONGEST_POOL_NAME = 253
_NODE_FIELDS = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
# Source: the grammar at semver.org.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
)
_VALUES = ("int", "bool", "string", "version")
_ATTRIBUTE = {
    "Attribute": "IntValue:? BoolValue:? StringValue:? VersionValue:? IntValues:? BoolValues:? "
    "StringValues:? VersionValues:?"
}
_SPEC = "=api.resource.v1.ResourceSliceSpec"


class ResourceSliceStrategy(Strategy):
    """Driver, pool and node of a slice never change."""

    has_generation = True
    returns_deleted_object = True
    unknown_field = "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {field}"
    columns = (
        NAME_COLUMN,
        Column("Node", about=f"{_SPEC}.nodeName"),
        Column("Driver", about=f"{_SPEC}.driver"),
        Column("Pool", about="=api.resource.v1.ResourcePool.name"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        for device in obj.setdefault("spec", {}).get("devices") or ():
            for taint in device.get("taints") or ():
                taint.setdefault("timeAdded", env.timestamp())

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = shared.driver_name(spec.get("driver"), "spec.driver")
        errors += _pool(spec.get("pool") or {}, "spec.pool")
        errors += _node(spec)
        devices, counters = spec.get("devices") or [], spec.get("sharedCounters") or []
        if devices and counters:
            text = "only one of `sharedCounters` or `devices` is allowed"
            errors.append(invalid("spec", "", text))
        errors += shared.each(devices, _MOST_DEVICES, _device, "spec.devices", "name")
        return errors + shared.each(
            counters, _MOST_COUNTER_SETS, _counter_set, "spec.sharedCounters", "name"
        )

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        new, before = obj.get("spec") or {}, old.get("spec") or {}
        errors = self.validate(obj)
        errors += immutable(new.get("driver"), before.get("driver"), "spec.driver")
        pool, old_pool = new.get("pool") or {}, before.get("pool") or {}
        errors += immutable(pool.get("name"), old_pool.get("name"), "spec.pool.name")
        for field in _NODE_FIELDS:
            errors += immutable(new.get(field), before.get(field), f"spec.{field}")
        return errors

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        spec = obj.get("spec") or {}
        fields = ("nodeName", "driver")
        return {f"spec.{field}": spec.get(field) or "" for field in fields}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        pool = (spec.get("pool") or {}).get("name") or ""
        return [
            name_of(obj), spec.get("nodeName") or "", spec.get("driver") or "", pool, age(obj, now)
        ]  # fmt: skip


def _pool(pool: Object, path: str) -> list[FieldError]:
    name = str(pool.get("name") or "")
    errors: list[FieldError] = []
    if not name:
        errors.append(required(f"{path}.name"))
    elif len(name) > _LONGEST_POOL_NAME:
        errors.append(too_long(f"{path}.name", _LONGEST_POOL_NAME))
    else:
        for part in name.split("/"):
            errors += dns_subdomain(part, f"{path}.name")
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        text = "must be greater than zero"
        errors.append(invalid(f"{path}.resourceSliceCount", count, text))
    if generation < 0:
        text = "must be greater than or equal to zero"
        errors.append(invalid(f"{path}.generation", generation, text))
    return errors


def _node(spec: Object) -> list[FieldError]:
    """Where the devices are: exactly one way of saying it."""
    errors: list[FieldError] = []
    given = [
        field
        for field in _NODE_FIELDS
        if spec.get(field) is not None and (field != "nodeName" or spec[field])
    ]
    for field in ("allNodes", "perDeviceNodeSelection"):
        if field in given and spec[field] is not True:
            errors.append(
                invalid(f"spec.{field}", spec[field], "must be either unset or set to true")
            )
            given.remove(field)
    if "nodeName" in given:
        errors += dns_subdomain(spec["nodeName"], "spec.nodeName")
    if "nodeSelector" in given:
        errors += node_selector(spec["nodeSelector"], "spec.nodeSelector")
        terms = spec["nodeSelector"].get("nodeSelectorTerms") or []
        if len(terms) != 1:
            path = "spec.nodeSelector.nodeSelectorTerms"
            errors.append(invalid(path, terms, "must have exactly one node selector term"))
    rule = f"exactly one of {', '.join(f'`{field}`' for field in _NODE_FIELDS)} is required"
    if not given:
        errors.append(required("spec", rule))
    elif len(given) > 1:
        shown = f"{{{', '.join(f'`{field}`' for field in given)}}}"
        errors.append(invalid("spec", shown, f"{rule}, but multiple fields are set"))
    return errors


def _device(device: Object, path: str) -> list[FieldError]:
    errors = dns_label(device.get("name"), f"{path}.name")
    for key, value in sorted((device.get("attributes") or {}).items()):
        errors += shared.qualified_identifier(key, f"{path}.attributes")
        errors += _attribute(value or {}, f"{path}.attributes[{key}]")
    for key in sorted(device.get("capacity") or {}):
        errors += shared.qualified_identifier(key, f"{path}.capacity")
    return errors + shared.each(device.get("taints"), _MOST_TAINTS, _taint, f"{path}.taints")


def _attribute(value: Object, path: str) -> list[FieldError]:
    """Exactly one typed value."""
    given = [field for field in _VALUES if value.get(field) is not None]
    text = "exactly one value must be specified"
    if not given:
        return [invalid(path, "", text)]
    if len(given) > 1:
        named = {f"{field}Value": value[field] for field in given}
        return [invalid(path, internal_form(named, "Attribute", _ATTRIBUTE), text)]
    field = given[0]
    own, content = f"{path}.{field}", value[field]
    if field in ("string", "version") and len(content) > _LONGEST_STRING:
        return [too_long(own, _LONGEST_STRING)]
    if field == "version" and not _SEMVER.fullmatch(content):
        return [invalid(own, content, "must be a string compatible with semver.org spec 2.0.0")]
    return []


def _taint(taint: Object, path: str) -> list[FieldError]:
    key, value = taint.get("key") or "", taint.get("value") or ""
    errors = complaints(f"{path}.key", key, qualified_name_errors(key))
    if value:
        errors += complaints(f"{path}.value", value, label_value_errors(value))
    effect = taint.get("effect") or ""
    if not effect:
        return [*errors, required(f"{path}.effect")]
    return errors + one_of(effect, shared.EFFECTS, f"{path}.effect")


def _counter_set(item: Object, path: str) -> list[FieldError]:
    errors = dns_label(item.get("name"), f"{path}.name")
    counters = item.get("counters") or {}
    if not counters:
        errors.append(required(f"{path}.counters"))
    for key in sorted(counters):
        errors += dns_label(key, f"{path}.counters")
    return errors
