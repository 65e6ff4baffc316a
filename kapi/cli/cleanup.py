"""Takes a cluster's traces off the machine: its containers, the pod network, the packet rules."""

from functools import partial
from typing import Any

import typer

from kapi import env
from kapi.cli.plan import can_route
from kapi.cli.readiness import admin_client
from kapi.cli.settings import ClusterSettings, DataDir
from kapi.kubelet.runtime.docker.engine import DockerEngine, EngineError
from kapi.kubelet.runtime.docker.network import DockerNetwork
from kapi.kubelet.runtime.docker.translate import LABEL_SCOPE
from kapi.kubelet.runtime.interface import RuntimeUnavailable
from kapi.kubelet.volumes.pod_volumes import remove_pod_directory
from kapi.proxy.service_proxy import ProxyConfig, ServiceProxy
from kapi.proxy.writer import NftError


async def clean_machine(settings: ClusterSettings, data: DataDir) -> None:
    """Remove what `kapi up` made outside its data directory; the daemons must be stopped.

    What other clusters on the same engine use stays: containers of another scope, and the network
    while anything is connected to it.
    """
    for node_name in settings.node_names:
        pods = data.node(node_name) / "pods"
        for directory in pods.iterdir() if pods.exists() else ():
            await env.in_thread(remove_pod_directory, directory)
    await _remove_packet_rules(settings, data)
    try:
        await _remove_containers(settings.cluster_id)
        await _remove_network(DockerNetwork(subnet=settings.cluster_cidr).name)
    except RuntimeUnavailable:
        return


async def _remove_packet_rules(settings: ClusterSettings, data: DataDir) -> None:
    if not can_route() or not data.kubeconfig.exists():
        return
    config = ProxyConfig(
        node_names=settings.node_names,
        cluster_cidr=settings.cluster_cidr,
        service_cidrs=(settings.service_cidr,),
        bridge=DockerNetwork().bridge,
    )
    try:
        await ServiceProxy(admin_client(data.kubeconfig), config).cleanup()
    except NftError as error:
        typer.echo(f"The packet rules stay: {error}")


async def _remove_containers(scope: str) -> None:
    engine = DockerEngine()
    label = f"{LABEL_SCOPE}={scope}"
    found = await engine.call(
        lambda client: client.containers(all=True, quiet=True, filters={"label": label})
    )
    for container in found:
        identity = str(container["Id"])
        await engine.call(partial(_remove, identity))


async def _remove_network(name: str) -> None:
    try:
        await DockerEngine().call(lambda client: client.remove_network(name))
    except EngineError:
        # It does not exist, or another cluster's pods are connected to it.
        return


def _remove(identity: str, client: Any) -> None:
    client.remove_container(identity, force=True, v=True)
