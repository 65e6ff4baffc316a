"""Deployment."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, not_supported, required
from kapi.api.object import Object, name_of
from kapi.registry.apps.validation import (
    always_restarting_template,
    at_most_all,
    is_zero,
    number_or_percent,
    selector_unchanged,
    status_counts,
    workload_selector,
)
from kapi.registry.cells import containers_and_images, label_selector_text
from kapi.registry.core.pod_defaults import default_pod_template
from kapi.registry.fields import not_negative
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

_STATUS_COUNTS = (
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
)


def _strategy(strategy: Object) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        if rolling is None:
            return []
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden(path, text)]
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": _internal_rolling(rolling)}
        return [not_supported("spec.strategy", shown, ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [required(path, "this should be defaulted and never be nil")]
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    errors = number_or_percent(unavailable, f"{path}.maxUnavailable")
    errors += number_or_percent(surge, f"{path}.maxSurge")
    if is_zero(unavailable) and is_zero(surge):
        text = "may not be 0 when `maxSurge` is 0"
        errors.append(invalid(f"{path}.maxUnavailable", unavailable, text))
    return errors + at_most_all(unavailable, f"{path}.maxUnavailable")


def _internal_rolling(rolling: Object | None) -> Object | None:
    if rolling is None:
        return None
    return {"MaxUnavailable": rolling.get("maxUnavailable"), "MaxSurge": rolling.get("maxSurge")}


def _progress_deadline(spec: Object) -> list[FieldError]:
    deadline = spec.get("progressDeadlineSeconds")
    path = "spec.progressDeadlineSeconds"
    errors = not_negative(deadline, path)
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        errors.append(invalid(path, deadline, "must be greater than minReadySeconds"))
    return errors


class DeploymentStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/apps/deployment/strategy.go`."""

    has_generation = True
    annotations_count_for_generation = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Ready", about="Number of the pod with ready state"),
        Column("Up-to-date", about="=api.apps.v1.DeploymentStatus.updatedReplicas"),
        Column("Available", about="=api.apps.v1.DeploymentStatus.availableReplicas"),
        AGE_COLUMN,
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        Column("Selector", priority=1, about="=api.apps.v1.DeploymentSpec.selector"),
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
        strategy = spec.setdefault("strategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", "25%")
            rolling.setdefault("maxSurge", "25%")
        default_pod_template(spec.setdefault("template", {}))

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        template = spec.get("template")
        empty = "empty selector is invalid for deployment"
        return [
            *not_negative(spec.get("replicas"), "spec.replicas"),
            *workload_selector(spec.get("selector"), template, empty_text=empty),
            *always_restarting_template(template, "ReplicaSet"),
            *_strategy(spec.get("strategy") or {}),
            *not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds"),
            *not_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit"),
            *_progress_deadline(spec),
        ]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return [*self.validate(obj), *selector_unchanged(obj, old)]

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        status = obj.get("status") or {}
        errors = status_counts(status, _STATUS_COUNTS)
        errors += not_negative(status.get("unavailableReplicas"), "status.unavailableReplicas")
        collisions = status.get("collisionCount")
        before = (old.get("status") or {}).get("collisionCount") or 0
        if (collisions or 0) < before:
            text = "cannot be decremented"
            errors.append(invalid("status.collisionCount", collisions, text))
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        containers, images = containers_and_images((spec.get("template") or {}).get("spec") or {})
        return [
            name_of(obj),
            f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
            status.get("updatedReplicas") or 0,
            status.get("availableReplicas") or 0,
            age(obj, now),
            containers,
            images,
            label_selector_text(spec.get("selector")),
        ]
