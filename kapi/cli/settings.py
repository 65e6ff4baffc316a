"""What one cluster on this machine is made of, and where its files are."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from kapi import env
from kapi.cli.errors import CliError

RuntimeKind = Literal["docker", "simulated"]

CLUSTER_DOMAIN = "cluster.local"
DNS_PORT = 10053
"""Where cluster DNS listens on the pod bridge; pods ask the Service's port 53. Not 53 itself,
which a resolver of the machine may hold on all addresses."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Everything the daemons of a cluster need to know; kept in `<data-dir>/cluster.json`."""

    cluster_id: str = "kapi"
    """Marks this cluster's containers, so that two clusters may share a Docker engine."""
    runtime: RuntimeKind = "docker"
    node_names: tuple[str, ...] = ()
    """The nodes that run pods in Docker; the first one's agent also runs proxy and DNS."""
    simulated_nodes: int = 0
    secure_port: int = 6443
    bind_addresses: tuple[str, ...] = ("127.0.0.1",)
    advertise_address: str = "127.0.0.1"
    service_cidr: str = "10.96.0.0/16"
    cluster_cidr: str = "10.244.0.0/16"
    etcd_servers: tuple[str, ...] = ()
    token_auth_file: str = ""
    anonymous_auth: bool = True

    @property
    def simulated_node_names(self) -> tuple[str, ...]:
        """The nodes that the control-plane process runs itself."""
        return tuple(f"simulated-{number}" for number in range(self.simulated_nodes))

    @property
    def kubernetes_service_ip(self) -> str:
        """The first address of the service CIDR, as upstream."""
        return _address(self.service_cidr, 1)

    @property
    def dns_service_ip(self) -> str:
        """The tenth address of the service CIDR, as kubeadm."""
        return _address(self.service_cidr, 10)

    @property
    def bridge_address(self) -> str:
        """The gateway of the pod network on this machine."""
        return _address(self.cluster_cidr, 1)

    @property
    def server_url(self) -> str:
        """Where clients on this machine reach the API server."""
        host = self.bind_addresses[0]
        host = "127.0.0.1" if host == "0.0.0.0" else "[::1]" if host == "::" else host
        return f"https://{host}:{self.secure_port}"


def _address(cidr: str, number: int) -> str:
    import ipaddress

    return str(ipaddress.ip_network(cidr)[number])


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths inside a data directory."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.root / "kubeconfig"

    @property
    def store_file(self) -> Path:
        return self.root / "state.db"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    def component_kubeconfig(self, name: str) -> Path:
        return self.root / "kubeconfigs" / f"{name}.kubeconfig"

    def pid_file(self, daemon: str) -> Path:
        return self.root / "run" / f"{daemon}.json"

    def log_file(self, daemon: str) -> Path:
        return self.root / "logs" / f"{daemon}.log"

    def node(self, node_name: str) -> Path:
        """The kubelet's own directory: volumes and logs of its pods."""
        return self.root / "nodes" / node_name


def load_settings(data: DataDir) -> ClusterSettings | None:
    """The settings the cluster was started with, None if there is no cluster yet.

    Raises CliError if the file is damaged.
    """
    if not data.settings_file.exists():
        return None
    try:
        document: dict[str, Any] = orjson.loads(env.read_bytes(data.settings_file))
        known = {field.name for field in dataclasses.fields(ClusterSettings)}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in document.items()
            if key in known
        }
        return ClusterSettings(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise CliError(f"{data.settings_file} is damaged: {error}") from None


def save_settings(data: DataDir, settings: ClusterSettings) -> None:
    text = orjson.dumps(dataclasses.asdict(settings), option=orjson.OPT_INDENT_2)
    env.write_bytes(data.settings_file, text + b"\n")
