"""Kubelets and the server in front of them: one per node agent, or many simulated ones."""

import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from kapi.api.object import Object
from kapi.auth.pki import KeyPair
from kapi.client.client import Client
from kapi.kubelet.kubelet import Kubelet
from kapi.kubelet.runtime.interface import Runtime
from kapi.server import engine
from kapi.server.engine import TlsFiles

KUBELET_PORT = 10250
_PORTS_TRIED = 500


class Kubelets:
    """The pods of some kubelets, as their common server looks them up."""

    def __init__(self) -> None:
        self._kubelets: list[Kubelet] = []

    def add(self, kubelet: Kubelet) -> None:
        self._kubelets.append(kubelet)

    def find_pod(self, namespace: str, name: str) -> Object | None:
        found = (kubelet.find_pod(namespace, name) for kubelet in self._kubelets)
        return next((pod for pod in found if pod is not None), None)

    def list_pods(self) -> list[Object]:
        return [pod for kubelet in self._kubelets for pod in kubelet.list_pods()]

    def runtime_of(self, pod: Object) -> Runtime:
        """Raises KeyError if no kubelet here has the node's name."""
        node_name = pod["spec"]["nodeName"]
        for kubelet in self._kubelets:
            if kubelet.config.node_name == node_name:
                return kubelet.runtime
        raise KeyError(node_name)


@asynccontextmanager
async def kubelet_server(
    kubelets: Kubelets,
    client: Client,
    node_name: str,
    *,
    bind: list[tuple[str, int]],
    tls: TlsFiles,
) -> AsyncIterator[None]:
    """Serve logs, exec and the rest while the context is open.

    `client` asks the API server about callers that are not of system:masters. Raises OSError if
    another process took the port meanwhile.
    """
    from kapi.kubelet.server import KubeletServer
    from kapi.kubelet.server_access import KubeletAccess

    server = KubeletServer(kubelets, KubeletAccess(client, node_name))
    async with engine.serving(server.app, bind=bind, tls=tls, name="kubelet server"):
        yield


def serving_files(pair: KeyPair, client_ca_file: Path) -> TlsFiles:
    """What the kubelet's server shows, and whom it trusts."""
    return TlsFiles(pair.cert_file, pair.key_file, client_ca_file)


def free_port(addresses: Iterable[str], preferred: int) -> int:
    """The first port from `preferred` on that nobody listens on at any of the addresses.

    Every node of a machine needs a port of its own, and reports it in its status. Raises OSError
    if none is free.
    """
    places = list(addresses)
    for port in range(preferred, preferred + _PORTS_TRIED):
        if all(_is_free(address, port) for address in places):
            return port
    raise OSError(f"no free port from {preferred} on")


def _is_free(address: str, port: int) -> bool:
    try:
        engine.listener(address, port).close()
    except OSError:
        return False
    return True


SIMULATED_CAPACITY: Mapping[str, str] = {
    "cpu": "32",
    "memory": "128Gi",
    "ephemeral-storage": "500Gi",
    "pods": "110",
}


def host_name() -> str:
    """The machine's name, after which its node is named."""
    return socket.gethostname().lower()
