"""FlowSchema: which requests are of which priority level.

Source: k8s.io/kubernetes `pkg/apis/flowcontrol/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from kapi.api.names import dns_label_errors, dns_subdomain_errors
from kapi.api.object import Object, name_of
from kapi.registry.cells import NONE
from kapi.registry.fields import complaints, dns_subdomain
from kapi.registry.flowcontrol.mandatory import mandatory_spec
from kapi.registry.internal_form import internal_form
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, RequestContext, Strategy, age

_HIGHEST_PRECEDENCE = 10_000
_DEFAULT_PRECEDENCE = 1000
_METHODS = ("ByNamespace", "ByUser")
_SUBJECT_FIELDS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_VERBS = (
    "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch",
)  # fmt: skip
_SPEC = "=api.flowcontrol.v1.FlowSchemaSpec"
_TYPES = {
    "Spec": (
        "PriorityLevelConfiguration:Reference MatchingPrecedence:i DistinguisherMethod:*Method "
        "Rules:[]Rule"
    ),
    "Reference": "Name",
    "Method": "Type",
    "Rule": "Subjects:[]Subject ResourceRules:[]Resources NonResourceRules:[]Paths",
    "Subject": "Kind User:*Reference Group:*Reference ServiceAccount:*Account",
    "Account": "Namespace Name",
    "Resources": "Verbs:? APIGroups:? Resources:? ClusterScope:b Namespaces:?",
    "Paths": "Verbs:? NonResourceURLs:?",
}


class FlowSchemaStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/flowcontrol/flowschema/strategy.go`."""

    has_generation = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column(
            "PriorityLevel",
            about="=api.flowcontrol.v1.PriorityLevelConfigurationReference.name",
        ),
        Column("MatchingPrecedence", about=f"{_SPEC}.matchingPrecedence"),
        Column("DistinguisherMethod", about=f"{_SPEC}.distinguisherMethod"),
        AGE_COLUMN,
        Column(
            "MissingPL",
            about="references a broken or non-existent PriorityLevelConfiguration",
        ),
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = _DEFAULT_PRECEDENCE

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {}

    def validate(self, obj: Object) -> list[FieldError]:
        spec, name = obj.get("spec") or {}, name_of(obj)
        errors = _spec(spec, name)
        wanted = mandatory_spec("FlowSchema", name)
        if wanted is not None and spec != wanted:
            text = f"spec of '{name}' must equal the fixed value"
            errors.append(invalid("spec", internal_form(spec, "Spec", _TYPES), text))
        return errors

    def canonicalize(self, obj: Object) -> None:
        """Absent namespaces are stored as null."""
        for rule in (obj.get("spec") or {}).get("rules") or ():
            for item in rule.get("resourceRules") or ():
                item["namespaces"] = item.get("namespaces") or None

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return condition_errors(obj)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        dangling = "?"
        for condition in (obj.get("status") or {}).get("conditions") or ():
            if condition.get("type") == "Dangling":
                dangling = condition.get("status") or ""
        return [
            name_of(obj),
            (spec.get("priorityLevelConfiguration") or {}).get("name") or "",
            spec.get("matchingPrecedence") or 0,
            (spec.get("distinguisherMethod") or {}).get("type") or NONE,
            age(obj, now),
            dangling,
        ]


def condition_errors(obj: Object) -> list[FieldError]:
    """Types of status conditions: there, and each once."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        path, kind = f"status.conditions[{index}].type", condition.get("type") or ""
        if kind in seen:
            errors.append(duplicate(path, kind))
        seen.add(kind)
        if not kind:
            errors.append(required(path, "must not be empty"))
    return errors


def _spec(spec: Object, name: str) -> list[FieldError]:
    errors: list[FieldError] = []
    precedence, path = spec.get("matchingPrecedence") or 0, "spec.matchingPrecedence"
    if precedence <= 0:
        errors.append(invalid(path, precedence, "must be a positive value"))
    if precedence > _HIGHEST_PRECEDENCE:
        text = f"must not be greater than {_HIGHEST_PRECEDENCE}"
        errors.append(invalid(path, precedence, text))
    if precedence == 1 and name != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(invalid(path, precedence, text))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _METHODS:
        shown = internal_form(method, "Method", _TYPES)
        errors.append(not_supported("spec.distinguisherMethod.type", shown, _METHODS))
    path = "spec.priorityLevelConfiguration.name"
    level = (spec.get("priorityLevelConfiguration") or {}).get("name")
    errors += (
        dns_subdomain(level, path) if level else [required(path, "must reference a priority level")]
    )
    for index, rule in enumerate(spec.get("rules") or ()):
        errors += _rule(rule, f"spec.rules[{index}]")
    return errors


def _rule(rule: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    subjects = rule.get("subjects") or []
    if not subjects:
        text = "subjects must contain at least one value"
        errors.append(required(f"{path}.subjects", text))
    for index, subject in enumerate(subjects):
        errors += _subject(subject, f"{path}.subjects[{index}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors.append(required(path, text))
    for index, item in enumerate(rule.get("resourceRules") or ()):
        errors += _resource_rule(item, f"{path}.resourceRules[{index}]")
    for index, item in enumerate(rule.get("nonResourceRules") or ()):
        errors += _path_rule(item, f"{path}.nonResourceRules[{index}]")
    return errors


def _subject(subject: Object, path: str) -> list[FieldError]:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECT_FIELDS:
        return [not_supported(f"{path}.kind", kind, tuple(_SUBJECT_FIELDS))]
    errors: list[FieldError] = []
    fields = sorted(_SUBJECT_FIELDS.items(), key=lambda item: item[0] != kind)
    for other, field in fields:
        value, own = subject.get(field), f"{path}.{field}"
        if other == kind and value is None:
            text = f"{field} is required when subject kind is '{other}'"
            errors.append(required(own, text))
        elif other == kind:
            named = _account if kind == "ServiceAccount" else _named
            errors += named(value or {}, own)
        elif value is not None:
            text = f"{field} is forbidden when subject kind is not '{other}'"
            errors.append(forbidden(own, text))
    return errors


def _named(subject: Object, path: str) -> list[FieldError]:
    return [] if subject.get("name") else [required(f"{path}.name")]


def _account(account: Object, path: str) -> list[FieldError]:
    name, namespace = account.get("name") or "", account.get("namespace") or ""
    errors = _named(account, path)
    if name not in ("", "*"):
        errors += complaints(f"{path}.name", name, dns_subdomain_errors(name))
    if not namespace:
        text = "must specify namespace for service account"
        errors.append(required(f"{path}.namespace", text))
    else:
        errors += complaints(f"{path}.namespace", namespace, dns_label_errors(namespace))
    return errors


def _verbs(verbs: list[str], path: str) -> list[FieldError]:
    if not verbs:
        return [required(path, "verbs must contain at least one value")]
    if "*" in verbs:
        return _alone(verbs, path, "verbs")
    return [] if set(verbs) <= set(_VERBS) else [not_supported(path, verbs, _VERBS)]


def _alone(items: list[str], path: str, noun: str) -> list[FieldError]:
    if len(items) > 1 and "*" in items:
        return [invalid(path, items, f"if '*' is present, must not specify other {noun}")]
    return []


def _resource_rule(rule: Object, path: str) -> list[FieldError]:
    errors = _verbs(rule.get("verbs") or [], f"{path}.verbs")
    for field, noun in (("apiGroups", "api group"), ("resources", "resource")):
        items = rule.get(field) or []
        if not items:
            text = f"resource rules must supply at least one {noun}"
            errors.append(required(f"{path}.{field}", text))
        errors += _alone(items, f"{path}.{field}", f"{noun}s")
    namespaces, own = rule.get("namespaces") or [], f"{path}.namespaces"
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(required(own, text))
    elif "*" in namespaces:
        errors += _alone(namespaces, own, "namespaces")
    else:
        for index, namespace in enumerate(namespaces):
            errors += complaints(f"{own}[{index}]", namespace, dns_label_errors(namespace))
    return errors


def _path_rule(rule: Object, path: str) -> list[FieldError]:
    errors = _verbs(rule.get("verbs") or [], f"{path}.verbs")
    urls, own = rule.get("nonResourceURLs") or [], f"{path}.nonResourceURLs"
    if not urls:
        return [*errors, required(own, "nonResourceURLs must contain at least one value")]
    if "*" in urls:
        return errors + _alone(urls, own, "non-resource URLs")
    for index, url in enumerate(urls):
        problem = _url_problem(url)
        if problem:
            errors.append(invalid(f"{own}[{index}]", url, problem))
    return errors


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count("*")
    if stars > 1 or (stars and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""
