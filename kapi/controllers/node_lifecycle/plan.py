"""Conditions, taints, labels and zones. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi import env
from kapi.api.object import Object, condition_of, labels_of

GRACE_SECONDS = 50.0
STARTUP_GRACE_SECONDS = 60.0
# NoExecute taints per second and zone; a large partly broken zone gets the slow rate.
EVICTION_RATE = 0.1
SLOW_EVICTION_RATE = 0.01
LARGE_ZONE = 50
UNHEALTHY_FRACTION = 0.55

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OWNED_NO_SCHEDULE = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()})
_MONITORED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_EXCLUDED = "node.kubernetes.io/exclude-disruption"
Taint = dict[str, Any]


def ready_status(node: Object) -> str:
    """True, False, Unknown; empty if the node never said."""
    condition = condition_of((node.get("status") or {}).get("conditions"), "Ready")
    return str(condition.get("status")) if condition is not None else ""


def heartbeat(node: Object) -> str:
    condition = condition_of((node.get("status") or {}).get("conditions"), "Ready")
    return str((condition or {}).get("lastHeartbeatTime") or "")


def grace_of(node: Object, grace: float) -> float:
    """Seconds of silence that are allowed; more for a node that has yet to report."""
    return grace if ready_status(node) else max(grace, STARTUP_GRACE_SECONDS)


def silent_conditions(node: Object, now: datetime) -> list[dict[str, Any]] | None:
    """The conditions of a node that has gone silent; None if they already say so."""
    conditions = list((node.get("status") or {}).get("conditions") or ())
    moment = env.format_time(now)
    changed = False
    for kind in _MONITORED:
        current = condition_of(conditions, kind)
        if current is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
            created = node["metadata"].get("creationTimestamp") or moment
            conditions.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "lastHeartbeatTime": created,
                    "lastTransitionTime": moment,
                    "reason": reason,
                    "message": message,
                }
            )
            changed = True
        elif current.get("status") != "Unknown":
            unknown = {
                **current,
                "status": "Unknown",
                "lastTransitionTime": moment,
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
            }
            conditions[conditions.index(current)] = unknown
            changed = True
    return conditions if changed else None


def wanted_no_schedule(node: Object) -> list[str]:
    """The keys of the NoSchedule taints that the node's state asks for."""
    keys = []
    ready = ready_status(node)
    if ready == "False":
        keys.append(NOT_READY)
    elif ready == "Unknown":
        keys.append(UNREACHABLE)
    conditions = (node.get("status") or {}).get("conditions")
    for kind, key in _PRESSURES.items():
        condition = condition_of(conditions, kind)
        if condition is not None and condition.get("status") == "True":
            keys.append(key)
    if (node.get("spec") or {}).get("unschedulable"):
        keys.append(UNSCHEDULABLE)
    return keys


def wanted_no_execute(node: Object) -> str | None:
    return {"False": NOT_READY, "Unknown": UNREACHABLE}.get(ready_status(node))


def taints_of(node: Object) -> list[Taint]:
    return list((node.get("spec") or {}).get("taints") or ())


def wants_eviction(node: Object) -> bool:
    """Is a NoExecute taint missing that the node's state asks for?"""
    key = wanted_no_execute(node)
    return key is not None and not any(
        taint["key"] == key and taint["effect"] == "NoExecute" for taint in taints_of(node)
    )


def plan_taints(
    node: Object, now: datetime, *, may_evict: bool, drop_evictions: bool = False
) -> list[Taint] | None:
    """The taints the node should have, or None if it has them.

    NoSchedule follows the state at once. A NoExecute taint is added only if `may_evict`; it goes
    as soon as the node is ready, and everywhere if `drop_evictions`.
    """
    no_schedule = wanted_no_schedule(node)
    execute = None if drop_evictions else wanted_no_execute(node)
    kept: list[Taint] = []
    for taint in taints_of(node):
        key, effect = taint["key"], taint["effect"]
        if effect == "NoSchedule" and key in _OWNED_NO_SCHEDULE and key not in no_schedule:
            continue
        if effect == "NoExecute" and key in (NOT_READY, UNREACHABLE) and key != execute:
            # Between not-ready and unreachable the taint is swapped, which needs no new permit.
            may_evict = may_evict or execute is not None
            continue
        kept.append(taint)
    have = {(taint["key"], taint["effect"]) for taint in kept}
    moment = env.format_time(now)
    for key in no_schedule:
        if (key, "NoSchedule") not in have:
            kept.append({"key": key, "effect": "NoSchedule", "timeAdded": moment})
    if execute is not None and may_evict and (execute, "NoExecute") not in have:
        kept.append({"key": execute, "effect": "NoExecute", "timeAdded": moment})
    return kept if kept != taints_of(node) else None


def plan_labels(node: Object) -> dict[str, str]:
    """Labels to add: the old names of operating system and architecture."""
    labels = labels_of(node)
    wanted = {}
    for name in ("os", "arch"):
        value = labels.get(f"kubernetes.io/{name}")
        if value and labels.get(f"beta.kubernetes.io/{name}") != value:
            wanted[f"beta.kubernetes.io/{name}"] = value
    return wanted


def zone_of(node: Object) -> str:
    labels = labels_of(node)
    region = labels.get("topology.kubernetes.io/region", "")
    zone = labels.get("topology.kubernetes.io/zone", "")
    return f"{region}:\0:{zone}" if region or zone else ""


@dataclass(slots=True)
class Zone:
    """How many nodes of a zone are ready and not; excluded nodes are not counted."""

    ready: int = 0
    not_ready: int = 0

    @property
    def is_down(self) -> bool:
        return self.ready == 0 and self.not_ready > 0

    @property
    def is_shaky(self) -> bool:
        total = self.ready + self.not_ready
        return self.not_ready > 2 and self.not_ready / total >= UNHEALTHY_FRACTION

    @property
    def eviction_rate(self) -> float:
        """NoExecute taints per second. A zone that is down as a whole is treated as usual: that
        all zones are down is judged elsewhere."""
        if self.is_down or not self.is_shaky:
            return EVICTION_RATE
        return SLOW_EVICTION_RATE if self.ready + self.not_ready > LARGE_ZONE else 0.0


def is_counted(node: Object) -> bool:
    return _EXCLUDED not in labels_of(node)
