"""Validation of a container's environment.

Source: `ValidateEnv` and `ValidateEnvFrom` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go`.
"""

import re
from typing import Any

from kapi.api.errors import FieldError, invalid, not_supported, required
from kapi.api.names import (
    config_map_key_errors,
    dns_subdomain_errors,
    qualified_name_errors,
    relaxed_env_var_name_errors,
)
from kapi.api.object import Object
from kapi.registry.core.quantities import amount
from kapi.registry.fields import complaints

_ENV_FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_DOWNWARD_FIELD_PATHS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
# What the conversion of field labels knows, beyond what env and volumes may use.
_KNOWN_FIELD_PATHS = frozenset(
    (
        *_ENV_FIELD_PATHS,
        *_DOWNWARD_FIELD_PATHS,
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.hostNetwork",
        "status.phase",
        "status.nominatedNodeName",
        "spec.host",
    )
)
_CONTAINER_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGE_PAGES = re.compile(r"(requests|limits)\.hugepages-.+")
_SUBSCRIPT = re.compile(r"^(metadata\.(?:labels|annotations))\['(.*)'\]$")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")

_CPU_DIVISORS = ("1m", "1")
_BYTE_DIVISORS = (
    "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
)  # fmt: skip


def environment(variables: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, variable in enumerate(variables):
        own = f"{path}[{index}]"
        name = str(variable.get("name") or "")
        if not name:
            errors.append(required(f"{own}.name"))
        else:
            errors += complaints(f"{own}.name", name, relaxed_env_var_name_errors(name))
        if variable.get("valueFrom") is not None:
            errors += _value_from(variable, f"{own}.valueFrom")
    return errors


def _value_from(variable: Object, path: str) -> list[FieldError]:
    source = variable["valueFrom"]
    errors: list[FieldError] = []
    given = [name for name in _SOURCES if source.get(name) is not None]
    if "fieldRef" in given:
        errors += field_reference(source["fieldRef"], _ENV_FIELD_PATHS, f"{path}.fieldRef")
    if "resourceFieldRef" in given:
        own = f"{path}.resourceFieldRef"
        errors += resource_reference(source["resourceFieldRef"], own, volume=False)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in given:
            errors += _key_reference(source[name], f"{path}.{name}")
    if not given:
        text = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
            "`secretKeyRef` or `fileKeyRef`"
        )
        errors.append(invalid(path, "", text))
    elif variable.get("value"):
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _key_reference(reference: Object, path: str) -> list[FieldError]:
    name = str(reference.get("name") or "")
    errors = complaints(f"{path}.name", name, dns_subdomain_errors(name))
    key = str(reference.get("key") or "")
    if not key:
        errors.append(required(f"{path}.key"))
    else:
        errors += complaints(f"{path}.key", key, config_map_key_errors(key))
    return errors


def field_reference(reference: Object, allowed: tuple[str, ...], path: str) -> list[FieldError]:
    """A reference to a field of the pod; labels and annotations may be subscripted."""
    field = str(reference.get("fieldPath") or "")
    own = f"{path}.fieldPath"
    if not reference.get("apiVersion"):
        return [required(f"{path}.apiVersion")]
    if not field:
        return [required(own)]
    subscript = _SUBSCRIPT.match(field)
    if subscript:
        base, key = subscript.groups()
        checked = key.lower() if base.endswith("annotations") else key
        return complaints(own, key, qualified_name_errors(checked))
    if field not in _KNOWN_FIELD_PATHS:
        text = f"error converting fieldPath: field label not supported: {field}"
        return [invalid(own, field, text)]
    return [] if field in allowed else [not_supported(own, field, sorted(allowed))]


def downward_field_reference(reference: Object, path: str) -> list[FieldError]:
    return field_reference(reference, _DOWNWARD_FIELD_PATHS, path)


def resource_reference(reference: Object, path: str, *, volume: bool) -> list[FieldError]:
    """A reference to a container's request or limit."""
    if volume and not reference.get("containerName"):
        return [required(f"{path}.containerName")]
    resource = str(reference.get("resource") or "")
    if not resource:
        return [required(f"{path}.resource")]
    if resource not in _CONTAINER_RESOURCES and not _HUGE_PAGES.fullmatch(resource):
        return [not_supported(f"{path}.resource", resource, _CONTAINER_RESOURCES)]
    return _divisor(resource, reference.get("divisor"), f"{path}.divisor")


def _divisor(resource: str, divisor: Any, path: str) -> list[FieldError]:
    if divisor is None or amount(divisor) == 0:
        return []
    cpu = resource.endswith(".cpu")
    allowed = _CPU_DIVISORS if cpu else _BYTE_DIVISORS
    if amount(divisor) in {amount(item) for item in allowed}:
        return []
    if cpu:
        text = "only divisor's values 1m and 1 are supported with the cpu resource"
    else:
        kind = resource.partition(".")[2]
        text = (
            "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are "
            f"supported with the {kind} resource"
        )
    return [invalid(path, resource, text)]


def environment_from(sources: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        own = f"{path}[{index}]"
        prefix = str(source.get("prefix") or "")
        if prefix:
            errors += complaints(f"{own}.prefix", prefix, relaxed_env_var_name_errors(prefix))
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in given:
            target = str(source[name].get("name") or "")
            if not target:
                errors.append(required(f"{own}.{name}.name"))
            else:
                errors += complaints(f"{own}.{name}.name", target, dns_subdomain_errors(target))
        if not given:
            errors.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    return errors
