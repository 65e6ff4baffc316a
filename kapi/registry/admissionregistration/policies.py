"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy.

Source: k8s.io/kubernetes `pkg/apis/admissionregistration/validation/validation.go`.
"""

import re
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, duplicate, invalid, not_supported, required
from kapi.api.names import dns1035_label_errors, dns_subdomain_errors, qualified_name_errors
from kapi.api.object import Object, name_of
from kapi.registry.admissionregistration import matching
from kapi.registry.cells import UNSET
from kapi.registry.expressions import expression_errors
from kapi.registry.fields import complaints
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, RequestContext, Strategy, age

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_REINVOCATION = ("IfNeeded", "Never")
_PATCH_TYPES = {
    "ApplyConfiguration": ("applyConfiguration", "Object"),
    "JSONPatch": ("jsonPatch", "list(JSONPatch)"),
}
_MOST_ANNOTATIONS = 20
_LONGEST_VALUE_EXPRESSION = 5 * 1024
_NOT_EMPTY = "must be non-empty if specified"
_CEL_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
# Source: the CEL language definition's keywords and reserved words.
_CEL_RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for")
    + ("function", "if", "import", "let", "loop", "package", "namespace", "return", "var")
    + ("void", "while")
)
_PARAM_KIND = Column(
    "ParamKind",
    about="ParamKind specifies the kind of resources used to parameterize this policy",
)


class ValidatingAdmissionPolicyStrategy(Strategy):
    """Source: `pkg/registry/admissionregistration/validatingadmissionpolicy/strategy.go`."""

    allow_unconditional_update = False
    has_generation = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column(
            "Validations",
            "integer",
            about="Validations indicates the number of validation rules defined in this "
            "configuration",
        ),
        _PARAM_KIND,
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        _default_policy(obj)

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {}

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = _shared(spec)
        validations, annotations = spec.get("validations"), spec.get("auditAnnotations")
        if not validations and not annotations:
            text = "validations or auditAnnotations must contain at least one item"
            fields = ("spec.validations", "spec.auditAnnotations")
            return errors + [required(field, text) for field in fields]
        for index, item in enumerate(validations or ()):
            errors += _validation(spec, item, f"spec.validations[{index}]")
        return errors + _audit_annotations(spec, name_of(obj))

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        count = len((obj.get("spec") or {}).get("validations") or ())
        return [name_of(obj), count, _param_kind_cell(obj), age(obj, now)]


class MutatingAdmissionPolicyStrategy(Strategy):
    """Source: `pkg/registry/admissionregistration/mutatingadmissionpolicy/strategy.go`."""

    allow_unconditional_update = False
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column(
            "Mutations",
            "integer",
            about="Mutation indicates the number of mutations rules defined in this configuration",
        ),
        _PARAM_KIND,
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        _default_policy(obj)

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = _shared(spec)
        mutations = spec.get("mutations") or []
        if not mutations:
            errors.append(required("spec.mutations", "mutations must contain at least one item"))
        for index, item in enumerate(mutations):
            errors += _mutation(spec, item, f"spec.mutations[{index}]")
        policy = spec.get("reinvocationPolicy")
        return errors + matching.supported(policy, _REINVOCATION, "spec.reinvocationPolicy")

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        count = len((obj.get("spec") or {}).get("mutations") or ())
        return [name_of(obj), count, _param_kind_cell(obj), age(obj, now)]


def _default_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("failurePolicy") is None:
        spec["failurePolicy"] = "Fail"
    matching.default_match_resources(spec.get("matchConstraints"))


def _param_kind_cell(obj: Object) -> str:
    kind = (obj.get("spec") or {}).get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


def _variables(spec: Object, *, authorizer: bool = True) -> tuple[str, ...]:
    """What the expressions of a policy may use, beside its own variables."""
    found = ["object", "oldObject", "request", "namespaceObject"]
    if authorizer:
        found.append("authorizer")
    if spec.get("paramKind") is not None:
        found.append("params")
    return tuple(found)


def _all_variables(spec: Object, *, authorizer: bool = True) -> tuple[str, ...]:
    own = ("variables",) if spec.get("variables") else ()
    return _variables(spec, authorizer=authorizer) + own


def _shared(spec: Object) -> list[FieldError]:
    """What both kinds of policy have."""
    errors = matching.supported(
        spec.get("failurePolicy"), matching.FAILURE_POLICIES, "spec.failurePolicy"
    )
    if spec.get("paramKind") is not None:
        errors += _param_kind(spec["paramKind"], "spec.paramKind")
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.append(required("spec.matchConstraints"))
    else:
        errors += matching.match_resources(constraints, "spec.matchConstraints")
        if not constraints.get("resourceRules"):
            errors.append(required("spec.matchConstraints.resourceRules"))
    known = _variables(spec)
    errors += matching.match_conditions(spec.get("matchConditions"), "spec.matchConditions", known)
    for index, item in enumerate(spec.get("variables") or ()):
        earlier = ("variables",) if index else ()
        errors += _variable(item, known + earlier, f"spec.variables[{index}]")
    return errors


def _param_kind(kind: Object, path: str) -> list[FieldError]:
    errors = _param_version(str(kind.get("apiVersion") or ""), f"{path}.apiVersion")
    name = str(kind.get("kind") or "")
    if not name:
        return [*errors, required(f"{path}.kind")]
    problems = ",".join(dns1035_label_errors(name.lower()))
    if problems:
        text = f"may have mixed case, but should otherwise match: {problems}"
        errors.append(invalid(f"{path}.kind", name, text))
    return errors


def _param_version(api_version: str, path: str) -> list[FieldError]:
    if not api_version:
        return [required(path)]
    if api_version.count("/") > 1:
        return [invalid(path, api_version, f"unexpected GroupVersion string: {api_version}")]
    group, _, version = api_version.rpartition("/")
    errors: list[FieldError] = []
    if group and dns_subdomain_errors(group):
        errors.append(invalid(path, group, ",".join(dns_subdomain_errors(group))))
    if not version:
        errors.append(invalid(path, api_version, "version must be specified"))
    elif dns1035_label_errors(version):
        errors.append(invalid(path, version, ",".join(dns1035_label_errors(version))))
    return errors


def _expression(
    value: Any, variables: tuple[str, ...], wanted: tuple[str, ...], path: str, detail: str = ""
) -> list[FieldError]:
    """Complaints about an expression that must be there."""
    text = str(value or "").strip()
    if not text:
        return [required(path, detail)]
    return expression_errors(text, variables, wanted, path)


def _variable(variable: Object, known: tuple[str, ...], path: str) -> list[FieldError]:
    name = str(variable.get("name") or "")
    errors: list[FieldError] = []
    if not name.strip():
        errors.append(required(f"{path}.name", "name is not specified"))
    elif not _CEL_IDENTIFIER.fullmatch(name) or name in _CEL_RESERVED:
        errors.append(invalid(f"{path}.name", name, "must be a valid CEL identifier"))
    text = "expression is not specified"
    return errors + _expression(variable.get("expression"), known, (), f"{path}.expression", text)


def _validation(spec: Object, item: Object, path: str) -> list[FieldError]:
    text = "expression is not specified"
    known = _all_variables(spec)
    errors = _expression(item.get("expression"), known, ("bool",), f"{path}.expression", text)
    message, formula = item.get("message") or "", item.get("messageExpression") or ""
    if formula and not formula.strip():
        errors.append(invalid(f"{path}.messageExpression", formula, _NOT_EMPTY))
    elif formula:
        known = _all_variables(spec, authorizer=False)
        own = f"{path}.messageExpression"
        errors += expression_errors(formula.strip(), known, ("string",), own)
    if message and not message.strip():
        errors.append(invalid(f"{path}.message", message, _NOT_EMPTY))
    elif "\n" in message.strip():
        errors.append(invalid(f"{path}.message", message, "must not contain line breaks"))
    reason = item.get("reason")
    if reason is not None and reason not in _REASONS:
        errors.append(not_supported(f"{path}.reason", reason, _REASONS))
    return errors


def _audit_annotations(spec: Object, policy: str) -> list[FieldError]:
    annotations = spec.get("auditAnnotations") or []
    errors: list[FieldError] = []
    if len(annotations) > _MOST_ANNOTATIONS:
        text = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        errors.append(invalid("spec.auditAnnotations", annotations, text))
    seen: set[str] = set()
    for index, item in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{index}]", str(item.get("key") or "")
        full = f"{policy}/{key}" if policy else key
        errors += complaints(f"{path}.key", full, qualified_name_errors(full))
        if key in seen:
            errors.append(duplicate(f"{path}.key", key))
        seen.add(key)
        errors += _value_expression(spec, item.get("valueExpression"), f"{path}.valueExpression")
    return errors


def _value_expression(spec: Object, value: Any, path: str) -> list[FieldError]:
    if len(str(value or "").strip().encode()) > _LONGEST_VALUE_EXPRESSION:
        text = f"must not exceed {_LONGEST_VALUE_EXPRESSION} bytes in length"
        return [required(path, text)]
    wanted = ("string", "null_type")
    text = "valueExpression is not specified"
    return _expression(value, _all_variables(spec), wanted, path, text)


def _mutation(spec: Object, item: Object, path: str) -> list[FieldError]:
    """Exactly the patch that patchType names."""
    patch_type = item.get("patchType")
    if not patch_type:
        return [required(f"{path}.patchType")]
    if patch_type not in _PATCH_TYPES:
        return [not_supported(f"{path}.patchType", patch_type, tuple(_PATCH_TYPES))]
    errors: list[FieldError] = []
    field, result = _PATCH_TYPES[patch_type]
    if item.get(field) is None:
        text = f"must be specified when patchType is {patch_type}"
        errors.append(required(f"{path}.{field}", text))
    else:
        expression, own = item[field].get("expression"), f"{path}.{field}.expression"
        errors += _expression(expression, _all_variables(spec), (result,), own)
    for other, _result in _PATCH_TYPES.values():
        if other != field and item.get(other) is not None:
            text = f"must not be specified when patchType is {patch_type}"
            errors.append(invalid(f"{path}.{other}", f"{{{other}}}", text))
    return errors
