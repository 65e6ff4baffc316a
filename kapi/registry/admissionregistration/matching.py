"""What webhooks and admission policies share: which requests they are about.

Source: k8s.io/kubernetes `pkg/apis/admissionregistration/{v1/defaults,validation/validation}.go`.
"""

from collections.abc import Sequence
from typing import Any

from kapi.api.errors import FieldError, duplicate, invalid, not_supported, required, too_many
from kapi.api.names import path_segment_errors
from kapi.api.object import Object
from kapi.api.selectors import validate_label_selector
from kapi.registry.expressions import expression_errors
from kapi.registry.fields import complaints, one_of, qualified_name

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_MOST_CONDITIONS = 64
REQUEST_VARIABLES = ("object", "oldObject", "request", "authorizer")
"""What CEL conditions may always use."""


def default_rules(rules: Sequence[Object] | None) -> None:
    for rule in rules or ():
        if rule.get("scope") is None:
            rule["scope"] = "*"


def default_selection(owner: Object) -> None:
    """A webhook's, or match resources': match policy and the two selectors."""
    if owner.get("matchPolicy") is None:
        owner["matchPolicy"] = "Equivalent"
    for field in ("namespaceSelector", "objectSelector"):
        if owner.get(field) is None:
            owner[field] = {}


def default_match_resources(owner: Object | None) -> None:
    if owner is not None:
        default_selection(owner)
        default_rules(owner.get("resourceRules"))
        default_rules(owner.get("excludeResourceRules"))


def selectors(owner: Object, path: str) -> list[FieldError]:
    return [
        *validate_label_selector(owner.get("namespaceSelector"), f"{path}.namespaceSelector"),
        *validate_label_selector(owner.get("objectSelector"), f"{path}.objectSelector"),
    ]


def match_resources(owner: Object, path: str) -> list[FieldError]:
    errors = one_of(owner.get("matchPolicy") or "", MATCH_POLICIES, f"{path}.matchPolicy")
    errors += selectors(owner, path)
    for field in ("resourceRules", "excludeResourceRules"):
        for index, item in enumerate(owner.get(field) or ()):
            errors += _named_rule(item, f"{path}.{field}[{index}]")
    return errors


def _named_rule(rule: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names = rule.get("resourceNames") or []
    for index, name in enumerate(names):
        own = f"{path}.resourceNames[{index}]"
        errors += complaints(own, name, path_segment_errors(name))
        if name in names[:index]:
            errors.append(duplicate(own, name))
    return errors + rule_with_operations(rule, path)


def rule_with_operations(rule: Object, path: str) -> list[FieldError]:
    """One rule: operations, groups, versions, resources, scope."""
    errors = _wildcard_list(rule.get("operations"), f"{path}.operations", "operations")
    for index, operation in enumerate(rule.get("operations") or ()):
        errors += one_of(operation, _OPERATIONS, f"{path}.operations[{index}]")
    errors += _wildcard_list(rule.get("apiGroups"), f"{path}.apiGroups", "API groups")
    errors += _wildcard_list(rule.get("apiVersions"), f"{path}.apiVersions", "API versions")
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            errors.append(required(f"{path}.apiVersions[{index}]"))
    errors += _resources(rule.get("resources") or [], f"{path}.resources")
    if rule.get("scope") is not None:
        errors += one_of(rule["scope"], _SCOPES, f"{path}.scope")
    return errors


def _wildcard_list(items: list[str] | None, path: str, noun: str) -> list[FieldError]:
    """`*` stands alone."""
    if not items:
        return [required(path)]
    if len(items) > 1 and "*" in items:
        return [invalid(path, items, f"if '*' is present, must not specify other {noun}")]
    return []


def _resources(resources: list[str], path: str) -> list[FieldError]:
    """`pods`, `pods/log`, `pods/*`, `*/scale`, `*`, `*/*`, none of which may include another."""
    if not resources:
        return [required(path)]
    errors: list[FieldError] = []
    whole: set[str] = set()
    every: set[str] = set()
    plain = False
    for index, item in enumerate(resources):
        own = f"{path}[{index}]"
        if not item:
            errors.append(required(own))
            continue
        resource, slash, subresource = item.partition("/")
        if not slash:
            plain = item != "*"
            continue
        if resource in whole:
            text = f"if '{resource}/*' is present, must not specify {item}"
            errors.append(invalid(own, item, text))
        if subresource in every:
            text = f"if '*/{subresource}' is present, must not specify {item}"
            errors.append(invalid(own, item, text))
        if subresource == "*":
            whole.add(resource)
        if resource == "*":
            every.add(subresource)
    if len(resources) > 1 and "*/*" in resources:
        text = "if '*/*' is present, must not specify other resources"
        errors.append(invalid(path, resources, text))
    if "*" in resources and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid(path, resources, text))
    return errors


def match_conditions(
    conditions: list[Object] | None, path: str, variables: tuple[str, ...] = REQUEST_VARIABLES
) -> list[FieldError]:
    """Complaints about CEL conditions over `variables`."""
    conditions = conditions or []
    if len(conditions) > _MOST_CONDITIONS:
        return [too_many(path, len(conditions), _MOST_CONDITIONS)]
    errors: list[FieldError] = []
    seen: set[Any] = set()
    for index, condition in enumerate(conditions):
        own = f"{path}[{index}]"
        expression = str(condition.get("expression") or "").strip()
        errors += (
            expression_errors(expression, variables, ("bool",), f"{own}.expression")
            if expression
            else [required(f"{own}.expression")]
        )
        name = condition.get("name")
        if not name:
            errors.append(required(f"{own}.name"))
            continue
        errors += qualified_name(name, f"{own}.name")
        if name in seen:
            errors.append(duplicate(f"{own}.name", name))
        seen.add(name)
    return errors


def supported(value: Any, allowed: Sequence[str], path: str) -> list[FieldError]:
    """A field that must be set, and to one of a few words."""
    if not value:
        return [required(path)]
    return [] if value in allowed else [not_supported(path, value, allowed)]
