"""ReplicaSet."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError
from kapi.api.object import Object, name_of
from kapi.registry.apps.validation import (
    always_restarting_template,
    replica_counts,
    selector_unchanged,
    status_counts,
    workload_selector,
)
from kapi.registry.cells import containers_and_images, label_selector_text
from kapi.registry.core.pod_defaults import default_pod_template
from kapi.registry.strategy import (
    AGE_COLUMN,
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)


def replica_columns(kind: str) -> tuple[Column, ...]:
    """The columns of a kind that keeps a number of pods; `kind` is `api.apps.v1.ReplicaSet`."""
    return (
        NAME_COLUMN,
        Column("Desired", "integer", about=f"={kind}Spec.replicas"),
        Column("Current", "integer", about=f"={kind}Status.replicas"),
        Column("Ready", "integer", about=f"={kind}Status.readyReplicas"),
        AGE_COLUMN,
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        Column("Selector", priority=1, about=f"={kind}Spec.selector"),
    )


REPLICA_STATUS_COUNTS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


class ReplicaSetStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/apps/replicaset/strategy.go`."""

    has_generation = True
    has_status = True
    columns = replica_columns("api.apps.v1.ReplicaSet")

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        default_pod_template(spec.setdefault("template", {}))

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"replicas": 0}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        template = spec.get("template")
        empty = "empty selector is invalid for deployment"
        return [
            *replica_counts(spec),
            *workload_selector(spec.get("selector"), template, empty_text=empty),
            *always_restarting_template(template, "ReplicaSet"),
        ]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return [*self.validate(obj), *selector_unchanged(obj, old)]

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return status_counts(obj.get("status") or {}, REPLICA_STATUS_COUNTS)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return replica_row(obj, now, label_selector_text((obj.get("spec") or {}).get("selector")))


def replica_row(obj: Object, now: datetime, selector: str) -> list[Any]:
    """The cells a ReplicaSet and a ReplicationController share."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    containers, images = containers_and_images((spec.get("template") or {}).get("spec") or {})
    return [
        name_of(obj),
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        age(obj, now),
        containers,
        images,
        selector,
    ]
