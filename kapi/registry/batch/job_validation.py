"""Validation of a Job's spec, which CronJob's template shares.

Source: `ValidateJobSpec` in k8s.io/kubernetes `pkg/apis/batch/validation/validation.go`.
"""

from typing import Any

from kapi.api.errors import (
    FieldError,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from kapi.api.indexes import count_indexes
from kapi.api.names import dns_label_errors, domain_prefixed_path_errors, qualified_name_errors
from kapi.api.object import Object, name_of
from kapi.api.selectors import label_selector_from_object, validate_label_selector
from kapi.registry.apps.validation import template_labels
from kapi.registry.core.pod_validation import pod_template
from kapi.registry.fields import complaints, not_negative, one_of
from kapi.registry.internal_form import internal_form

_MODES = ("NonIndexed", "Indexed")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_STATUSES = ("False", "True", "Unknown")
_MAXIMUM_INDEXED = 100_000
_LONGEST_MANAGER = 63
_MAXIMUM_RULES = 20
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)

_TYPES = {
    "FailurePolicy": "Rules:[]FailureRule",
    "FailureRule": "Action OnExitCodes:*ExitCodes OnPodConditions:[]Condition",
    "ExitCodes": "ContainerName:? Operator Values:?",
    "Condition": "Type Status",
    "SuccessPolicy": "Rules:[]SuccessRule",
    "SuccessRule": "SucceededIndexes:? SucceededCount:?",
}


def shown_policy(policy: Object | None, type_name: str) -> Object | None:
    """A `FailurePolicy` or `SuccessPolicy` in the form that messages quote."""
    return None if policy is None else internal_form(policy, type_name, _TYPES)


def job_spec(spec: Object, path: str = "spec") -> list[FieldError]:
    """Everything but the selector."""
    errors: list[FieldError] = []
    for name in _COUNTS:
        errors += not_negative(spec.get(name), f"{path}.{name}")
    manager = spec.get("managedBy")
    if manager is not None:
        own = f"{path}.managedBy"
        errors += complaints(own, manager, domain_prefixed_path_errors(manager))
        if len(manager) > _LONGEST_MANAGER:
            errors.append(too_long(own, _LONGEST_MANAGER))
    errors += _completion_mode(spec, path)
    if spec.get("podFailurePolicy") is not None:
        errors += _failure_policy(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        errors += _success_policy(spec, f"{path}.successPolicy")
    errors += _replacement(spec, f"{path}.podReplacementPolicy")
    return errors + _template(spec, f"{path}.template")


def job_selector(spec: Object) -> list[FieldError]:
    """The selector must be there and select the pods of the template."""
    selector, labels = spec.get("selector"), template_labels(spec.get("template"))
    errors = [required("spec.selector")] if selector is None else []
    wrong = validate_label_selector(selector, "spec.selector")
    errors += wrong
    if not wrong and not label_selector_from_object(selector).matches(labels or {}):
        text = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", labels, text))
    return errors


def generated_selector(spec: Object, generated: dict[str, str]) -> list[FieldError]:
    """Template labels and selector must be the generated ones, unless they are manual."""
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return []
    labels = template_labels(spec.get("template"))
    errors: list[FieldError] = []
    path = "spec.template.metadata.labels"
    for key, value in generated.items():
        if key not in (labels or {}):
            errors.append(required(f"{path}[{key}]", f"must be '{value}'"))
        elif (labels or {})[key] != value:
            errors.append(invalid(f"{path}[{key}]", labels, f"must be '{value}'"))
    if validate_label_selector(selector, "spec.selector"):
        return errors
    if not label_selector_from_object(selector).matches(generated):
        errors.append(invalid("spec.selector", selector, "`selector` not auto-generated"))
    return errors


def indexed_host_name(job: Object) -> list[FieldError]:
    """The host name of the last indexed pod, `<job>-<index>`, must be a DNS label."""
    spec, name = job.get("spec") or {}, name_of(job)
    completions = spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed" or completions <= 0:
        return []
    host = f"{name}-{completions - 1}"
    if not dns_label_errors(host):
        return []
    text = f"will not able to create pod with invalid DNS label: {host}"
    return [invalid("metadata.name", name, text)]


def _completion_mode(spec: Object, path: str) -> list[FieldError]:
    mode = spec.get("completionMode")
    errors: list[FieldError] = []
    if mode is not None:
        errors += one_of(mode, _MODES, f"{path}.completionMode")
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    per_index, failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if mode == "Indexed":
        if completions is None:
            text = f"when completion mode is {mode}"
            errors.append(required(f"{path}.completions", text))
        if parallelism is not None and parallelism > _MAXIMUM_INDEXED:
            text = (
                f"must be less than or equal to {_MAXIMUM_INDEXED} when completion mode is {mode}"
            )
            errors.append(invalid(f"{path}.parallelism", parallelism, text))
        if failed is not None:
            if completions is not None and failed > completions:
                text = "must be less than or equal to completions"
                errors.append(invalid(f"{path}.maxFailedIndexes", failed, text))
            if per_index is None:
                text = "when maxFailedIndexes is specified"
                errors.append(required(f"{path}.backoffLimitPerIndex", text))
        return errors
    for name, value in (("backoffLimitPerIndex", per_index), ("maxFailedIndexes", failed)):
        if value is not None:
            text = "requires indexed completion mode"
            errors.append(invalid(f"{path}.{name}", value, text))
    return errors


def _template(spec: Object, path: str) -> list[FieldError]:
    template = spec.get("template") or {}
    errors = pod_template(template, path)
    policy = (template.get("spec") or {}).get("restartPolicy")
    own = f"{path}.spec.restartPolicy"
    if policy in ("", None, "Always"):
        errors = [error for error in errors if error.field != own]
        errors.append(required(own, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors = [error for error in errors if error.field != own]
        errors.append(not_supported(own, policy, ("OnFailure", "Never")))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid(own, policy, text))
    return errors


def _replacement(spec: Object, path: str) -> list[FieldError]:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return []
    allowed: tuple[str, ...] = ("Failed", "TerminatingOrFailed")
    if spec.get("podFailurePolicy") is not None:
        allowed = ("Failed",)
    return one_of(policy, allowed, path)


def _failure_policy(spec: Object, path: str) -> list[FieldError]:
    rules = spec["podFailurePolicy"].get("rules") or []
    if len(rules) > _MAXIMUM_RULES:
        return [too_many(f"{path}.rules", len(rules), _MAXIMUM_RULES)]
    pod = (spec.get("template") or {}).get("spec") or {}
    names = {
        item.get("name")
        for kind in ("containers", "initContainers")
        for item in pod.get(kind) or ()
    }
    errors: list[FieldError] = []
    for index, rule in enumerate(rules):
        errors += _failure_rule(rule, spec, names, f"{path}.rules[{index}]")
    return errors


def _failure_rule(rule: Object, spec: Object, names: set[Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    action = rule.get("action") or ""
    if not action:
        shown = " ".join(f'"{item}"' for item in _ACTIONS)
        errors.append(required(f"{path}.action", f"valid values: [{shown}]"))
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        text = "requires the backoffLimitPerIndex to be set"
        errors.append(invalid(f"{path}.action", action, text))
    else:
        errors += one_of(action, _ACTIONS, f"{path}.action")
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        errors += _exit_codes(codes, names, f"{path}.onExitCodes")
    for index, condition in enumerate(conditions):
        own = f"{path}.onPodConditions[{index}]"
        kind = str(condition.get("type") or "")
        errors += complaints(f"{own}.type", kind, qualified_name_errors(kind))
        if not condition.get("status"):
            errors.append(required(f"{own}.status"))
        else:
            errors += one_of(condition["status"], _STATUSES, f"{own}.status")
    if codes is not None and conditions:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.append(FieldError("FieldValueInvalid", path, f"Invalid value: {text}"))
    elif codes is None and not conditions:
        text = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.append(FieldError("FieldValueInvalid", path, f"Invalid value: {text}"))
    return errors


def _exit_codes(codes: Object, names: set[Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values = codes.get("operator") or "", codes.get("values") or []
    errors += one_of(operator, ("In", "NotIn"), f"{path}.operator")
    container = codes.get("containerName")
    if container is not None and container not in names:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", container, text))
    own = f"{path}.values"
    if not values:
        errors.append(invalid(own, values, "at least one value is required"))
    seen: set[int] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            text = "must not be 0 for the In operator"
            errors.append(invalid(f"{own}[{index}]", value, text))
        if value in seen:
            errors.append(duplicate(f"{own}[{index}]", value))
        seen.add(value)
    if values != sorted(values):
        errors.append(invalid(own, values, "must be ordered"))
    return errors


def _success_policy(spec: Object, path: str) -> list[FieldError]:
    rules = spec["successPolicy"].get("rules") or []
    if spec.get("completionMode") != "Indexed":
        shown = shown_policy(spec["successPolicy"], "SuccessPolicy")
        return [invalid(path, shown, "requires indexed completion mode")]
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        return [required(f"{path}.rules", text)]
    if len(rules) > _MAXIMUM_RULES:
        return [too_many(f"{path}.rules", len(rules), _MAXIMUM_RULES)]
    errors: list[FieldError] = []
    completions = spec.get("completions") or 0
    for index, rule in enumerate(rules):
        errors += _success_rule(rule, completions, f"{path}.rules[{index}]")
    return errors


def _success_rule(rule: Object, completions: int, path: str) -> list[FieldError]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        return [required(path, text)]
    total = completions
    errors: list[FieldError] = []
    if indexes is not None:
        try:
            total = count_indexes(indexes, completions)
        except ValueError as error:
            text = f"error parsing succeededIndexes: {error}"
            return [invalid(f"{path}.succeededIndexes", indexes, text)]
    if count is not None:
        own = f"{path}.succeededCount"
        errors += not_negative(count, own)
        if count > total:
            what = "the number of indexes in the specified succeededIndexes field"
            what = what if indexes is not None else "the number of specified completions"
            text = f"must be less than or equal to {total} ({what})"
            errors.append(invalid(own, count, text))
    return errors


def immutable_completions(obj: Object, old: Object) -> list[FieldError]:
    """completions may only change with parallelism, and only for indexed Jobs."""
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    if spec.get("completions") == before.get("completions"):
        return []
    path = "spec.completions"
    if spec.get("completionMode") != "Indexed":
        return [invalid(path, spec.get("completions"), "field is immutable")]
    if spec.get("completions") != spec.get("parallelism"):
        text = "can only be modified in tandem with spec.parallelism"
        return [invalid(path, spec.get("completions"), text)]
    return []
