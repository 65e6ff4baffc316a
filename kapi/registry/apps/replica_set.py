"""ReplicaSet."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, name_of
from kapi.registry.cells import containers_and_images, label_selector_text
from kapi.registry.core.pod_defaults import default_pod_template
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

REPLICA_COLUMNS = (
    NAME_COLUMN,
    Column("Desired", "integer"),
    Column("Current", "integer"),
    Column("Ready", "integer"),
    AGE_COLUMN,
    Column("Containers", priority=1),
    Column("Images", priority=1),
    Column("Selector", priority=1),
)


class ReplicaSetStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/apps/replicaset/strategy.go`."""

    has_generation = True
    has_status = True
    columns = REPLICA_COLUMNS

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        default_pod_template(spec.setdefault("template", {}))

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"replicas": 0}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

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
