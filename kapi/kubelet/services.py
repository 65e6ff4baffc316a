"""What all pod workers of one kubelet share."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kapi.api.object import Object
from kapi.client.client import Client
from kapi.client.events import EventRecorder, object_reference
from kapi.kubelet.config import KubeletConfig
from kapi.kubelet.images import ImagePuller
from kapi.kubelet.network_files import ClusterDns
from kapi.kubelet.object_cache import ObjectCache
from kapi.kubelet.probes.prober import Prober
from kapi.kubelet.resize import Pending
from kapi.kubelet.runtime.interface import Runtime

_FIELDS = (
    ("containers", "spec.containers"),
    ("initContainers", "spec.initContainers"),
    ("ephemeralContainers", "spec.ephemeralContainers"),
)


@dataclass(slots=True)
class NodeFacts:
    """The node as pods meet it; kept current by the node status.

    `network_problem` is empty once pods can be given addresses.
    """

    host_ips: tuple[str, ...] = ()
    hostname: str = ""
    allocatable: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 0
    node: Object = field(default_factory=dict)
    network_problem: str = ""


@dataclass(frozen=True, slots=True)
class PodServices:
    """`services` lists every Service of the cluster, or None while they are not known yet.
    `resize_problem` tells why a running pod cannot be given what it asks for now.
    """

    config: KubeletConfig
    client: Client
    runtime: Runtime
    recorder: EventRecorder
    images: ImagePuller
    objects: ObjectCache
    prober: Prober
    dns: ClusterDns
    node: NodeFacts
    services: Callable[[], Iterable[Object] | None]
    resize_problem: Callable[[Object], Pending | None] = lambda _: None

    def pod_root(self, uid: str) -> Path:
        return Path(self.config.data_dir) / "pods" / uid


def record_pod(services: PodServices, pod: Object, kind: str, reason: str, message: str) -> None:
    """An event about a pod."""
    services.recorder.event({"apiVersion": "v1", "kind": "Pod", **pod}, kind, reason, message)


def container_recorder(
    services: PodServices, pod: Object, name: str
) -> Callable[[str, str, str], None]:
    """A function that writes events about one container."""
    reference = object_reference({"apiVersion": "v1", "kind": "Pod", **pod})
    for group, prefix in _FIELDS:
        if any(container["name"] == name for container in pod["spec"].get(group) or ()):
            reference["fieldPath"] = f"{prefix}{{{name}}}"

    def record(kind: str, reason: str, message: str) -> None:
        services.recorder.event_for(reference, kind, reason, message)

    return record


def find_container(pod: Object, name: str) -> Object | None:
    """A container of any sort by its name."""
    for group, _ in _FIELDS:
        for container in pod["spec"].get(group) or ():
            if container["name"] == name:
                found: Object = container
                return found
    return None
