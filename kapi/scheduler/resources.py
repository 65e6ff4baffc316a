"""Pod request arithmetic: what a pod asks of a node, in whole numbers.

Units: `cpu` in thousandths of a core, everything else in the resource's own unit (bytes, devices).
Source of the rules: k8s.io/component-helpers `resource/helpers.go`.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import ceil
from typing import Any

from kapi.api.object import Object, condition_of
from kapi.api.quantity import parse_quantity

CPU = "cpu"
MEMORY = "memory"
EPHEMERAL_STORAGE = "ephemeral-storage"
PODS = "pods"

# What scoring assumes for a container that asks for nothing, so that such pods spread as well.
DEFAULT_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024

Amounts = dict[str, int]


@lru_cache(maxsize=8192)
def amount(resource: str, quantity: str | int | float) -> int:
    """A quantity as a whole number, rounded up. Raises ValueError for a bad quantity."""
    value = parse_quantity(quantity)
    return ceil(value * 1000) if resource == CPU else ceil(value)


def amounts(quantities: Mapping[str, Any] | None) -> Amounts:
    """A resource list in whole numbers."""
    return {name: amount(name, value) for name, value in (quantities or {}).items()}


def add_to(total: Amounts, part: Mapping[str, int]) -> None:
    for name, value in part.items():
        total[name] = total.get(name, 0) + value


def raise_to(total: Amounts, other: Mapping[str, int]) -> None:
    """Per resource, the larger of the two."""
    for name, value in other.items():
        if value > total.get(name, 0):
            total[name] = value


def pod_requests(pod: Object) -> Amounts:
    """What filters count: the pod's real requests, overhead included.

    For a bound pod that is being resized, the larger of what it asks for and what it holds.
    """
    held = _held_requests(pod)

    def request_of(container: Object) -> Amounts:
        asked = amounts((container.get("resources") or {}).get("requests"))
        return held(container["name"], asked)

    return _aggregate(pod["spec"], request_of)


def scoring_requests(pod: Object) -> tuple[int, int]:
    """(cpu, memory) with a default for each container that asks for none."""

    def request_of(container: Object) -> Amounts:
        asked = (container.get("resources") or {}).get("requests") or {}
        return {
            CPU: amount(CPU, asked[CPU]) if CPU in asked else DEFAULT_CPU,
            MEMORY: amount(MEMORY, asked[MEMORY]) if MEMORY in asked else DEFAULT_MEMORY,
        }

    total = _aggregate(pod["spec"], request_of)
    return total.get(CPU, 0), total.get(MEMORY, 0)


def _aggregate(spec: Object, request_of: Callable[[Object], Amounts]) -> Amounts:
    total: Amounts = {}
    for container in spec.get("containers") or ():
        add_to(total, request_of(container))
    sidecars: Amounts = {}
    steps: Amounts = {}
    for container in spec.get("initContainers") or ():
        request = request_of(container)
        if container.get("restartPolicy") == "Always":
            add_to(total, request)
            add_to(sidecars, request)
            raise_to(steps, sidecars)
        else:
            step = dict(sidecars)
            add_to(step, request)
            raise_to(steps, step)
    raise_to(total, steps)
    pod_level = amounts((spec.get("resources") or {}).get("requests"))
    total.update({name: value for name, value in pod_level.items() if _is_pod_level(name)})
    add_to(total, amounts(spec.get("overhead")))
    return total


def _is_pod_level(resource: str) -> bool:
    return resource in (CPU, MEMORY) or resource.startswith("hugepages-")


def _held_requests(pod: Object) -> Callable[[str, Amounts], Amounts]:
    """How a container's wish combines with what the kubelet granted it (in-place resize)."""
    status = pod.get("status") or {}
    granted = {
        entry["name"]: entry
        for entry in _container_statuses(status)
        if entry.get("resources") or entry.get("allocatedResources")
    }
    if not granted:
        return lambda name, asked: asked
    pending = condition_of(status.get("conditions"), "PodResizePending")
    infeasible = pending is not None and pending.get("reason") == "Infeasible"

    def combine(name: str, asked: Amounts) -> Amounts:
        entry = granted.get(name)
        if entry is None:
            return asked
        held = {} if infeasible else dict(asked)
        raise_to(held, amounts((entry.get("resources") or {}).get("requests")))
        raise_to(held, amounts(entry.get("allocatedResources")))
        return held

    return combine


def _container_statuses(status: Object) -> Iterable[Object]:
    yield from status.get("containerStatuses") or ()
    yield from status.get("initContainerStatuses") or ()
