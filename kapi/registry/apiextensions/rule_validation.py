"""The rules of a schema: do they compile against its types, and come to true or false?

Source: k8s.io/apiextensions-apiserver `pkg/apis/apiextensions/validation/validation.go`, from
`ValidateCustomResourceDefinitionOpenAPISchema` on.
"""

from typing import Any

from kapi.api.errors import FieldError, invalid, not_supported, required
from kapi.api.object import Object
from kapi.registry.custom.cel import HAS_OLD, OLD_VALUE, CelError, compiled, environment
from kapi.registry.custom.json_path import JsonPath
from kapi.registry.custom.rule_types import RuleTypes
from kapi.registry.custom.rules import children, has_rules, rules_of, spelled_rule, with_old

_REASONS = (
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired",
)  # fmt: skip
_STEPS = {"[]": ".items", "*": ".additionalProperties"}


def validate_rules(schema: Object, path: str) -> list[FieldError]:
    """Every complaint about rules anywhere in the schema of a version."""
    if not has_rules(schema):
        return []
    return _below(schema, path, RuleTypes(schema))


def _below(schema: Object, path: str, types: RuleTypes) -> list[FieldError]:
    found: list[FieldError] = []
    rules = rules_of(schema)
    if rules:
        env = _environment(schema, types)
        for index, rule in enumerate(rules):
            found += _rule_errors(rule, schema, f"{path}.x-kubernetes-validations[{index}]", env)
    for step, child in sorted(children(schema), key=lambda item: item[0]):
        if has_rules(child):
            found += _below(child, path + _STEPS.get(step, f".properties[{step[1:]}]"), types)
    return found


def _environment(schema: Object, types: RuleTypes) -> Any:
    from cel_expr_python.cel import Type

    own = types.of(schema)
    names = {"self": own, "oldSelf": own, OLD_VALUE: own, HAS_OLD: Type.BOOL}
    return environment(names, types.pool)


def _rule_errors(rule: Object, schema: Object, path: str, env: Any) -> list[FieldError]:
    text = rule.get("rule") or ""
    if not text.strip():
        return [required(f"{path}.rule", "rule is not specified")]
    found: list[FieldError] = []
    message = rule.get("message") or ""
    if "message" in rule and not message.strip():
        found.append(invalid(f"{path}.message", message, "message must be non-empty if specified"))
    elif "\n" in message:
        found.append(invalid(f"{path}.message", message, "message must not contain line breaks"))
    if "\n" in text and not message:
        detail = "message must be specified if rule contains line breaks"
        found.append(required(f"{path}.message", detail))
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        found.append(not_supported(f"{path}.reason", reason, _REASONS))
    if rule.get("fieldPath"):
        found += _field_path_errors(rule["fieldPath"], schema, f"{path}.fieldPath")
    optional = bool(rule.get("optionalOldSelf"))
    found += _expression_errors(rule, text, f"{path}.rule", "BOOL", env, optional)
    say = rule.get("messageExpression")
    if say:
        where = f"{path}.messageExpression"
        found += _expression_errors(rule, say, where, "STRING", env, optional)
    return found


def _expression_errors(
    rule: Object, text: str, path: str, wanted: str, env: Any, optional: bool
) -> list[FieldError]:
    shown = spelled_rule(rule)
    try:
        kind = compiled(env, with_old(text, optional=optional)).return_type().name()
    except CelError as error:
        what = "compilation failed" if wanted == "BOOL" else "messageExpression compilation failed"
        return [FieldError("FieldValueInvalid", path, f"Invalid value: {shown}: {what}: {error}")]
    if kind in (wanted, "DYN"):
        return []
    what = "a bool" if wanted == "BOOL" else "a string"
    detail = f"compilation failed: cel expression must evaluate to {what}"
    return [FieldError("FieldValueInvalid", path, f"Invalid value: {shown}: {detail}")]


def _field_path_errors(text: str, schema: Object, path: str) -> list[FieldError]:
    """The path must lead to a field of the schema."""
    try:
        names = JsonPath(text).fields
    except ValueError:
        names = None
    if names is None or not text.startswith((".", "[")):
        return [invalid(path, text, "fieldPath must be a valid path")]
    target: Object | None = schema
    for name in names:
        properties = (target or {}).get("properties") or {}
        below = (target or {}).get("additionalProperties")
        target = properties.get(name) or (below if isinstance(below, dict) else None)
        if target is None:
            detail = "fieldPath must be a valid path: does not refer to a valid field"
            return [invalid(path, text, detail)]
    return []
