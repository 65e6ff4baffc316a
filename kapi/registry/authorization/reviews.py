"""The access reviews: questions to the authorizer, never stored.

Source: k8s.io/kubernetes `pkg/apis/authorization/validation/validation.go`.
"""

from kapi.api.errors import FieldError, invalid, required
from kapi.api.object import Object, namespace_of
from kapi.registry.strategy import Strategy


class SelfSubjectAccessReviewStrategy(Strategy):
    """May I do this?"""

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object) -> list[FieldError]:
        return _attribute_errors(obj.get("spec") or {})


class SubjectAccessReviewStrategy(Strategy):
    """May that user do this?"""

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = _attribute_errors(spec)
        if not spec.get("user") and not spec.get("groups"):
            errors.append(
                FieldError(
                    "FieldValueRequired",
                    "spec.user",
                    "Required value: at least one of user or group must be specified",
                )
            )
        return errors


class LocalSubjectAccessReviewStrategy(SubjectAccessReviewStrategy):
    """The same within one namespace."""

    def validate(self, obj: Object) -> list[FieldError]:
        errors = super().validate(obj)
        attributes = (obj.get("spec") or {}).get("resourceAttributes")
        if attributes is not None and attributes.get("namespace", "") != namespace_of(obj):
            errors.append(
                invalid(
                    "spec.resourceAttributes.namespace",
                    attributes.get("namespace", ""),
                    "must match metadata.namespace",
                )
            )
        return errors


class SelfSubjectRulesReviewStrategy(Strategy):
    """What may I do in this namespace?"""

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})


def _attribute_errors(spec: Object) -> list[FieldError]:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        return [
            invalid(
                "spec.nonResourceAttributes",
                other,
                "cannot be specified in combination with resourceAttributes",
            )
        ]
    if resource is None and other is None:
        return [
            required(
                "spec.resourceAttributes",
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )
        ]
    return []
