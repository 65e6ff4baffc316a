"""PriorityClass."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, forbidden
from kapi.api.object import Object, metadata, name_of
from kapi.registry.fields import immutable, one_of
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, RequestContext, Strategy, age

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_PRIORITIES = {
    "system-node-critical": 2 * HIGHEST_USER_PRIORITY + 1000,
    "system-cluster-critical": 2 * HIGHEST_USER_PRIORITY,
}
_SYSTEM_DESCRIPTIONS = {
    "system-node-critical": "Used for system critical pods that must not be moved from their "
    "current node.",
    "system-cluster-critical": "Used for system critical pods that must run in the cluster, but "
    "can be moved to another node if necessary.",
}
_POLICIES = ("PreemptLowerPriority", "Never")


def system_priority_classes() -> list[Object]:
    """What every cluster has. Source: k8s.io/kubernetes `pkg/apis/scheduling/v1/helpers.go`."""
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": _SYSTEM_DESCRIPTIONS[name],
        }
        for name, value in SYSTEM_PRIORITIES.items()
    ]


class PriorityClassStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/scheduling/priorityclass/strategy.go`."""

    columns = (
        NAME_COLUMN,
        Column("Value", "integer", about="=api.scheduling.v1.PriorityClass.value"),
        Column("Global-Default", "boolean", about="=api.scheduling.v1.PriorityClass.globalDefault"),
        AGE_COLUMN,
        Column("PreemptionPolicy", about="=api.scheduling.v1.PriorityClass.preemptionPolicy"),
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("value", 0)
        if obj.get("preemptionPolicy") is None:
            obj["preemptionPolicy"] = "PreemptLowerPriority"
        if obj.get("globalDefault") is False:
            del obj["globalDefault"]

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        """Upstream numbers the first version and never counts on."""
        metadata(obj)["generation"] = 1

    def validate(self, obj: Object) -> list[FieldError]:
        name, value = name_of(obj), obj.get("value") or 0
        errors: list[FieldError] = []
        if name.startswith("system-"):
            reserved = (
                "priority class names with 'system-' prefix are reserved for system use only. "
                "error: "
            )
            known = SYSTEM_PRIORITIES.get(name)
            if known is None:
                text = f"{reserved}{name} is not a known system priority class"
                errors.append(forbidden("metadata.name", text))
            elif known != value:
                text = f"{reserved}value of {name} PriorityClass must be {known}"
                errors.append(forbidden("metadata.name", text))
            elif obj.get("globalDefault"):
                text = f"{reserved}globalDefault of {name} PriorityClass must be false"
                errors.append(forbidden("metadata.name", text))
        elif value > HIGHEST_USER_PRIORITY:
            text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
            errors.append(forbidden("value", text))
        return errors + one_of(obj.get("preemptionPolicy"), _POLICIES, "preemptionPolicy")

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        if obj.get("value") != old.get("value"):
            errors.append(forbidden("value", "may not be changed in an update."))
        field = "preemptionPolicy"
        return errors + immutable(obj.get(field), old.get(field), field)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [
            name_of(obj),
            obj.get("value") or 0,
            bool(obj.get("globalDefault")),
            age(obj, now),
            obj.get("preemptionPolicy") or "",
        ]
