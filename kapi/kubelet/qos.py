"""Quality of service, and resources in the runtime's units. Pure.

Upstream: pkg/apis/core/v1/helper/qos, pkg/kubelet/qos/policy.go, pkg/kubelet/cm/helpers_linux.go.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from kapi.api.object import Object
from kapi.api.quantity import parse_quantity
from kapi.kubelet.config import NODE_CRITICAL_PRIORITY
from kapi.kubelet.restarts import is_sidecar
from kapi.kubelet.runtime.interface import Resources

_CPU_PERIOD = 100_000
_MIN_SHARES, _MAX_SHARES, _SHARES_PER_CPU = 2, 262_144, 1024
_MIN_QUOTA = 1000
_GUARANTEED_OOM, _BEST_EFFORT_OOM, _BURSTABLE_MIN_OOM, _BURSTABLE_MAX_OOM = -997, 1000, 3, 999


def quantity(values: Mapping[str, Any] | None, name: str) -> Decimal | None:
    """A non-zero amount, or None."""
    text = (values or {}).get(name)
    found = parse_quantity(text) if text is not None else None
    return found or None


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort."""
    spec = pod["spec"]
    holders = [spec] if spec.get("resources") else [
        *spec["containers"], *(spec.get("initContainers") or ())
    ]  # fmt: skip
    any_set, guaranteed = False, True
    for holder in holders:
        resources = holder.get("resources") or {}
        for name in ("cpu", "memory"):
            request = quantity(resources.get("requests"), name)
            limit = quantity(resources.get("limits"), name)
            any_set = any_set or request is not None or limit is not None
            if limit is None or (request is not None and request != limit):
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def is_critical(pod: Object) -> bool:
    return int(pod["spec"].get("priority") or 0) >= NODE_CRITICAL_PRIORITY


def milli(amount: Decimal) -> int:
    return int((amount * 1000).to_integral_value(ROUND_CEILING))


def whole(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_CEILING))


def cpu_shares(request: Decimal | None, limit: Decimal | None) -> int:
    amount = request if request is not None else limit
    if amount is None:
        return _MIN_SHARES
    return min(max(milli(amount) * _SHARES_PER_CPU // 1000, _MIN_SHARES), _MAX_SHARES)


def runtime_resources(pod: Object, container: Object, node_memory: int) -> Resources:
    """What the runtime is asked for; `node_memory` in bytes decides the OOM score."""
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests"), resources.get("limits")
    pod_limits = (pod["spec"].get("resources") or {}).get("limits")
    cpu_limit = quantity(limits, "cpu") or quantity(pod_limits, "cpu")
    memory_limit = quantity(limits, "memory") or quantity(pod_limits, "memory")
    quota = 0
    if cpu_limit is not None:
        quota = max(milli(cpu_limit) * _CPU_PERIOD // 1000, _MIN_QUOTA)
    return Resources(
        cpu_shares=cpu_shares(quantity(requests, "cpu"), quantity(limits, "cpu")),
        cpu_quota_microseconds=quota,
        cpu_period_microseconds=_CPU_PERIOD,
        memory_bytes=whole(memory_limit) if memory_limit is not None else 0,
        oom_score_adjust=oom_score_adjust(pod, container, node_memory),
    )


def oom_score_adjust(pod: Object, container: Object, node_memory: int) -> int:
    """How willingly the kernel kills this container; higher dies sooner."""
    quality = qos_class(pod)
    if is_critical(pod) or quality == "Guaranteed":
        return _GUARANTEED_OOM
    if quality == "BestEffort" or node_memory <= 0:
        return _BEST_EFFORT_OOM
    score = _burstable_score(container, node_memory)
    if is_sidecar(container):
        score = min([score, *(_burstable_score(c, node_memory) for c in pod["spec"]["containers"])])
    return score


def _burstable_score(container: Object, node_memory: int) -> int:
    request = quantity((container.get("resources") or {}).get("requests"), "memory")
    score = 1000 - 1000 * whole(request or Decimal(0)) // node_memory
    return min(max(score, _BURSTABLE_MIN_OOM), _BURSTABLE_MAX_OOM)


def pod_requests(pod: Object) -> dict[str, Decimal]:
    """What the pod takes from its node: the scheduler's sum with init, sidecars and overhead."""
    spec = pod["spec"]
    total: dict[str, Decimal] = {}
    for container in spec["containers"]:
        _add(total, (container.get("resources") or {}).get("requests"))
    sidecars: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        requests = (container.get("resources") or {}).get("requests")
        step = dict(sidecars)
        _add(step, requests)
        if is_sidecar(container):
            sidecars = step
        for name, amount in step.items():
            peak[name] = max(peak.get(name, Decimal(0)), amount)
    for name, amount in sidecars.items():
        total[name] = total.get(name, Decimal(0)) + amount
    for name, amount in peak.items():
        total[name] = max(total.get(name, Decimal(0)), amount)
    for name, text in ((spec.get("resources") or {}).get("requests") or {}).items():
        total[name] = parse_quantity(text)
    _add(total, spec.get("overhead"))
    return total


def _add(total: dict[str, Decimal], values: Mapping[str, Any] | None) -> None:
    for name, text in (values or {}).items():
        total[name] = total.get(name, Decimal(0)) + parse_quantity(text)
