"""What a kubelet is told at start, and upstream's fixed numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kapi.api.object import Object


@dataclass(frozen=True, slots=True)
class KubeletConfig:
    """Settings of one node agent.

    `node_ip` is the node's InternalIP and the host address of its pods. `capacity` replaces what
    the machine has (simulated nodes). With `manage_volumes` false nothing is written to disk and
    pods get no mounts. `resync_seconds` is the slow full look at the runtime; 0 trusts events.
    """

    node_name: str
    data_dir: str
    node_ip: str = "127.0.0.1"
    port: int = 10250
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Object, ...] = ()
    pod_cidr: str = ""
    """Used when the Node object has none; empty waits for the controller to assign one."""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: str = "/etc/resolv.conf"
    manage_volumes: bool = True
    register_node: bool = True
    max_pods: int = 110
    capacity: Mapping[str, str] = field(default_factory=dict)
    resync_seconds: float = 60.0
    lease_seconds: float = 10.0
    status_seconds: float = 10.0
    status_report_seconds: float = 300.0
    allowed_unsafe_sysctls: tuple[str, ...] = ()


LEASE_DURATION_SECONDS = 40
SYNC_RETRY_SECONDS = 10.0
"""A pod whose sync failed is tried again after this, times 1 to 1.5."""
NETWORK_RETRY_SECONDS = 1.0
BACK_OFF_FIRST_SECONDS = 10.0
BACK_OFF_MAX_SECONDS = 300.0
BACK_OFF_FORGET_SECONDS = 600.0
MIN_STOP_GRACE_SECONDS = 2
NODE_CRITICAL_PRIORITY = 2_000_001_000
