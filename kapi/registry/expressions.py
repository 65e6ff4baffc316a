"""CEL expressions inside built-in kinds, judged when they are written.

An expression is compiled against the variables its field may use, and its type is compared with
what the field wants. Functions that the engine lacks (those of Kubernetes' libraries for
quantities, addresses, URLs, versions and authorization) are taken on trust: an expression that uses
one is checked for everything else, but not for its type. Source of the texts: k8s.io/apiserver
`pkg/admission/plugin/cel/compile.go` and `pkg/cel/environment`.
"""

import re
from functools import cache
from typing import Any

from kapi.api.errors import FieldError, invalid
from kapi.registry.custom.cel import CelError, compiled, environment

_BLOCK = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_ROOTS = frozenset(("Object", "JSONPatch", "jsonpatch", "ip", "format"))
_FUNCTIONS = frozenset(
    # Authorization.
    ("group", "resource", "subresource", "namespace", "name", "path", "serviceAccount", "check")
    + ("allowed", "reason", "errored", "error", "fieldSelector", "labelSelector")
    # Quantities and semantic versions.
    + ("quantity", "isQuantity", "isInteger", "asInteger", "asApproximateFloat", "sign", "add")
    + ("sub", "isGreaterThan", "isLessThan", "compareTo", "semver", "isSemver", "major", "minor")
    + ("patch",)
    # URLs, addresses and named formats.
    + ("url", "isURL", "getScheme", "getHost", "getHostname", "getPort", "getEscapedPath")
    + ("getQuery", "ip", "isIP", "family", "isUnspecified", "isLoopback", "isCanonical")
    + ("isLinkLocalMulticast", "isLinkLocalUnicast", "isGlobalUnicast", "cidr", "isCIDR")
    + ("containsIP", "containsCIDR", "masked", "prefixLength", "format", "validate", "named")
    # Patches, and lists.
    + ("escapeKey", "indexOf", "lastIndexOf")
)
_TYPE_NAMES = {"null": "null_type"}


@cache
def _environment(variables: tuple[str, ...]) -> Any:
    from cel_expr_python import cel

    return environment(dict.fromkeys(variables, cel.Type.DYN))


@cache
def _device_environment() -> Any:
    """What selectors of devices see: one typed variable."""
    from kapi.registry.custom.rule_types import RuleTypes

    anything = {"x-kubernetes-preserve-unknown-fields": True}
    by_domain = {
        "type": "object",
        "additionalProperties": {"type": "object", "additionalProperties": anything},
    }
    schema = {
        "type": "object",
        "properties": {
            "driver": {"type": "string"},
            "attributes": by_domain,
            "capacity": by_domain,
            "allowMultipleAllocations": {"type": "boolean"},
        },
    }
    types = RuleTypes(schema)
    return environment({"device": types.of(schema)}, types.pool)


def _complaint(expression: str, line: str, column: int, text: str) -> str:
    """One error as cel-go lays it out, with a mark below the place."""
    source = expression.split("\n")[int(line) - 1]
    mark = "." * (column - 1)
    return f"ERROR: <input>:{line}:{column}: {text}\n | {source}\n | {mark}^"


def _is_trusted(name: str, expression: str) -> bool:
    """Is this part of Kubernetes' libraries: a function of theirs that is called, or a root?"""
    function = name.rpartition(".")[2]
    if function in _FUNCTIONS and re.search(rf"\b{re.escape(function)}\s*\(", expression):
        return True
    return name.partition(".")[0] in _ROOTS


def _problems(expression: str, error: str) -> list[str]:
    """The engine's complaints that are not about a function it merely lacks."""
    found = []
    for line, place, words in _BLOCK.findall(error.replace("\\u003F", "?")):
        text, column = words, int(place)
        name = _UNDECLARED.match(text)
        if name and _is_trusted(name[1], expression):
            continue
        if name and "." in name[1]:
            # The engine names the whole path; cel-go its first part, where that stands.
            first, rest = name[1].partition(".")[0], name[1].rpartition(".")[0]
            column = max(1, column - len(rest))
            text = text.replace(f"'{name[1]}'", f"'{first}'", 1)
        elif name is None and "found no matching overload" in text and "dyn" in text:
            continue
        found.append(_complaint(expression, line, column, text))
    return found


def _type_name(program: Any) -> str:
    kind = program.return_type()
    name = str(kind.name() if callable(getattr(kind, "name", None)) else kind).lower()
    return _TYPE_NAMES.get(name, name)


def _checked(expression: str, env: Any, path: str) -> tuple[list[FieldError], str]:
    """Complaints, and the type of the result; an unknown type is empty."""
    try:
        return [], _type_name(compiled(env, expression))
    except CelError as error:
        message = str(error)
    problems = _problems(expression, message) if "ERROR:" in message else [message]
    if not problems:
        return [], ""
    text = "compilation failed: " + "\n".join(problems)
    return [invalid(path, expression, text)], ""


def expression_errors(
    expression: str, variables: tuple[str, ...], wanted: tuple[str, ...], path: str
) -> list[FieldError]:
    """Complaints about an expression over `variables` whose result is of a `wanted` type.

    Types are spelled as in messages (`bool`, `list(JSONPatch)`); none wanted means any will do.
    """
    errors, found = _checked(expression, _environment(tuple(sorted(variables))), path)
    if errors or not wanted or found in ("", "dyn", *wanted):
        return errors
    if any(one.partition("(")[0] == found.partition("(")[0] for one in wanted):
        return errors
    shown = wanted[0] if len(wanted) == 1 else f"one of [{' '.join(wanted)}]"
    return [invalid(path, expression, f"must evaluate to {shown} but got {found}")]


def device_selector_errors(expression: str, path: str) -> list[FieldError]:
    """Complaints about a selector of devices. Source: `k8s.io/dynamic-resource-allocation/cel`."""
    errors, found = _checked(expression, _device_environment(), path)
    if errors or found in ("", "dyn", "bool"):
        return errors
    text = f"must evaluate to bool or the unknown type, not {found}"
    return [invalid(path, expression, text)]
