"""Node: zero values of its status, roles and conditions in the table."""

import ipaddress
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, duplicate, forbidden, invalid, required
from kapi.api.names import label_value_errors, qualified_name_errors
from kapi.api.object import Object, condition_of, labels_of, name_of
from kapi.registry.cells import NONE, UNKNOWN
from kapi.registry.core.quantities import canonical_list
from kapi.registry.core.resource_validation import resource_value
from kapi.registry.fields import CIDR_TEXT, complaints, one_of
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"

_INFO_FIELDS = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def _taints(taints: list[Object], path: str) -> list[FieldError]:
    """The path says metadata, where taints were before they became a field."""
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        own = f"{path}[{index}]"
        key, value = str(taint.get("key") or ""), str(taint.get("value") or "")
        effect = str(taint.get("effect") or "")
        errors += complaints(f"{own}.key", key, qualified_name_errors(key))
        errors += complaints(f"{own}.value", value, label_value_errors(value))
        if not effect:
            errors.append(required(f"{own}.effect"))
        else:
            errors += one_of(effect, _EFFECTS, f"{own}.effect")
        if (key, effect) in seen:
            shown = {
                "Key": key,
                "Value": value,
                "Effect": effect,
                "TimeAdded": taint.get("timeAdded"),
            }
            found = duplicate(own, shown)
            text = f"{found.message}: taints must be unique by key and effect pair"
            errors.append(FieldError(found.reason, own, text))
        seen.add((key, effect))
    return errors


def _resources(status: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for field in ("capacity", "allocatable"):
        for name, quantity in sorted((status.get(field) or {}).items()):
            errors += resource_value(name, quantity, f"status.{field}.{name}")
    return errors


def _pod_cidrs(spec: Object, path: str) -> list[FieldError]:
    cidrs = spec.get("podCIDRs") or []
    errors: list[FieldError] = []
    versions = []
    for index, text in enumerate(cidrs):
        try:
            versions.append(ipaddress.ip_network(text, strict=False).version)
        except ValueError:
            errors.append(invalid(f"{path}[{index}]", text, CIDR_TEXT))
    if len(cidrs) > 1 and not errors and len(set(versions)) < len(versions):
        text = "may specify no more than one CIDR for each IP family"
        errors.append(invalid(path, cidrs, text))
    return errors


class NodeStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/node/strategy.go`."""

    columns = (
        NAME_COLUMN,
        Column("Status", about="The status of the node"),
        Column("Roles", about="The roles of the node"),
        AGE_COLUMN,
        Column("Version", about="=api.core.v1.NodeSystemInfo.kubeletVersion"),
        Column("Internal-IP", priority=1, about="=api.core.v1.NodeStatus.addresses"),
        Column("External-IP", priority=1, about="=api.core.v1.NodeStatus.addresses"),
        Column("OS-Image", priority=1, about="=api.core.v1.NodeSystemInfo.osImage"),
        Column("Kernel-Version", priority=1, about="=api.core.v1.NodeSystemInfo.kernelVersion"),
        Column(
            "Container-Runtime",
            priority=1,
            about="=api.core.v1.NodeSystemInfo.containerRuntimeVersion",
        ),
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("podCIDR"):
            spec["podCIDRs"] = [spec["podCIDR"], *(spec.get("podCIDRs") or [])[1:]]
        elif spec.get("podCIDRs"):
            spec["podCIDR"] = spec["podCIDRs"][0]
        status = obj.setdefault("status", {})
        for field in ("capacity", "allocatable"):
            if status.get(field):
                canonical_list(status[field])
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])
        endpoint = status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {})
        endpoint.setdefault("Port", 0)
        info = status.setdefault("nodeInfo", {})
        for field in _INFO_FIELDS:
            info.setdefault(field, "")

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        """Dynamic kubelet configuration is gone; its field is not kept."""
        obj["spec"].pop("configSource", None)

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        return [
            *_taints(spec.get("taints") or [], "metadata.taints"),
            *_resources(obj.get("status") or {}),
            *_pod_cidrs(spec, "spec.podCIDRs"),
        ]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        # Upstream checks taints twice on update, and a Status carries the causes of both.
        errors = 2 * _taints(spec.get("taints") or [], "metadata.taints")
        errors += _pod_cidrs(spec, "spec.podCIDRs")
        for field in ("podCIDRs", "providerID"):
            if before.get(field) and spec.get(field) != before.get(field):
                name = "podCIDR" if field == "podCIDRs" else field
                text = f'node updates may not change {name} except from "" to valid'
                errors.append(forbidden(f"spec.{field}", text))
        return errors

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        status = obj.get("status") or {}
        errors = _resources(status)
        seen: list[Object] = []
        for index, address in enumerate(status.get("addresses") or ()):
            if address in seen:
                shown = {"Type": address.get("type"), "Address": address.get("address")}
                errors.append(duplicate(f"status.addresses[{index}]", shown))
            seen.append(address)
        return errors

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        unschedulable = (obj.get("spec") or {}).get("unschedulable")
        return {"spec.unschedulable": "true" if unschedulable else "false"}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        status = obj.get("status") or {}
        info = status.get("nodeInfo") or {}
        return [
            name_of(obj),
            _status_cell(obj),
            ",".join(node_roles(obj)) or NONE,
            age(obj, now),
            info.get("kubeletVersion") or "",
            _address(status, "InternalIP"),
            _address(status, "ExternalIP"),
            info.get("osImage") or UNKNOWN,
            info.get("kernelVersion") or UNKNOWN,
            info.get("containerRuntimeVersion") or UNKNOWN,
        ]


def _status_cell(node: Object) -> str:
    ready = condition_of((node.get("status") or {}).get("conditions"), "Ready")
    words = []
    if ready is None:
        words.append("Unknown")
    else:
        words.append("Ready" if ready.get("status") == "True" else "NotReady")
    if (node.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def node_roles(node: Object) -> list[str]:
    """Sorted roles, from the labels `node-role.kubernetes.io/<role>` and `kubernetes.io/role`."""
    roles = set()
    for label, value in labels_of(node).items():
        if label.startswith(_ROLE_PREFIX) and len(label) > len(_ROLE_PREFIX):
            roles.add(label.removeprefix(_ROLE_PREFIX))
        elif label == _ROLE_LABEL and value:
            roles.add(value)
    return sorted(roles)


def _address(status: Object, kind: str) -> str:
    for address in status.get("addresses") or ():
        if address.get("type") == kind:
            return str(address.get("address", ""))
    return NONE
