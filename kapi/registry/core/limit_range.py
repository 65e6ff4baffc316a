"""LimitRange.

Source: `ValidateLimitRange` and `SetDefaults_LimitRangeItem` in k8s.io/kubernetes `pkg/apis/core`.
"""

from kapi.api.errors import FieldError, duplicate, forbidden, invalid, required
from kapi.api.names import qualified_name_errors
from kapi.api.object import Object
from kapi.registry.core.quantities import amount, canonical_list
from kapi.registry.core.resource_validation import (
    container_resource_name,
    resource_name,
    resource_value,
)
from kapi.registry.fields import complaints
from kapi.registry.strategy import Strategy

_QUANTITIES = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRangeStrategy(Strategy):
    """Its table is the plain one, without columns of its own."""

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        for item in spec.get("limits") or ():
            for field in _QUANTITIES:
                if item.get(field):
                    canonical_list(item[field])
            if item.get("type") == "Container":
                _default_container(item)

    def canonicalize(self, obj: Object) -> None:
        obj["spec"]["limits"] = obj["spec"].get("limits") or None

    def validate(self, obj: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
            path = f"spec.limits[{index}]"
            kind = str(item.get("type") or "")
            errors += complaints(f"{path}.type", kind, qualified_name_errors(kind))
            if kind in seen:
                errors.append(duplicate(f"{path}.type", kind))
            seen.add(kind)
            errors += _item(item, kind, path)
        return errors


def _default_container(item: Object) -> None:
    """Limits follow the maximum; requests follow the limits, then the minimum."""
    limits = {**(item.get("max") or {}), **(item.get("default") or {})}
    requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
    if limits:
        item["default"] = limits
    if requests:
        item["defaultRequest"] = requests


def _item(item: Object, kind: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field in ("max", "min"):
        errors += _names(item, field, kind, path)
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            if item.get(field):
                text = "may not be specified when `type` is 'Pod'"
                errors.append(forbidden(f"{path}.{field}", text))
    else:
        for field in ("default", "defaultRequest"):
            errors += _names(item, field, kind, path)
    if kind == "PersistentVolumeClaim":
        given = [(item.get(field) or {}).get("storage") for field in ("min", "max")]
        if not any(given):
            text = "either minimum or maximum storage value is required, but neither was provided"
            errors.append(required(f"{path}.limits", text))
    errors += _names(item, "maxLimitRequestRatio", kind, path)
    names = {name for field in _QUANTITIES for name in item.get(field) or ()}
    for name in sorted(names):
        errors += _compare(item, name, path)
    return errors


def _names(item: Object, field: str, kind: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    check = container_resource_name if kind in ("Pod", "Container") else resource_name
    for name, quantity in sorted((item.get(field) or {}).items()):
        own = f"{path}.{field}[{name}]"
        errors += check(name, own)
        errors += [] if field == "maxLimitRequestRatio" else resource_value(name, quantity, own)
    return errors


def _compare(item: Object, name: str, path: str) -> list[FieldError]:
    """minimum <= default request <= default limit <= maximum."""
    values = {field: (item.get(field) or {}).get(name) for field in _QUANTITIES}
    low, high = values["min"], values["max"]
    request, limit, ratio = (
        values["defaultRequest"],
        values["default"],
        values["maxLimitRequestRatio"],
    )
    errors: list[FieldError] = []

    def complain(field: str, shown: object, text: str) -> None:
        errors.append(invalid(f"{path}.{field}[{name}]", shown, text))

    if low and high and amount(low) > amount(high):
        complain("min", low, f"min value {low} is greater than max value {high}")
    if request and low and amount(low) > amount(request):
        text = f"min value {low} is greater than default request value {request}"
        complain("defaultRequest", request, text)
    if request and high and amount(request) > amount(high):
        text = f"default request value {request} is greater than max value {high}"
        complain("defaultRequest", request, text)
    if request and limit and amount(request) > amount(limit):
        text = f"default request value {request} is greater than default limit value {limit}"
        complain("defaultRequest", request, text)
    if limit and low and amount(low) > amount(limit):
        complain("default", low, f"min value {low} is greater than default value {limit}")
    if limit and high and amount(limit) > amount(high):
        complain("default", high, f"default value {limit} is greater than max value {high}")
    if ratio:
        if amount(ratio) < 1:
            complain("maxLimitRequestRatio", ratio, f"ratio {ratio} is less than 1")
        elif low and high and amount(low) > 0 and amount(ratio) > amount(high) / amount(low):
            share = float(amount(high) / amount(low))
            text = f"ratio {ratio} is greater than max/min = {share:.6f}"
            complain("maxLimitRequestRatio", ratio, text)
    return errors
