"""What a pod asks for in all, and the quality-of-service class that follows.

Sources: k8s.io/component-helpers `resource.PodRequests` and
k8s.io/kubernetes `pkg/apis/core/helper/qos/qos.go`.
"""

from decimal import Decimal

from kapi.api.object import Object
from kapi.api.quantity import format_quantity
from kapi.registry.core.quantities import amount

_QOS_RESOURCES = ("cpu", "memory")


def aggregate_amounts(spec: Object, kind: str) -> dict[str, Decimal]:
    """The sum over containers of `requests` or `limits`, with the peak of init containers.

    Restartable init containers run beside the others, so they add up; a plain one only needs
    room while it runs, next to the restartable ones before it.
    """
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts(container, kind))
    beside: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        own = _amounts(container, kind)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(beside, own)
            own = beside
        else:
            own = {
                name: own.get(name, Decimal(0)) + beside.get(name, Decimal(0))
                for name in {*own, *beside}
            }
        for name, value in own.items():
            peak[name] = max(peak.get(name, Decimal(0)), value)
    for name, value in peak.items():
        total[name] = max(total.get(name, Decimal(0)), value)
    return total


def aggregate_requests(spec: Object) -> dict[str, str]:
    """`aggregate_amounts` of requests as canonical quantities."""
    return {
        name: format_quantity(value, "DecimalSI" if name == "cpu" else "BinarySI")
        for name, value in aggregate_amounts(spec, "requests").items()
    }


def _amounts(container: Object, kind: str) -> dict[str, Decimal]:
    given = (container.get("resources") or {}).get(kind) or {}
    return {name: amount(quantity) for name, quantity in given.items()}


def _add(total: dict[str, Decimal], more: dict[str, Decimal]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, Decimal(0)) + value


def qos_class(pod: Object) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`."""
    spec = pod.get("spec") or {}
    if spec.get("resources"):
        parts = [spec]
    else:
        parts = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    requests: dict[str, Decimal] = {}
    limits: dict[str, Decimal] = {}
    guaranteed = True
    for part in parts:
        own_requests = _positive(part, "requests")
        own_limits = _positive(part, "limits")
        _add(requests, own_requests)
        _add(limits, own_limits)
        guaranteed = guaranteed and set(own_limits) == set(_QOS_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and len(limits) == len(requests) and requests == limits:
        return "Guaranteed"
    return "Burstable"


def _positive(part: Object, kind: str) -> dict[str, Decimal]:
    return {
        name: value
        for name, value in _amounts(part, kind).items()
        if name in _QOS_RESOURCES and value > 0
    }
