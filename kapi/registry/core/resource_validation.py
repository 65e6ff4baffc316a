"""Validation of requests and limits, of containers and of whole pods.

Source: `ValidateResourceRequirements` and `validatePodResources` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go`.
"""

from decimal import Decimal
from typing import Any

from kapi.api.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from kapi.api.names import qualified_name_errors
from kapi.api.object import Object
from kapi.api.quantity import canonical_quantity, format_quantity
from kapi.registry.core.pod_resources import aggregate_amounts
from kapi.registry.core.quantities import amount
from kapi.registry.fields import NOT_NEGATIVE, complaints

HUGE_PAGES = "hugepages-"
_CONTAINER_RESOURCES = ("cpu", "memory", "ephemeral-storage")
STANDARD_RESOURCES = (
    *_CONTAINER_RESOURCES,
    "storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
)
_POD_RESOURCES = ("cpu", "memory")


def is_huge_page(name: str) -> bool:
    return name.startswith(HUGE_PAGES)


def is_extended(name: str) -> bool:
    """A resource of a vendor's domain, such as `example.com/gpu`."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return not qualified_name_errors(f"requests.{name}")


def resource_name(name: str, path: str) -> list[FieldError]:
    """The name alone: qualified, or one of the standard ones."""
    errors = complaints(path, name, qualified_name_errors(name))
    if errors:
        return errors
    if "/" not in name and name not in STANDARD_RESOURCES and not is_huge_page(name):
        return [invalid(path, name, "must be a standard resource type or fully qualified")]
    return []


def container_resource_name(name: str, path: str) -> list[FieldError]:
    errors = resource_name(name, path)
    if "/" not in name:
        if name not in _CONTAINER_RESOURCES and not is_huge_page(name):
            errors.append(invalid(path, name, "must be a standard resource for containers"))
    elif "kubernetes.io/" not in name and not is_extended(name):
        errors.append(invalid(path, name, "doesn't follow extended resource name standard"))
    return errors


def resource_value(name: str, quantity: Any, path: str) -> list[FieldError]:
    """Not negative, and whole where the resource has no parts."""
    number = amount(quantity)
    shown = canonical_quantity(str(quantity))
    errors = [] if number >= 0 else [invalid(path, shown, NOT_NEGATIVE)]
    if not errors and _is_whole(name) and number % 1:
        errors.append(invalid(path, shown, "must be an integer"))
    return errors


def _is_whole(name: str) -> bool:
    countable = STANDARD_RESOURCES[STANDARD_RESOURCES.index("pods") :]
    return is_extended(name) or name in countable


def _huge_page_size(name: str) -> Decimal:
    return amount(name.removeprefix(HUGE_PAGES))


def container_resources(
    resources: Object | None, claims: Object, path: str, *, pod_level: bool = False
) -> list[FieldError]:
    """`claims` are the names of the pod's resource claims."""
    resources = resources or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors: list[FieldError] = []
    cpu_or_memory = any(name in part for part in (limits, requests) for name in _POD_RESOURCES)
    huge = False
    for kind, quantities in (("limits", limits), ("requests", requests)):
        for name, quantity in sorted(quantities.items()):
            own = f"{path}.{kind}[{name}]"
            errors += (
                _pod_level_name(name, own) if pod_level else container_resource_name(name, own)
            )
            errors += resource_value(name, quantity, own)
            if is_huge_page(name):
                huge = True
                size = _huge_page_size(name)
                if size <= 0 or amount(quantity) % size or amount(quantity) <= 0:
                    errors.append(_not_multiple(name, quantity, own))
    errors += _requests_against_limits(requests, limits, path)
    if huge and not cpu_or_memory:
        errors.append(forbidden(path, "HugePages require cpu or memory"))
    return errors + _claims(resources.get("claims") or [], claims, path)


def _pod_level_name(name: str, path: str) -> list[FieldError]:
    if name in _POD_RESOURCES or is_huge_page(name):
        return []
    return [not_supported(path, name, ("cpu", HUGE_PAGES, "memory"))]


def _not_multiple(name: str, quantity: Any, path: str) -> FieldError:
    text = canonical_quantity(str(quantity))
    return invalid(path, text, f"{text} is not positive integer multiple of {name}")


def _requests_against_limits(requests: Object, limits: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, quantity in sorted(requests.items()):
        fixed = is_huge_page(name) or is_extended(name)
        shown = canonical_quantity(str(quantity))
        if name in limits:
            limit = canonical_quantity(str(limits[name]))
            if fixed and amount(quantity) != amount(limits[name]):
                text = f"must be equal to {name} limit of {limit}"
                errors.append(invalid(f"{path}.requests", shown, text))
            elif not fixed and amount(quantity) > amount(limits[name]):
                text = f"must be less than or equal to {name} limit of {limit}"
                errors.append(invalid(f"{path}.requests", shown, text))
        elif fixed:
            text = "Limit must be set for non overcommitable resources"
            errors.append(required(f"{path}.limits", text))
    return errors


def _claims(claims: list[Object], names: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        name = str(claim.get("name") or "")
        own = f"{path}.claims[{index}]"
        if not name:
            errors.append(required(f"{own}.name"))
            continue
        key = f"{name}/{claim['request']}" if claim.get("request") else name
        if key in seen:
            errors.append(duplicate(own, key))
        seen.add(key)
        if name not in names:
            which = "which is empty" if not names else "which are "
            text = f"must be one of the names in pod.spec.resourceClaims {which}"
            if names:
                text += ", ".join(sorted(names))
            errors.append(FieldError("FieldValueNotFound", own, f'Not found: "{name}": {text}'))
    return errors


def pod_level_resources(spec: Object, claims: Object, path: str) -> list[FieldError]:
    """`spec.resources`: room for all containers together."""
    resources = spec.get("resources")
    if not resources:
        return []
    errors: list[FieldError] = []
    if resources.get("claims"):
        errors.append(
            forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level")
        )
    errors += container_resources(resources, claims, path, pod_level=True)
    given = resources.get("requests") or {}
    for name, total in sorted(aggregate_amounts(spec, "requests").items()):
        if name in given and amount(given[name]) < total:
            shown = format_quantity(total, "DecimalSI" if name == "cpu" else "BinarySI")
            text = f"must be greater than or equal to aggregate container requests of {shown}"
            errors.append(
                invalid(f"{path}.requests[{name}]", canonical_quantity(str(given[name])), text)
            )
    return errors + _container_limits_within_pod(spec, path)


def _container_limits_within_pod(spec: Object, path: str) -> list[FieldError]:
    """No single container may have a limit above the pod's."""
    errors: list[FieldError] = []
    base = path.rpartition(".")[0]
    pod_limits = spec["resources"].get("limits") or {}
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            own = (container.get("resources") or {}).get("limits") or {}
            for name in _POD_RESOURCES:
                if name not in pod_limits or name not in own:
                    continue
                if amount(own[name]) > amount(pod_limits[name]):
                    limit = canonical_quantity(str(pod_limits[name]))
                    errors.append(
                        invalid(
                            f"{base}.{kind}[{index}].resources.limits[{name}]",
                            canonical_quantity(str(own[name])),
                            f"must be less than or equal to pod limits of {limit}",
                        )
                    )
    return errors
