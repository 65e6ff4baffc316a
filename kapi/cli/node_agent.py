"""The process of one real node: its kubelet, and on the first node the machine's proxy and DNS."""

import asyncio
from pathlib import Path

from kapi import env
from kapi.auth.pki import ClusterPki, kubelet_serving_spec, node_spec
from kapi.cli.components import run_dns, run_proxy
from kapi.cli.kubelets import KUBELET_PORT, Kubelets, free_port, kubelet_server, serving_files
from kapi.cli.plan import can_route
from kapi.cli.process import calm_collector, keep_running
from kapi.cli.settings import CLUSTER_DOMAIN, DNS_PORT, ClusterSettings, DataDir
from kapi.client.client import Client
from kapi.client.https import HttpsTransport
from kapi.kubelet.config import KubeletConfig
from kapi.kubelet.kubelet import Kubelet
from kapi.kubelet.runtime.docker import DockerNetwork, DockerRuntime


async def run_node_agent(
    data: DataDir, settings: ClusterSettings, node_name: str, shutdown: asyncio.Event
) -> None:
    """Until `shutdown` is set. Containers keep running; the next agent adopts them."""
    scope = env.TaskScope()
    first = settings.node_names[0] == node_name

    async def kubelet() -> None:
        await run_docker_node(data, settings, node_name)

    components = {f"kubelet {node_name}": kubelet}
    if first and can_route():
        from kapi.dns.server import DnsConfig
        from kapi.proxy.service_proxy import ProxyConfig

        async def proxy() -> None:
            config = ProxyConfig(
                node_names=settings.node_names,
                cluster_cidr=settings.cluster_cidr,
                service_cidrs=(settings.service_cidr,),
                bridge=DockerNetwork().bridge,
            )
            client = _client(data, "proxy", "kube-proxy")
            try:
                await run_proxy(client, config)
            finally:
                await client.close()

        async def dns() -> None:
            listen = ((settings.bridge_address, DNS_PORT),)
            config = DnsConfig(
                cluster_domain=CLUSTER_DOMAIN, listen=listen, service_ip=settings.dns_service_ip
            )
            client = _client(data, "dns", "kube-dns")
            try:
                await run_dns(client, config, DockerNetwork().bridge)
            finally:
                await client.close()

        components |= {"proxy": proxy, "dns": dns}
    try:
        for name, component in components.items():
            scope.spawn(keep_running(name, component), name)
        calm_collector()
        await shutdown.wait()
    finally:
        await scope.close()


async def run_docker_node(
    data: DataDir, settings: ClusterSettings, node_name: str, kubeconfig: Path | None = None
) -> None:
    """One kubelet over Docker with its server, until cancelled.

    `kubeconfig` is the node's own unless another is given.
    """
    path = kubeconfig or data.component_kubeconfig(node_spec(node_name).name)
    client = Client(HttpsTransport.from_kubeconfig(path), "kubelet")
    pki = ClusterPki(data.pki)
    addresses = ["127.0.0.1", settings.bridge_address]
    # Agents that start at the same time must not try the same port.
    position = settings.node_names.index(node_name) if node_name in settings.node_names else 0
    port = free_port(addresses, KUBELET_PORT + position)
    pair = pki.pair(kubelet_serving_spec(node_name, ()).name)
    network = DockerNetwork(subnet=settings.cluster_cidr)
    runtime = DockerRuntime(node_name, network=network, scope=settings.cluster_id)
    config = KubeletConfig(
        node_name=node_name,
        data_dir=str(data.node(node_name)),
        node_ip=settings.bridge_address,
        port=port,
        cluster_dns=(settings.dns_service_ip,),
        cluster_domain=CLUSTER_DOMAIN,
    )
    kubelet = Kubelet(client, config, runtime)
    kubelets = Kubelets()
    kubelets.add(kubelet)
    tls = serving_files(pair, pki.ca.cert_file)
    bind = [(address, port) for address in addresses]
    try:
        async with kubelet_server(kubelets, client, node_name, bind=bind, tls=tls):
            await kubelet.run()
    finally:
        runtime.close()
        await client.close()


def _client(data: DataDir, kubeconfig: str, user_agent: str) -> Client:
    path = data.component_kubeconfig(kubeconfig)
    return Client(HttpsTransport.from_kubeconfig(path), user_agent)
