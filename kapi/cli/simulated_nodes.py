"""Nodes that only pretend: kubelets over the simulated runtime, all in one process.

They share three informers and one server, and cost no thread, file or socket of their own.
"""

import asyncio

from kapi import env
from kapi.auth.pki import ClusterPki, kubelet_serving_spec
from kapi.cli.control_plane import KUBE_CONTROLLER_MANAGER, node_user
from kapi.cli.kubelets import (
    KUBELET_PORT,
    SIMULATED_CAPACITY,
    Kubelets,
    free_port,
    kubelet_server,
    serving_files,
)
from kapi.cli.settings import CLUSTER_DOMAIN, ClusterSettings
from kapi.client.client import NODES, PODS, SERVICES, Client
from kapi.client.in_process import InProcessTransport
from kapi.client.informers import Informers
from kapi.kubelet.config import KubeletConfig
from kapi.kubelet.kubelet import Kubelet, KubeletSources
from kapi.kubelet.probes.prober import AssumedHealthy
from kapi.kubelet.runtime.simulated import SimulatedRuntime
from kapi.kubelet.sources import SharedSource, node_of_node, node_of_pod
from kapi.server.engine import Application

_ADDRESS = "127.0.0.1"


async def run_simulated_nodes(app: Application, settings: ClusterSettings, pki: ClusterPki) -> None:
    """Until cancelled. Raises what ends a kubelet."""
    # Its rights cover reading all that kubelets follow; each kubelet writes as its own node.
    reader = Client(InProcessTransport(app, KUBE_CONTROLLER_MANAGER), "simulated-nodes")
    informers = Informers(reader)
    pods = SharedSource(informers.get(PODS), node_of_pod)
    nodes = SharedSource(informers.get(NODES), node_of_node)
    services = informers.get(SERVICES)
    port = free_port([_ADDRESS], KUBELET_PORT)
    pair = pki.ensure(kubelet_serving_spec("simulated", (_ADDRESS,)))
    kubelets, scope = Kubelets(), env.TaskScope()
    tls = serving_files(pair, pki.ca.cert_file)
    bind = [(_ADDRESS, port)]
    async with kubelet_server(kubelets, reader, "simulated", bind=bind, tls=tls):
        try:
            running = []
            for name in settings.simulated_node_names:
                sources = KubeletSources(pods.part(name), nodes.part(name), services)
                kubelet = _kubelet(app, settings, name, port, sources)
                kubelets.add(kubelet)
                running.append(scope.spawn(kubelet.run(), f"kubelet {name}"))
            informers.start()
            await asyncio.gather(*running)
        finally:
            await scope.close()
            await informers.close()


def _kubelet(
    app: Application, settings: ClusterSettings, name: str, port: int, sources: KubeletSources
) -> Kubelet:
    config = KubeletConfig(
        node_name=name,
        data_dir="",
        node_ip=_ADDRESS,
        port=port,
        labels={"kapi.dev/simulated": "true"},
        cluster_dns=(settings.dns_service_ip,),
        cluster_domain=CLUSTER_DOMAIN,
        manage_volumes=False,
        capacity=SIMULATED_CAPACITY,
        resync_seconds=0.0,
    )
    client = Client(InProcessTransport(app, node_user(name)), "kubelet")
    return Kubelet(client, config, SimulatedRuntime(), sources=sources, prober=AssumedHealthy())
