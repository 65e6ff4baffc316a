"""The access reviews: questions to the authorizer, never stored.

Source: k8s.io/kubernetes `pkg/apis/authorization/validation/validation.go`.
"""

from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, required
from kapi.api.object import Object, namespace_of
from kapi.registry.strategy import Strategy

_LISTED = ("In", "NotIn")


class SelfSubjectAccessReviewStrategy(Strategy):
    """May I do this?"""

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object) -> list[FieldError]:
        return [*attribute_errors(obj.get("spec") or {}), *_metadata_errors(obj)]


class SubjectAccessReviewStrategy(Strategy):
    """May that user do this?"""

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        return [*attribute_errors(spec), *_subject_errors(spec), *_metadata_errors(obj)]


class LocalSubjectAccessReviewStrategy(Strategy):
    """The same within one namespace."""

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = [*attribute_errors(spec), *_subject_errors(spec), *_metadata_errors(obj)]
        attributes, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if attributes is not None and attributes.get("namespace", "") != namespace_of(obj):
            path = "spec.resourceAttributes.namespace"
            text = "must match metadata.namespace"
            errors.append(invalid(path, attributes.get("namespace", ""), text))
        if other is not None:
            text = "disallowed on this kind of request"
            errors.append(invalid("spec.nonResourceAttributes", _internal(other), text))
        return errors


class SelfSubjectRulesReviewStrategy(Strategy):
    """What may I do in this namespace?"""

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})


def _metadata_errors(obj: Object) -> list[FieldError]:
    """A question has no name; only its namespace means something."""
    meta = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "namespace"}
    if not meta.keys() - {"managedFields"}:
        return []
    return [invalid("metadata", meta, "must be empty")]


def _subject_errors(spec: Object) -> list[FieldError]:
    if spec.get("user") or spec.get("groups"):
        return []
    return [invalid("spec.user", "", "at least one of user or group must be specified")]


def _internal(attributes: Object) -> dict[str, Any]:
    return {"Path": attributes.get("path", ""), "Verb": attributes.get("verb", "")}


def attribute_errors(spec: Object) -> list[FieldError]:
    """Either a resource or a URL, and its selectors well-formed."""
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        text = "cannot be specified in combination with resourceAttributes"
        return [invalid("spec.nonResourceAttributes", _internal(other), text)]
    if resource is None and other is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [invalid("spec.resourceAttributes", None, text)]
    errors: list[FieldError] = []
    for name in ("labelSelector", "fieldSelector"):
        selector = (resource or {}).get(name)
        if selector is not None:
            errors += _selector(selector, f"spec.resourceAttributes.{name}")
    return errors


def _selector(selector: Object, path: str) -> list[FieldError]:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements") or []
    if raw and requirements:
        text = "may not specified at the same time as requirements"
        return [invalid(f"{path}.rawSelector", raw, text)]
    if not raw and not requirements:
        text = f"when {path} is specified, requirements or rawSelector is required"
        return [required(f"{path}.requirements", text)]
    errors: list[FieldError] = []
    for index, item in enumerate(requirements):
        own, operator = f"{path}.requirements[{index}]", item.get("operator") or ""
        if not item.get("key"):
            errors.append(required(f"{own}.key", "must be specified"))
        if operator in _LISTED and not item.get("values"):
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(required(f"{own}.values", text))
        elif operator in ("Exists", "DoesNotExist") and item.get("values"):
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{own}.values", text))
    return errors
