"""ValidatingAdmissionPolicyBinding and MutatingAdmissionPolicyBinding.

Source: k8s.io/kubernetes `pkg/apis/admissionregistration/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from kapi.api.names import dns_subdomain_errors, path_segment_errors
from kapi.api.object import Object, name_of
from kapi.api.selectors import validate_label_selector
from kapi.registry.admissionregistration import matching
from kapi.registry.cells import UNSET
from kapi.registry.fields import complaints
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

_ACTIONS = ("Audit", "Deny", "Warn")
_NOT_FOUND_ACTIONS = ("Deny", "Allow")


class MutatingAdmissionPolicyBindingStrategy(Strategy):
    """Source: `pkg/registry/admissionregistration/mutatingadmissionpolicybinding/strategy.go`."""

    allow_unconditional_update = False
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column(
            "PolicyName",
            about="PolicyName indicates the policy definition which the policy binding binded to",
        ),
        Column(
            "ParamRef",
            about="ParamRef indicates the param resource which sets the configuration param",
        ),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        matching.default_match_resources(obj.setdefault("spec", {}).get("matchResources"))

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        name = str(spec.get("policyName") or "")
        errors = [] if name else [required("spec.policyName")]
        if name:
            errors += complaints("spec.policyName", name, dns_subdomain_errors(name))
        if spec.get("paramRef") is not None:
            errors += _param_ref(spec["paramRef"], "spec.paramRef")
        if spec.get("matchResources") is not None:
            errors += matching.match_resources(spec["matchResources"], "spec.matchResources")
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        policy = spec.get("policyName") or ""
        return [name_of(obj), policy, _param_cell(spec.get("paramRef")), age(obj, now)]


class ValidatingAdmissionPolicyBindingStrategy(MutatingAdmissionPolicyBindingStrategy):
    """Also says what happens when a validation fails."""

    def validate(self, obj: Object) -> list[FieldError]:
        actions = (obj.get("spec") or {}).get("validationActions") or []
        return super().validate(obj) + _actions(actions, "spec.validationActions")


def _param_ref(reference: Object, path: str) -> list[FieldError]:
    name, selector = reference.get("name"), reference.get("selector")
    errors: list[FieldError] = []
    exclusive = "name and selector are mutually exclusive"
    if name:
        errors += complaints(f"{path}.name", name, path_segment_errors(name))
        if selector is not None:
            errors.append(forbidden(f"{path}.name", exclusive))
    if selector is not None:
        errors += validate_label_selector(selector, f"{path}.selector")
        if name:
            errors.append(forbidden(f"{path}.selector", exclusive))
    if not name and selector is None:
        errors.append(required(path, "one of name or selector must be specified"))
    action, own = reference.get("parameterNotFoundAction"), f"{path}.parameterNotFoundAction"
    return errors + matching.supported(action, _NOT_FOUND_ACTIONS, own)


def _actions(actions: list[str], path: str) -> list[FieldError]:
    if not actions:
        return [required(path, "at least one validation action is required")]
    errors: list[FieldError] = []
    for index, action in enumerate(actions):
        if action in actions[:index]:
            errors.append(duplicate(f"{path}[{index}]", action))
        if action not in _ACTIONS:
            errors.append(not_supported(f"{path}[{index}]", action, _ACTIONS))
    if "Deny" in actions and "Warn" in actions:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure "
            "information in the API response and headers serves no purpose)"
        )
        errors.append(invalid(path, actions, text))
    return errors


def _param_cell(reference: Object | None) -> str:
    """`namespace/name`, or the selector as Go prints it."""
    if not reference:
        return UNSET
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    selector = reference.get("selector") or {}
    labels = "".join(f"{key}: {value}," for key, value in sorted(_labels(selector).items()))
    expressions = "".join(_expression(item) for item in selector.get("matchExpressions") or ())
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def _labels(selector: Object) -> dict[str, str]:
    return selector.get("matchLabels") or {}


def _expression(item: Object) -> str:
    values = " ".join(item.get("values") or ())
    key, operator = item.get("key", ""), item.get("operator", "")
    return f"LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},"
