"""A node with the sums of the pods on it, kept up to date by addition and subtraction."""

from collections.abc import Mapping, Sequence

from kapi.api.object import Object, labels_of
from kapi.scheduler.pod_info import REGION_LABEL, ZONE_LABEL, HostPort, PodInfo
from kapi.scheduler.resources import PODS, Amounts, amounts


class NodeInfo:
    """Mutable, owned by the cache. Plugins read it.

    `generation` changes with every change of the node or of its pods, so a verdict made from this
    node is good as long as the generation is the same. `node` is None while pods are known to be
    on a node that is not.
    """

    __slots__ = (
        "allocatable",
        "allowed_pods",
        "generation",
        "images",
        "labels",
        "name",
        "node",
        "pods",
        "requested",
        "scoring_cpu",
        "scoring_memory",
        "taints",
        "unschedulable",
        "used_ports",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.node: Object | None = None
        self.labels: Mapping[str, str] = {}
        self.taints: Sequence[Object] = ()
        self.unschedulable = False
        self.allocatable: Amounts = {}
        self.allowed_pods = 0
        self.images: dict[str, int] = {}
        self.pods: dict[str, PodInfo] = {}
        self.requested: Amounts = {}
        self.scoring_cpu = 0
        self.scoring_memory = 0
        self.used_ports: dict[HostPort, int] = {}
        self.generation = 0

    def set_node(self, node: Object | None) -> None:
        """Take over what the Node object says; the pods stay."""
        self.node = node
        node = node or {"metadata": {}}
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.labels = labels_of(node)
        self.taints = spec.get("taints") or ()
        self.unschedulable = bool(spec.get("unschedulable"))
        self.allocatable = amounts(status.get("allocatable"))
        self.allowed_pods = self.allocatable.pop(PODS, 0)
        self.images = {
            name: int(image.get("sizeBytes") or 0)
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }

    def add_pod(self, pod: PodInfo) -> None:
        self.pods[pod.uid] = pod
        self._account(pod, 1)

    def remove_pod(self, uid: str) -> PodInfo | None:
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self._account(pod, -1)
        return pod

    def _account(self, pod: PodInfo, sign: int) -> None:
        requested = self.requested
        for resource, value in pod.requests.items():
            requested[resource] = requested.get(resource, 0) + sign * value
        self.scoring_cpu += sign * pod.scoring_cpu
        self.scoring_memory += sign * pod.scoring_memory
        for port in pod.host_ports:
            users = self.used_ports.get(port, 0) + sign
            if users > 0:
                self.used_ports[port] = users
            else:
                self.used_ports.pop(port, None)

    @property
    def zone(self) -> str:
        """Region and zone in one string; empty if the node has neither."""
        region, zone = self.labels.get(REGION_LABEL, ""), self.labels.get(ZONE_LABEL, "")
        return f"{region}:\0:{zone}" if region or zone else ""
