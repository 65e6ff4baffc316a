"""Selectors in access reviews: which of them the authorizers cannot use.

A selector that does not parse is ignored, and the answer says so. Source: k8s.io/kubernetes
`pkg/registry/authorization/util/helpers.go`.
"""

from collections.abc import Callable

from kapi.api import errors
from kapi.api.object import Object
from kapi.api.selectors import (
    parse_field_selector,
    parse_label_selector,
    validate_label_selector,
)

_FIELD = "spec.resourceAttributes.fieldSelector"
_LABEL = "spec.resourceAttributes.labelSelector"


def selector_complaints(attributes: Object) -> list[str]:
    """What evaluationError says of `resourceAttributes`: field selector first."""
    field, label = attributes.get("fieldSelector"), attributes.get("labelSelector")
    return [
        *_complaint(field, _FIELD, parse_field_selector, _is_field_requirement),
        *_complaint(label, _LABEL, parse_label_selector, _is_label_requirement),
    ]


def _complaint(
    selector: Object | None,
    path: str,
    parse: Callable[[str], object],
    is_good: Callable[[Object], bool],
) -> list[str]:
    """Part of the requirements may be good; a raw selector is good or bad as a whole."""
    if selector is None:
        return []
    if selector.get("rawSelector"):
        try:
            parse(selector["rawSelector"])
        except errors.ApiError:
            return [f"{path} ignored due to parse error"]
        return []
    verdicts = [is_good(item) for item in selector.get("requirements") or ()]
    if all(verdicts):
        return []
    how = "partially ignored" if any(verdicts) else "ignored"
    return [f"{path} {how} due to parse error"]


def _is_field_requirement(item: Object) -> bool:
    """A field can be compared with one value only."""
    return item.get("operator") in ("In", "NotIn") and len(item.get("values") or ()) == 1


def _is_label_requirement(item: Object) -> bool:
    return not validate_label_selector({"matchExpressions": [item]}, "")
