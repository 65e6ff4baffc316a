"""Node: zero values of its status, roles and conditions in the table."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, condition_of, labels_of, name_of
from kapi.registry.cells import NONE, UNKNOWN
from kapi.registry.core.quantities import canonical_list
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


class NodeStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/node/strategy.go`."""

    columns = (
        NAME_COLUMN,
        Column("Status"),
        Column("Roles"),
        AGE_COLUMN,
        Column("Version"),
        Column("Internal-IP", priority=1),
        Column("External-IP", priority=1),
        Column("OS-Image", priority=1),
        Column("Kernel-Version", priority=1),
        Column("Container-Runtime", priority=1),
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
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

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

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
