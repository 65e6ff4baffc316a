"""What a Node object says: labels, addresses, capacity, conditions. Pure.

Upstream: pkg/kubelet/nodestatus/setters.go, pkg/kubelet/kubelet_node_status.go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from kapi import GIT_VERSION
from kapi.api.object import Object
from kapi.api.quantity import canonical_quantity, parse_quantity
from kapi.kubelet.config import KubeletConfig
from kapi.kubelet.machine import MachineFacts
from kapi.kubelet.runtime.interface import Image

_HARD_MEMORY = 100 * 1024 * 1024
_HARD_DISK = Decimal("0.1")
_IMAGES_MAX, _IMAGE_NAMES_MAX = 50, 5


@dataclass(frozen=True, slots=True)
class NodeObservation:
    """`problems` are the reasons for not being ready, in upstream's words."""

    machine: MachineFacts
    runtime_version: str
    images: Sequence[Image]
    problems: Sequence[str]
    now: str


def new_node(config: KubeletConfig, machine: MachineFacts) -> Object:
    """The object a kubelet registers, without status."""
    labels = {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        **config.labels,
    }
    annotations = {
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        **config.annotations,
    }
    node: Object = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.node_name, "labels": labels, "annotations": annotations},
        "spec": {},
    }
    if config.taints:
        node["spec"]["taints"] = list(config.taints)
    return node


def allocatable_of(capacity: Mapping[str, str]) -> dict[str, str]:
    """Capacity less what hard eviction keeps free and what huge pages hold."""
    found = dict(capacity)
    huge = sum(
        (parse_quantity(text) for name, text in capacity.items() if name.startswith("hugepages-")),
        Decimal(0),
    )
    if "memory" in capacity:
        memory = int(parse_quantity(capacity["memory"]) - huge) - _HARD_MEMORY
        # Spelled as the server will store it, so that an unchanged node looks unchanged.
        found["memory"] = canonical_quantity(f"{max(memory, 0) // 1024}Ki")
    if "ephemeral-storage" in capacity:
        disk = parse_quantity(capacity["ephemeral-storage"])
        found["ephemeral-storage"] = str(int(disk * (1 - _HARD_DISK)))
    return found


def node_status(config: KubeletConfig, old: Object, seen: NodeObservation) -> Object:
    """The status a kubelet owns; heartbeat times are `seen.now`."""
    known = config.capacity or seen.machine.capacity
    capacity = {name: canonical_quantity(amount) for name, amount in known.items()}
    # Extended resources were put there by others (a device plugin, a test): they stay.
    for name, amount in (old.get("capacity") or {}).items():
        if "/" in name and name not in capacity:
            capacity[name] = amount
    allocatable = allocatable_of(capacity)
    for name, amount in (old.get("allocatable") or {}).items():
        if "/" in name and name in capacity and name not in config.capacity:
            allocatable[name] = amount
    machine = seen.machine
    info: Object = {
        "machineID": machine.machine_id,
        "systemUUID": machine.system_uuid,
        "bootID": machine.boot_id,
        "kernelVersion": machine.kernel_version,
        "osImage": machine.os_image,
        "containerRuntimeVersion": seen.runtime_version,
        "kubeletVersion": GIT_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": machine.architecture,
    }
    if machine.swap_bytes:
        info["swap"] = {"capacity": machine.swap_bytes}
    return {
        "capacity": capacity,
        "allocatable": allocatable,
        "conditions": node_conditions(old.get("conditions") or (), seen.problems, seen.now),
        "addresses": [
            {"type": "InternalIP", "address": config.node_ip},
            {"type": "Hostname", "address": config.node_name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "nodeInfo": info,
        "images": node_images(seen.images),
        "runtimeHandlers": [{"name": "", "features": {"recursiveReadOnlyMounts": False}}],
        "features": {"supplementalGroupsPolicy": False},
    }


def node_images(images: Sequence[Image]) -> list[Object]:
    """The largest ones; digests before tags."""
    ordered = sorted(images, key=lambda image: image.size_bytes, reverse=True)[:_IMAGES_MAX]
    found = []
    for image in ordered:
        names = [name for name in (*image.repo_digests, *image.names) if "<none>" not in name]
        if names:
            found.append({"names": names[:_IMAGE_NAMES_MAX], "sizeBytes": image.size_bytes})
    return found


def node_conditions(old: Sequence[Object], problems: Sequence[str], now: str) -> list[Object]:
    """The kubelet's four; those of others are kept in front."""
    message = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
    wanted = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        ("Ready", "False", "KubeletNotReady", message)
        if problems
        else ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
    owned = {kind for kind, *_ in wanted}
    before = {condition["type"]: condition for condition in old}
    found = [condition for condition in old if condition["type"] not in owned]
    for kind, status, reason, text in wanted:
        last = before.get(kind)
        same = last is not None and last["status"] == status
        found.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": now,
                "lastTransitionTime": last["lastTransitionTime"] if last and same else now,
                "reason": reason,
                "message": text,
            }
        )
    return found


def without_heartbeats(status: Object) -> Object:
    """For telling whether anything but the heartbeat has changed."""
    conditions = [
        {name: value for name, value in condition.items() if name != "lastHeartbeatTime"}
        for condition in status.get("conditions") or ()
    ]
    return {**status, "conditions": conditions}
