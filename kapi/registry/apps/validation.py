"""Validation that Deployment, ReplicaSet, ReplicationController and their like share.

Source: k8s.io/kubernetes `pkg/apis/apps/validation/validation.go`.
"""

import re
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, not_supported, required
from kapi.api.names import regex_error
from kapi.api.object import Object
from kapi.api.selectors import label_selector_from_object, validate_label_selector
from kapi.registry.core.pod_validation import pod_template
from kapi.registry.fields import NOT_NEGATIVE, immutable, not_negative

_PERCENT_PATTERN = "[0-9]+%"
_PERCENT = re.compile(_PERCENT_PATTERN)
_MISMATCH = "`selector` does not match template `labels`"


def template_labels(template: Object | None) -> dict[str, str] | None:
    """The labels of a template, None where it has none (messages show null)."""
    labels = ((template or {}).get("metadata") or {}).get("labels")
    return dict(sorted(labels.items())) if labels else None


def workload_selector(
    selector: Object | None,
    template: Object | None,
    *,
    empty_text: str,
    invalid_text: str = "invalid label selector",
) -> list[FieldError]:
    """spec.selector, which must select the pods of the template.

    `empty_text` is the complaint about a selector that selects everything, `invalid_text` the one
    that follows the complaints about its parts.
    """
    path = "spec.selector"
    if selector is None:
        return [required(path), *_mismatch(template)]
    wrong = validate_label_selector(selector, path)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        wrong.append(invalid(path, {}, empty_text))
        return wrong
    if wrong:
        return [*wrong, invalid(path, selector, invalid_text)]
    if not label_selector_from_object(selector).matches(template_labels(template) or {}):
        return _mismatch(template)
    return []


def selector_unchanged(obj: Object, old: Object) -> list[FieldError]:
    """The pods of a workload stay its own: spec.selector is never changed."""
    selector = (obj.get("spec") or {}).get("selector")
    before = (old.get("spec") or {}).get("selector")
    return immutable(selector, before, "spec.selector")


def _mismatch(template: Object | None) -> list[FieldError]:
    return [invalid("spec.template.metadata.labels", template_labels(template), _MISMATCH)]


def always_restarting_template(template: Object | None, kind: str) -> list[FieldError]:
    """A template whose pods are replaced for ever, so they may not end by themselves."""
    path = "spec.template"
    errors = pod_template(template, path)
    spec = (template or {}).get("spec") or {}
    if spec.get("restartPolicy") != "Always":
        field = f"{path}.spec.restartPolicy"
        errors = [error for error in errors if error.field != field]
        errors.append(not_supported(field, spec.get("restartPolicy") or "", ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden(f"{path}.spec.activeDeadlineSeconds", text))
    return errors


def replica_counts(spec: Object) -> list[FieldError]:
    """spec.replicas and spec.minReadySeconds."""
    return [
        *not_negative(spec.get("replicas"), "spec.replicas"),
        *not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds"),
    ]


def number_or_percent(value: Any, path: str) -> list[FieldError]:
    """A count, or a share such as `25%`."""
    if isinstance(value, str):
        if _PERCENT.fullmatch(value):
            return []
        text = "a valid percent string must be a numeric string followed by an ending '%'"
        return [invalid(path, value, regex_error(text, _PERCENT_PATTERN, "1%", "93%"))]
    return [invalid(path, value, NOT_NEGATIVE)] if (value or 0) < 0 else []


def at_most_all(value: Any, path: str) -> list[FieldError]:
    """No share above 100%."""
    if isinstance(value, str) and _PERCENT.fullmatch(value):
        digits = value[:-1].lstrip("0")
        if len(digits) > 3 or int(digits or 0) > 100:
            return [invalid(path, value, "must not be greater than 100%")]
    return []


def is_zero(value: Any) -> bool:
    """Is a count or share nothing at all?"""
    if isinstance(value, str):
        return bool(_PERCENT.fullmatch(value)) and not value[:-1].strip("0")
    return not value


def status_counts(status: Object, names: tuple[str, ...]) -> list[FieldError]:
    """None below zero, and none but `replicas` itself above `replicas`."""
    errors: list[FieldError] = []
    for name in ("replicas", *names, "observedGeneration"):
        errors += not_negative(status.get(name), f"status.{name}")
    total = status.get("replicas") or 0
    for name in names:
        value = status.get(name) or 0
        if value > total:
            text = "cannot be greater than status.replicas"
            errors.append(invalid(f"status.{name}", value, text))
    ready, available = status.get("readyReplicas") or 0, status.get("availableReplicas") or 0
    if available > ready:
        text = "cannot be greater than readyReplicas"
        errors.append(invalid("status.availableReplicas", available, text))
    return errors
