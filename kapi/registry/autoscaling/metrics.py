"""Validation and display of the metrics an autoscaler follows.

Sources: k8s.io/kubernetes `pkg/apis/autoscaling/validation/validation.go` and `formatHPAMetrics`
in `pkg/printers/internalversion/printers.go`.
"""

from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, not_supported, required
from kapi.api.names import path_segment_errors
from kapi.api.object import Object
from kapi.api.selectors import validate_label_selector
from kapi.registry.cells import UNKNOWN
from kapi.registry.core.quantities import amount
from kapi.registry.fields import complaints

_FIELDS = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "External": "external",
    "ContainerResource": "containerResource",
}
_TARGETS = ("Utilization", "Value", "AverageValue")
_SHOWN = 2


def metrics(specs: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, spec in enumerate(specs):
        errors += _metric(spec, f"{path}[{index}]")
    return errors


def _metric(spec: Object, path: str) -> list[FieldError]:
    kind = str(spec.get("type") or "")
    field = _FIELDS.get(kind)
    if field is None:
        unknown = not_supported(f"{path}.type", kind, sorted(_FIELDS))
        first = [] if kind else [required(f"{path}.type", "must specify a metric source type")]
        return [*first, unknown, unknown]
    errors: list[FieldError] = []
    for other in _FIELDS.values():
        if other != field and spec.get(other) is not None:
            text = "must populate the given metric source only"
            errors.append(forbidden(f"{path}.{other}", text))
    source = spec.get(field)
    own = f"{path}.{field}"
    if source is None:
        text = "must populate information for the given metric source"
        return [*errors, required(own, text)]
    return errors + _source(kind, source, own)


def _source(kind: str, source: Object, path: str) -> list[FieldError]:
    target = source.get("target") or {}
    errors: list[FieldError] = []
    if kind == "Object":
        errors += object_reference(source.get("describedObject") or {}, f"{path}.describedObject")
    if kind in ("Resource", "ContainerResource"):
        if not source.get("name"):
            errors.append(required(f"{path}.name", "must specify a resource name"))
        if kind == "ContainerResource" and not source.get("container"):
            errors.append(required(f"{path}.container", "must specify a container"))
        errors += _target(target, f"{path}.target")
        return errors + _utilization(target, f"{path}.target")
    errors += _identifier(source.get("metric") or {}, f"{path}.metric")
    errors += _target(target, f"{path}.target")
    average, value = target.get("averageValue"), target.get("value")
    if kind == "Pods":
        if average is None or amount(average) <= 0:
            text = "must specify a positive target averageValue"
            errors.append(required(f"{path}.target.averageValue", text))
    elif average is None and value is None:
        text = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{path}.target.averageValue", text))
    elif kind == "External" and average is not None and value is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden(f"{path}.target.value", text))
    return errors


def _utilization(target: Object, path: str) -> list[FieldError]:
    share, value = target.get("averageUtilization"), target.get("averageValue")
    if share is None and value is None:
        text = "must set either a target raw value or a target utilization"
        return [required(f"{path}.averageUtilization", text)]
    if share is not None and value is not None:
        text = "may not set both a target raw value and a target utilization"
        return [forbidden(f"{path}.averageValue", text)]
    return []


def _target(target: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, share = target.get("type") or "", target.get("averageUtilization")
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric target type"))
    if kind not in _TARGETS:
        text = "must be either Utilization, Value, or AverageValue"
        errors.append(invalid(f"{path}.type", kind, text))
    for field in ("value", "averageValue"):
        quantity = target.get(field)
        if quantity is not None and amount(quantity) <= 0:
            errors.append(invalid(f"{path}.{field}", quantity, "must be positive"))
    if share is not None and share < 1:
        errors.append(invalid(f"{path}.averageUtilization", share, "must be greater than 0"))
    return errors


def _identifier(metric: Object, path: str) -> list[FieldError]:
    name = str(metric.get("name") or "")
    if not name:
        return [required(f"{path}.name", "must specify a metric name")]
    errors = complaints(f"{path}.name", name, path_segment_errors(name))
    return errors + validate_label_selector(metric.get("selector"), f"{path}.selector")


def object_reference(reference: Object, path: str) -> list[FieldError]:
    """A reference by kind and name."""
    errors: list[FieldError] = []
    for field in ("kind", "name"):
        value = str(reference.get(field) or "")
        if not value:
            errors.append(required(f"{path}.{field}"))
        else:
            errors += complaints(f"{path}.{field}", value, path_segment_errors(value))
    return errors


def metrics_cell(specs: list[Object], statuses: list[Object]) -> str:
    """`cpu: <unknown>/80%, 3/5 + 1 more...`"""
    if not specs:
        return "<none>"
    shown = []
    for index, spec in enumerate(specs[:_SHOWN]):
        field = _FIELDS.get(str(spec.get("type") or ""), "")
        status = statuses[index] if index < len(statuses) else {}
        shown.append(_shown_metric(field, spec.get(field) or {}, status.get(field) or {}))
    text = ", ".join(shown)
    return f"{text} + {len(specs) - _SHOWN} more..." if len(specs) > _SHOWN else text


def _shown_metric(field: str, source: Object, status: Object) -> str:
    target, current = source.get("target") or {}, status.get("current") or {}
    average = target.get("averageValue")
    if field in ("resource", "containerResource"):
        name = source.get("name") or ""
        if average is not None:
            return f"{name}: {_known(current.get('averageValue'))}/{average}"
        share = target.get("averageUtilization")
        wanted = f"{share}%" if share is not None else "<auto>"
        found = current.get("averageUtilization")
        return f"{name}: {UNKNOWN if found is None else f'{found}%'}/{wanted}"
    if field == "pods":
        return f"{_known(current.get('averageValue'))}/{average}"
    if average is not None:
        return f"{_known(current.get('averageValue'))}/{average} (avg)"
    return f"{_known(current.get('value'))}/{target.get('value')}"


def _known(value: Any) -> str:
    return UNKNOWN if value is None else str(value)
