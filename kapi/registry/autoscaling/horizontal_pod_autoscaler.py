"""HorizontalPodAutoscaler, version v2."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, not_supported, required
from kapi.api.object import Object, name_of
from kapi.registry.autoscaling.metrics import metrics, metrics_cell, object_reference
from kapi.registry.cells import UNSET
from kapi.registry.core.quantities import amount
from kapi.registry.fields import not_negative, one_of
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

_HPA = "=api.autoscaling.v2.HorizontalPodAutoscaler"
_LONGEST_WINDOW_SECONDS = 3600
_LONGEST_PERIOD_SECONDS = 1800
_SELECT = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_DEFAULT_POLICIES = {
    "scaleUp": (("Pods", 4, 15), ("Percent", 100, 15)),
    "scaleDown": (("Percent", 100, 15),),
}


class HorizontalPodAutoscalerStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/autoscaling/horizontalpodautoscaler/strategy.go`."""

    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Reference", about=f"{_HPA}Spec.scaleTargetRef"),
        Column("Targets", about=f"{_HPA}Spec.metrics"),
        Column("MinPods", about=f"{_HPA}Spec.minReplicas"),
        Column("MaxPods", about=f"{_HPA}Spec.maxReplicas"),
        Column("Replicas", about=f"{_HPA}Status.currentReplicas"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        """Source: `SetDefaults_HorizontalPodAutoscaler`, `pkg/apis/autoscaling/v2/defaults.go`."""
        spec = obj.setdefault("spec", {})
        if spec.get("minReplicas") is None:
            spec["minReplicas"] = 1
        if not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            resource = {"name": "cpu", "target": target}
            spec["metrics"] = [{"type": "Resource", "resource": resource}]
        behavior = spec.get("behavior")
        if behavior is not None:
            for direction in _DEFAULT_POLICIES:
                _default_rules(behavior.setdefault(direction, {}), direction)

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"desiredReplicas": 0}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def canonicalize(self, obj: Object) -> None:
        """Absent metrics are stored as null; nobody owns that."""
        status = obj.setdefault("status", {})
        status["currentMetrics"] = status.get("currentMetrics") or None

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
        errors: list[FieldError] = []
        if low is not None and low < 1:
            text = "must be greater than or equal to 1"
            errors.append(invalid("spec.minReplicas", low, text))
        if high < 1:
            errors.append(required("spec.maxReplicas", "must be set and greater than 0"))
        if low is not None and high < low:
            text = "must be greater than or equal to `minReplicas`"
            errors.append(invalid("spec.maxReplicas", high, text))
        reference = spec.get("scaleTargetRef") or {}
        errors += object_reference(reference, "spec.scaleTargetRef")
        version = str(reference.get("apiVersion") or "")
        if not version:
            text = "apiVersion must specify API group"
            errors.append(invalid("spec.scaleTargetRef.apiVersion", version, text))
        errors += metrics(spec.get("metrics") or [], "spec.metrics")
        if low == 0 and not _scales_to_zero(spec):
            text = (
                "must specify at least one Object or External metric to support scaling to "
                "zero replicas"
            )
            errors.append(forbidden("spec.metrics", text))
        for direction, rules in (spec.get("behavior") or {}).items():
            errors += _rules(rules or {}, f"spec.behavior.{direction}")
        return errors

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        status = obj.get("status") or {}
        return [
            *not_negative(status.get("currentReplicas"), "status.currentReplicas"),
            *not_negative(status.get("desiredReplicas"), "status.desiredReplicas"),
        ]

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        reference = spec.get("scaleTargetRef") or {}
        low = spec.get("minReplicas")
        return [
            name_of(obj),
            f"{reference.get('kind', '')}/{reference.get('name', '')}",
            metrics_cell(spec.get("metrics") or [], status.get("currentMetrics") or []),
            UNSET if low is None else str(low),
            spec.get("maxReplicas") or 0,
            status.get("currentReplicas") or 0,
            age(obj, now),
        ]


def _scales_to_zero(spec: Object) -> bool:
    kinds = {item.get("type") for item in spec.get("metrics") or ()}
    return bool(kinds & {"Object", "External"})


def _default_rules(rules: Object, direction: str) -> None:
    rules.setdefault("selectPolicy", "Max")
    if direction == "scaleUp":
        rules.setdefault("stabilizationWindowSeconds", 0)
    if rules.get("policies") is None:
        rules["policies"] = [
            {"type": kind, "value": value, "periodSeconds": seconds}
            for kind, value, seconds in _DEFAULT_POLICIES[direction]
        ]


def _rules(rules: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    window, own = rules.get("stabilizationWindowSeconds"), f"{path}.stabilizationWindowSeconds"
    if window is not None:
        if window < 0:
            errors.append(invalid(own, window, "must be greater than or equal to zero"))
        elif window > _LONGEST_WINDOW_SECONDS:
            text = f"must be less than or equal to {_LONGEST_WINDOW_SECONDS}"
            errors.append(invalid(own, window, text))
    if rules.get("selectPolicy") is not None:
        errors += one_of(rules["selectPolicy"], _SELECT, f"{path}.selectPolicy")
    policies = rules.get("policies") or []
    if not policies:
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        errors += _policy(policy, f"{path}.policies[{index}]")
    tolerance = rules.get("tolerance")
    if tolerance is not None and amount(tolerance) < 0:
        text = "must be greater than or equal to 0"
        errors.append(invalid(f"{path}.tolerance", tolerance, text))
    return errors


def _policy(policy: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, value = policy.get("type") or "", policy.get("value") or 0
    seconds = policy.get("periodSeconds") or 0
    if kind not in _POLICIES:
        errors.append(not_supported(f"{path}.type", kind, _POLICIES))
    if value <= 0:
        errors.append(invalid(f"{path}.value", value, "must be greater than zero"))
    if seconds <= 0:
        errors.append(invalid(f"{path}.periodSeconds", seconds, "must be greater than zero"))
    elif seconds > _LONGEST_PERIOD_SECONDS:
        text = f"must be less than or equal to {_LONGEST_PERIOD_SECONDS}"
        errors.append(invalid(f"{path}.periodSeconds", seconds, text))
    return errors
