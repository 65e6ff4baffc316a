"""ResourceQuota.

Source: `ValidateResourceQuota` in k8s.io/kubernetes `pkg/apis/core/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid, required
from kapi.api.names import qualified_name_errors
from kapi.api.object import Object, name_of
from kapi.registry.core.quantities import canonical_list
from kapi.registry.core.resource_validation import (
    HUGE_PAGES,
    STANDARD_RESOURCES,
    resource_value,
)
from kapi.registry.fields import complaints, immutable
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

_SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_COMPUTE = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
_EXISTS_ONLY = _SCOPES[:4] + ("CrossNamespacePodAffinity",)


class ResourceQuotaStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/resourcequota/strategy.go`."""

    returns_deleted_object = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column(
            "Request",
            about="Request represents a minimum amount of cpu/memory that a container may consume.",
        ),
        Column(
            "Limit",
            about=(
                "Limits control the maximum amount of cpu/memory that a container may use "
                "independent of contention on the node."
            ),
        ),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        for holder, field in ((spec, "hard"), (status, "hard"), (status, "used")):
            if holder.get(field):
                canonical_list(holder[field])

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = _amounts(spec.get("hard") or {}, "spec.hard")
        return errors + _scopes(spec) + _scope_selector(spec.get("scopeSelector"))

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        changed = sorted(spec.get("scopes") or ()) != sorted(before.get("scopes") or ())
        errors = self.validate(obj)
        if changed:
            errors += immutable(spec.get("scopes"), before.get("scopes"), "spec.scopes")
        return errors

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        status = obj.get("status") or {}
        errors = _amounts(status.get("hard") or {}, "status.hard")
        return errors + _amounts(status.get("used") or {}, "status.used")

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        status = obj.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        requests: list[str] = []
        limits: list[str] = []
        for name in sorted(hard):
            text = f"{name}: {used.get(name, '0')}/{hard[name]}"
            (limits if name.startswith("limits.") else requests).append(text)
        return [name_of(obj), ", ".join(requests), ", ".join(limits), age(obj, now)]


def _amounts(quantities: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, quantity in sorted(quantities.items()):
        own = f"{path}[{name}]"
        wrong = complaints(own, name, qualified_name_errors(name))
        if not wrong and "/" not in name and not _is_standard(name):
            text = "must be a standard resource type or fully qualified"
            wrong.append(invalid(own, name, text))
        if "/" not in name and not _is_standard(name):
            wrong.append(invalid(own, name, "must be a standard resource for quota"))
        errors += wrong
        errors += resource_value(name, quantity, own)
    return errors


def _is_standard(name: str) -> bool:
    return name in STANDARD_RESOURCES or name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}"))


def _scopes(spec: Object) -> list[FieldError]:
    scopes, names = spec.get("scopes") or [], list(spec.get("hard") or ())
    errors: list[FieldError] = []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(invalid("spec.scopes", scopes, "unsupported scope"))
            continue
        for name in names:
            if not _applies(scope, name):
                text = "unsupported scope applied to resource"
                errors.append(invalid("spec.scopes", scopes, text))
    if any(pair <= set(scopes) for pair in _CONFLICTS):
        errors.append(invalid("spec.scopes", scopes, "conflicting scopes"))
    return errors


def _applies(scope: str, name: str) -> bool:
    """Only what pods use up can be narrowed to some pods."""
    if scope == "BestEffort":
        return name in ("pods", "count/pods")
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage", "storage")
    return name in ("pods", "count/pods", "ephemeral-storage", *_COMPUTE) or "/" in name


def _scope_selector(selector: Object | None) -> list[FieldError]:
    path = "spec.scopeSelector.matchExpressions"
    errors: list[FieldError] = []
    for item in (selector or {}).get("matchExpressions") or ():
        scope, operator = item.get("scopeName"), item.get("operator")
        values = item.get("values") or []
        if scope not in _SCOPES:
            errors.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
        if scope in _EXISTS_ONLY and operator != "Exists":
            text = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            errors.append(invalid(f"{path}.operator", operator, text))
        elif operator in ("In", "NotIn"):
            if not values:
                text = (
                    "must be at least one value when `operator` is 'In' or 'NotIn' "
                    "for scope selector"
                )
                errors.append(required(f"{path}.values", text))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = (
                    "must be no value when `operator` is 'Exists' or 'DoesNotExist' "
                    "for scope selector"
                )
                errors.append(invalid(f"{path}.values", values, text))
        else:
            errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    return errors
