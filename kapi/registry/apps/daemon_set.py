"""DaemonSet."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid, not_supported, required
from kapi.api.go_numbers import NumberError, parse_int
from kapi.api.object import Object, annotations_of, metadata, name_of
from kapi.api.selectors import label_selector_from_object, validate_label_selector
from kapi.registry.apps.validation import (
    always_restarting_template,
    at_most_all,
    is_zero,
    number_or_percent,
    selector_unchanged,
    template_labels,
)
from kapi.registry.cells import containers_and_images, key_values, label_selector_text
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

_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_COUNTS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
_OPTIONAL_COUNTS = (
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
)


class DaemonSetStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/apps/daemonset/strategy.go`."""

    has_generation = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Desired", "integer", about="=api.apps.v1.DaemonSetStatus.desiredNumberScheduled"),
        Column("Current", "integer", about="=api.apps.v1.DaemonSetStatus.currentNumberScheduled"),
        Column("Ready", "integer", about="=api.apps.v1.DaemonSetStatus.numberReady"),
        Column(
            "Up-to-date", "integer", about="=api.apps.v1.DaemonSetStatus.updatedNumberScheduled"
        ),
        Column("Available", "integer", about="=api.apps.v1.DaemonSetStatus.numberAvailable"),
        Column("Node Selector", about="=api.core.v1.PodSpec.nodeSelector"),
        AGE_COLUMN,
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        Column("Selector", priority=1, about="=api.apps.v1.DaemonSetSpec.selector"),
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("revisionHistoryLimit", 10)
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", 1)
            rolling.setdefault("maxSurge", 0)
        default_pod_template(spec.setdefault("template", {}))
        _set_template_generation(obj, annotations_of(obj).get(_TEMPLATE_GENERATION, 1))

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = dict.fromkeys(_COUNTS, 0)
        _set_template_generation(obj, 1)

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})
        try:
            generation = parse_int(annotations_of(old).get(_TEMPLATE_GENERATION, "1"))
        except NumberError:
            generation = 1
        if obj["spec"].get("template") != old["spec"].get("template"):
            generation += 1
        _set_template_generation(obj, generation)

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        template = spec.get("template")
        return [
            *_selector(spec.get("selector"), template),
            *always_restarting_template(template, "DaemonSet"),
            *not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds"),
            *_update_strategy(spec.get("updateStrategy") or {}),
            *not_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit"),
        ]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return [*self.validate(obj), *selector_unchanged(obj, old)]

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        status = obj.get("status") or {}
        errors: list[FieldError] = []
        for name in (*_COUNTS, *_OPTIONAL_COUNTS):
            errors += not_negative(status.get(name), f"status.{name}")
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        pod_spec = (spec.get("template") or {}).get("spec") or {}
        containers, images = containers_and_images(pod_spec)
        return [
            name_of(obj),
            status.get("desiredNumberScheduled") or 0,
            status.get("currentNumberScheduled") or 0,
            status.get("numberReady") or 0,
            status.get("updatedNumberScheduled") or 0,
            status.get("numberAvailable") or 0,
            key_values(pod_spec.get("nodeSelector")),
            age(obj, now),
            containers,
            images,
            label_selector_text(spec.get("selector")),
        ]


def _set_template_generation(obj: Object, generation: int | str) -> None:
    """Old clients read the number of the template from an annotation."""
    given = {**annotations_of(obj), _TEMPLATE_GENERATION: str(generation)}
    metadata(obj)["annotations"] = given


def _selector(selector: Object | None, template: Object | None) -> list[FieldError]:
    """An absent selector selects nothing, so it does not match the template."""
    errors = validate_label_selector(selector, "spec.selector")
    labels = template_labels(template)
    if errors:
        return errors
    if not label_selector_from_object(selector).matches(labels or {}):
        text = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", labels, text))
    if selector is not None and not any(
        selector.get(part) for part in ("matchLabels", "matchExpressions")
    ):
        errors.append(invalid("spec.selector", {}, "empty selector is invalid for daemonset"))
    return errors


def _update_strategy(strategy: Object) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": None}
        return [not_supported("spec.updateStrategy", shown, ("RollingUpdate", "OnDelete"))]
    path = "spec.updateStrategy.rollingUpdate"
    if rolling is None:
        return [required(path)]
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    errors = number_or_percent(unavailable, f"{path}.maxUnavailable")
    errors += number_or_percent(surge, f"{path}.maxSurge")
    unreadable = isinstance(unavailable, str) and not unavailable.removesuffix("%").isdigit()
    no_gap, no_surge = is_zero(unavailable) or unreadable, is_zero(surge)
    if not no_gap and not no_surge:
        text = "may not be set when maxUnavailable is non-zero"
        errors.append(invalid(f"{path}.maxSurge", surge, text))
    if no_gap and no_surge:
        text = "cannot be 0 when maxSurge is 0"
        errors.append(required(f"{path}.maxUnavailable", text))
    errors += at_most_all(unavailable, f"{path}.maxUnavailable")
    return errors + at_most_all(surge, f"{path}.maxSurge")
