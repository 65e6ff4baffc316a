"""In-place resize: what a pod asks for, what it was given, what its containers have. Pure.

Upstream: pkg/kubelet/allocation, pkg/kubelet/kuberuntime computePodResizeAction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kapi.api.object import Object
from kapi.kubelet import labels
from kapi.kubelet.pod_view import PodView
from kapi.kubelet.runtime.interface import Container

Resources = Mapping[str, Any]
_RESIZABLE = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class Resized:
    """A running container whose limits are to change in place."""

    container_id: str
    name: str
    resources: Object


@dataclass(frozen=True, slots=True)
class Pending:
    """The pod asks for more than it can be given: `Deferred` now, or `Infeasible` ever."""

    reason: str
    message: str


def actual_resources(found: Container, known: Mapping[str, Object]) -> Object:
    """What a container runs with: the last change, else what it was made with."""
    if found.id in known:
        return known[found.id]
    recorded = found.labels.get(labels.RESOURCES, "")
    return dict(orjson.loads(recorded)) if recorded else {}


def resizable_part(resources: Resources | None) -> dict[str, dict[str, Any]]:
    """CPU and memory only: nothing else may be resized."""
    return {
        kind: {name: amount for name, amount in values.items() if name in _RESIZABLE}
        for kind in ("limits", "requests")
        if (values := (resources or {}).get(kind))
    }


def differs(container: Object, actual: Resources) -> set[str]:
    """The names (cpu, memory) in which a container differs from its spec."""
    wanted, have = resizable_part(container.get("resources")), resizable_part(actual)
    return {
        name
        for kind in ("limits", "requests")
        for name in _RESIZABLE
        if wanted.get(kind, {}).get(name) != have.get(kind, {}).get(name)
    }


def needs_restart(container: Object, changed: set[str]) -> bool:
    """Whether the container's resize policy demands a new instance for this change."""
    return any(
        policy.get("resourceName") in changed and policy.get("restartPolicy") == "RestartContainer"
        for policy in container.get("resizePolicy") or ()
    )


def plan_resize(pod: Object, view: PodView, known: Mapping[str, Object]) -> list[Resized]:
    """Running containers to change in place; those that must restart are left to the actions."""
    found = []
    spec = pod["spec"]
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        newest = view.newest(container["name"])
        if newest is None or newest.state != "running":
            continue
        changed = differs(container, actual_resources(newest, known))
        if changed and not needs_restart(container, changed):
            resources = dict(container.get("resources") or {})
            found.append(Resized(newest.id, container["name"], resources))
    return found


def allocated_resources(pod: Object) -> dict[str, Object]:
    """What each container of the spec asks for, by name."""
    spec = pod["spec"]
    return {
        container["name"]: dict(container.get("resources") or {})
        for container in (*spec["containers"], *(spec.get("initContainers") or ()))
    }


def with_resources(pod: Object, allocated: Mapping[str, Object]) -> Object:
    """The pod as it was given resources, which may be less than it asks for now."""
    if all(allocated.get(name) == asked for name, asked in allocated_resources(pod).items()):
        return pod
    spec = dict(pod["spec"])
    for group in ("containers", "initContainers"):
        if spec.get(group):
            spec[group] = [
                {**container, "resources": allocated.get(container["name"], {})}
                for container in spec[group]
            ]
    return {**pod, "spec": spec}


def resize_conditions(
    pending: Pending | None, failed: str, running: bool, generation: int | None
) -> list[Object]:
    """PodResizePending and PodResizeInProgress, present only while they hold."""
    found: list[Object] = []
    if pending is not None:
        found.append(
            {"type": "PodResizePending", "reason": pending.reason, "message": pending.message}
        )
    if running or failed:
        progress: Object = {"type": "PodResizeInProgress"}
        found.append({**progress, "reason": "Error", "message": failed} if failed else progress)
    for condition in found:
        condition["status"] = "True"
        if generation:
            condition["observedGeneration"] = generation
    return found


def describe(pod: Object) -> str:
    """The JSON part of resize events."""
    spec = pod["spec"]
    body = {
        "containers": [
            {"name": container["name"], "resources": container.get("resources") or {}}
            for container in spec["containers"]
        ],
        "generation": pod["metadata"].get("generation", 0),
    }
    return orjson.dumps(body).decode()
