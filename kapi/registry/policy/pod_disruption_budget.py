"""PodDisruptionBudget."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid
from kapi.api.names import path_segment_errors
from kapi.api.object import Object, name_of
from kapi.api.selectors import validate_label_selector
from kapi.registry.apps.validation import at_most_all, number_or_percent
from kapi.registry.fields import not_negative, one_of
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
_EVICTION = ("AlwaysAllow", "IfHealthyBudget")


class PodDisruptionBudgetStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/policy/poddisruptionbudget/strategy.go`."""

    has_generation = True
    has_status = True
    allow_unconditional_update = False
    columns = (
        NAME_COLUMN,
        Column("Min Available", about="The minimum number of pods that must be available."),
        Column("Max Unavailable", about="The maximum number of pods that may be unavailable."),
        Column(
            "Allowed Disruptions",
            "integer",
            about="Calculated number of pods that may be disrupted at this time.",
        ),
        AGE_COLUMN,
    )

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = dict.fromkeys(_COUNTS, 0)

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
        errors: list[FieldError] = []
        if low is not None and high is not None:
            shown = {
                "MinAvailable": low,
                "Selector": spec.get("selector"),
                "MaxUnavailable": high,
                "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
            }
            text = "minAvailable and maxUnavailable cannot be both set"
            errors.append(invalid("spec", shown, text))
        for field, value in (("minAvailable", low), ("maxUnavailable", high)):
            if value is not None:
                errors += number_or_percent(value, f"spec.{field}")
                errors += at_most_all(value, f"spec.{field}")
        errors += validate_label_selector(spec.get("selector"), "spec.selector")
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy is not None:
            errors += one_of(policy, _EVICTION, "spec.unhealthyPodEvictionPolicy")
        return errors

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        status = obj.get("status") or {}
        errors: list[FieldError] = []
        for name in _COUNTS:
            errors += not_negative(status.get(name), f"status.{name}")
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}

        def shown(value: Any) -> str:
            return "N/A" if value is None else str(value)

        return [
            name_of(obj),
            shown(spec.get("minAvailable")),
            shown(spec.get("maxUnavailable")),
            status.get("disruptionsAllowed") or 0,
            age(obj, now),
        ]
