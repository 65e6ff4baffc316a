"""A node of a simulation: the real kubelet over a runtime without containers."""

from kapi.client.client import Client
from kapi.kubelet.config import KubeletConfig
from kapi.kubelet.kubelet import Kubelet
from kapi.kubelet.probes.prober import AssumedHealthy
from kapi.kubelet.runtime.simulated import SimulatedRuntime


class SimNode:
    """The runtime belongs to the machine: it outlives a kubelet that crashes, as Docker does."""

    def __init__(self, name: str, client: Client, cpu: str) -> None:
        self._client = client
        self._runtime = SimulatedRuntime()
        self._config = KubeletConfig(
            node_name=name,
            # Without volumes nothing is ever written there.
            data_dir="/nonexistent",
            node_ip="192.0.2.10",
            manage_volumes=False,
            capacity={"cpu": cpu, "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "110"},
        )

    async def run(self) -> None:
        """One life of the kubelet."""
        kubelet = Kubelet(self._client, self._config, self._runtime, prober=AssumedHealthy())
        await kubelet.run()
