"""The certificates and kubeconfigs of a cluster's own members."""

import socket
from pathlib import Path

from kapi.auth import pki
from kapi.auth.pki import CertificateSpec, ClusterPki
from kapi.cli import kubeconfig_file
from kapi.cli.kubeconfig_file import Access
from kapi.cli.settings import ClusterSettings, DataDir

_COMPONENTS = (pki.CONTROLLER_MANAGER, pki.SCHEDULER, pki.PROXY, pki.DNS)


def ensure_identities(data: DataDir, settings: ClusterSettings) -> ClusterPki:
    """Make or renew every certificate and kubeconfig the cluster needs, and return the PKI.

    Raises ValueError if the stored authority is damaged.
    """
    cluster_pki = ClusterPki(data.pki)
    cluster_pki.ensure_service_account_key()
    cluster_pki.ensure(pki.serving_spec(socket.gethostname().lower(), _addresses(settings)))
    cluster_pki.ensure(pki.KUBELET_CLIENT)
    _write_access(cluster_pki, settings, pki.ADMIN, data.kubeconfig)
    for spec in _COMPONENTS:
        _write_access(cluster_pki, settings, spec, data.component_kubeconfig(spec.name))
    for node_name in settings.node_names:
        ensure_node_identity(cluster_pki, data, settings, node_name)
    return cluster_pki


def ensure_node_identity(
    cluster_pki: ClusterPki, data: DataDir, settings: ClusterSettings, node_name: str
) -> None:
    """The kubelet's kubeconfig, and the certificate it serves its own port with."""
    spec = pki.node_spec(node_name)
    _write_access(cluster_pki, settings, spec, data.component_kubeconfig(spec.name))
    addresses = ("127.0.0.1", settings.bridge_address)
    cluster_pki.ensure(pki.kubelet_serving_spec(node_name, addresses))


def _write_access(
    cluster_pki: ClusterPki, settings: ClusterSettings, spec: CertificateSpec, path: Path
) -> None:
    pair = cluster_pki.ensure(spec)
    access = Access(settings.server_url, cluster_pki.ca.cert_pem, pair)
    user = kubeconfig_file.NAME if spec is pki.ADMIN else spec.common_name
    kubeconfig_file.write(path, kubeconfig_file.document(access, user))


def _addresses(settings: ClusterSettings) -> tuple[str, ...]:
    """Every address somebody may reach the API server by."""
    wildcards = ("0.0.0.0", "::")
    bound = [address for address in settings.bind_addresses if address not in wildcards]
    if len(bound) != len(settings.bind_addresses):
        bound += own_addresses()
    found = ("127.0.0.1", settings.kubernetes_service_ip, settings.bridge_address)
    return tuple(dict.fromkeys((*found, settings.advertise_address, *bound)))


def own_addresses() -> list[str]:
    """The addresses the machine's own name stands for, for servers that listen everywhere."""
    try:
        entries = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(entry[4][0]).partition("%")[0] for entry in entries})
