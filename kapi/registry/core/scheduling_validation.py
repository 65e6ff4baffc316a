"""Validation of what tells the scheduler where a pod may go.

Source: `validateAffinity`, `ValidateTolerations` and `validateTopologySpreadConstraints` in
k8s.io/kubernetes `pkg/apis/core/validation/validation.go`.
"""

from typing import Any

from kapi.api.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from kapi.api.names import dns_label_errors, label_value_errors, qualified_name_errors
from kapi.api.object import Object
from kapi.api.selectors import validate_label_selector
from kapi.registry.fields import complaints, one_of

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_WHEN = ("DoNotSchedule", "ScheduleAnyway")
_POLICIES = ("Honor", "Ignore")
_SELECTOR_REQUIRED = "must not be specified when labelSelector is not set"


def affinity(value: Object | None, path: str) -> list[FieldError]:
    if not value:
        return []
    errors: list[FieldError] = []
    if value.get("nodeAffinity") is not None:
        errors += _node_affinity(value["nodeAffinity"], f"{path}.nodeAffinity")
    for kind in ("podAffinity", "podAntiAffinity"):
        if value.get(kind) is not None:
            errors += _pod_affinity(value[kind], f"{path}.{kind}")
    return errors


def _node_affinity(value: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if value.get(_REQUIRED) is not None:
        errors += node_selector(value[_REQUIRED], f"{path}.{_REQUIRED}")
    for index, term in enumerate(value.get(_PREFERRED) or ()):
        own = f"{path}.{_PREFERRED}[{index}]"
        errors += _weight(term.get("weight"), f"{own}.weight")
        errors += _node_term(term.get("preference") or {}, f"{own}.preference")
    return errors


def _weight(value: Any, path: str) -> list[FieldError]:
    number = value or 0
    return [] if 1 <= number <= 100 else [invalid(path, number, "must be in the range 1-100")]


def node_selector(value: Object, path: str) -> list[FieldError]:
    terms = value.get("nodeSelectorTerms") or []
    own = f"{path}.nodeSelectorTerms"
    if not terms:
        return [required(own, "must have at least one node selector term")]
    return [
        error for index, term in enumerate(terms) for error in _node_term(term, f"{own}[{index}]")
    ]


def _node_term(term: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(term.get("matchExpressions") or ()):
        errors += _node_requirement(item, f"{path}.matchExpressions[{index}]")
    for index, item in enumerate(term.get("matchFields") or ()):
        errors += _field_requirement(item, f"{path}.matchFields[{index}]")
    return errors


def _node_requirement(item: Object, path: str) -> list[FieldError]:
    operator, values = item.get("operator") or "", item.get("values") or []
    errors: list[FieldError] = []
    own = f"{path}.values"
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(required(own, text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(own, text))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(required(own, text))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = str(item.get("key") or "")
    errors += complaints(f"{path}.key", key, qualified_name_errors(key))
    return errors


def _field_requirement(item: Object, path: str) -> list[FieldError]:
    operator, values = item.get("operator") or "", item.get("values") or []
    errors: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if len(values) != 1:
            text = (
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )
            errors.append(required(f"{path}.values", text))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = str(item.get("key") or "")
    if key != "metadata.name":
        errors.append(invalid(f"{path}.key", key, "not a valid field selector key"))
    return errors


def _pod_affinity(value: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, term in enumerate(value.get(_REQUIRED) or ()):
        errors += _pod_term(term, f"{path}.{_REQUIRED}[{index}]")
    for index, weighted in enumerate(value.get(_PREFERRED) or ()):
        own = f"{path}.{_PREFERRED}[{index}]"
        errors += _weight(weighted.get("weight"), f"{own}.weight")
        errors += _pod_term(weighted.get("podAffinityTerm") or {}, f"{own}.podAffinityTerm")
    return errors


def _pod_term(term: Object, path: str) -> list[FieldError]:
    errors = _selector(term.get("labelSelector"), f"{path}.labelSelector")
    errors += _selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        errors += complaints(f"{path}.namespace", name, dns_label_errors(name))
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        if term.get(field) and term.get("labelSelector") is None:
            errors.append(forbidden(f"{path}.{field}", _SELECTOR_REQUIRED))
    key = str(term.get("topologyKey") or "")
    if not key:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    return errors + complaints(f"{path}.topologyKey", key, qualified_name_errors(key))


def _selector(value: Object | None, path: str) -> list[FieldError]:
    return [] if value is None else validate_label_selector(value, path)


def tolerations(items: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        errors += _toleration(item, f"{path}[{index}]")
    return errors


def _toleration(item: Object, path: str) -> list[FieldError]:
    key, operator = str(item.get("key") or ""), str(item.get("operator") or "")
    value, effect = str(item.get("value") or ""), str(item.get("effect") or "")
    errors = complaints(f"{path}.key", key, qualified_name_errors(key)) if key else []
    if not key and operator != "Exists":
        text = (
            "operator must be Exists when `key` is empty, which means "
            '"match all values and all keys"'
        )
        errors.append(invalid(f"{path}.operator", operator, text))
    if item.get("tolerationSeconds") is not None and effect != "NoExecute":
        text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        errors.append(invalid(f"{path}.effect", effect, text))
    if operator in ("Equal", ""):
        wrong = label_value_errors(value)
        if wrong:
            errors.append(invalid(f"{path}.operator", value, ";".join(wrong)))
    elif operator == "Exists":
        if value:
            text = "value must be empty when `operator` is 'Exists'"
            errors.append(invalid(f"{path}.operator", value, text))
    else:
        known = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else ("Equal", "Exists")
        errors.append(not_supported(f"{path}.operator", operator, known))
    if effect:
        errors += one_of(effect, _EFFECTS, f"{path}.effect")
    return errors


def topology_spread(items: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        own = f"{path}[{index}]"
        errors += _spread_constraint(item, own)
        pair = (item.get("topologyKey"), item.get("whenUnsatisfiable"))
        for later in items[index + 1 :]:
            if (later.get("topologyKey"), later.get("whenUnsatisfiable")) == pair:
                shown = "{" + f"{pair[0]}, {pair[1]}" + "}"
                errors.append(duplicate(f"{own}.{{topologyKey, whenUnsatisfiable}}", shown))
                break
        errors += _selector(item.get("labelSelector"), f"{own}.labelSelector")
    return errors


def _spread_constraint(item: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    skew, domains = item.get("maxSkew") or 0, item.get("minDomains")
    when = item.get("whenUnsatisfiable") or ""
    if skew <= 0:
        errors.append(invalid(f"{path}.maxSkew", skew, "must be greater than zero"))
    if not item.get("topologyKey"):
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    errors += one_of(when, _WHEN, f"{path}.whenUnsatisfiable")
    if domains is not None:
        if domains <= 0:
            errors.append(invalid(f"{path}.minDomains", domains, "must be greater than zero"))
        if when != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
            errors.append(invalid(f"{path}.minDomains", domains, text))
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if item.get(field) is not None:
            errors += one_of(item[field], _POLICIES, f"{path}.{field}")
    if item.get("matchLabelKeys") and item.get("labelSelector") is None:
        errors.append(forbidden(f"{path}.matchLabelKeys", _SELECTOR_REQUIRED))
    return errors
