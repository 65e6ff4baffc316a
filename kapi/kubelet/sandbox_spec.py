"""A pod's sandbox in the runtime's terms. Pure.

Upstream: pkg/kubelet/kuberuntime/kuberuntime_sandbox.go.
"""

from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.kubelet import labels
from kapi.kubelet.network_files import Resolver, kernel_hostname
from kapi.kubelet.runtime.interface import SandboxSpec


class UnsupportedSandbox(ValueError):
    """The pod asks for namespaces that no runtime here can make."""


def sandbox_spec(
    pod: Object, attempt: int, resolver: Resolver, hostname: str, cluster_domain: str
) -> SandboxSpec:
    """`hostname` is for pods on the host network. Raises HostnameTooLong, UnsupportedSandbox."""
    spec = pod["spec"]
    if spec.get("hostUsers") is False:
        raise UnsupportedSandbox(
            "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
        )
    host_network = bool(spec.get("hostNetwork"))
    marks = {**labels.pod_labels(pod), labels.ATTEMPT: str(attempt)}
    if host_network:
        marks[labels.HOST_NETWORK] = "true"
    sysctls = (spec.get("securityContext") or {}).get("sysctls") or ()
    return SandboxSpec(
        name=name_of(pod),
        namespace=namespace_of(pod),
        uid=uid_of(pod),
        hostname=hostname if host_network else kernel_hostname(pod, cluster_domain),
        labels=marks,
        host_network=host_network,
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        share_process_namespace=bool(spec.get("shareProcessNamespace")),
        dns_servers=resolver.servers,
        dns_searches=resolver.searches,
        dns_options=resolver.options,
        host_ports=() if host_network else host_ports(pod),
        sysctls={entry["name"].replace("/", "."): entry["value"] for entry in sysctls},
    )


def host_ports(pod: Object) -> tuple[tuple[int, int, str, str], ...]:
    """(host port, container port, protocol, host address) of main containers, without doubles."""
    found: dict[tuple[int, str, str], tuple[int, int, str, str]] = {}
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                protocol = str(port.get("protocol") or "TCP").lower()
                address = port.get("hostIP") or ""
                entry = (int(port["hostPort"]), int(port["containerPort"]), protocol, address)
                found.setdefault((entry[0], protocol, address), entry)
    return tuple(found.values())
