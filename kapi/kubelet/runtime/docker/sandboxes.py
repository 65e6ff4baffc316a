"""Making sandboxes: the pod network, addresses, the pause container and its resolv.conf."""

import asyncio
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

from kapi import env
from kapi.kubelet.runtime.docker.engine import DockerEngine, EngineError
from kapi.kubelet.runtime.docker.images import DockerImages
from kapi.kubelet.runtime.docker.network import AddressPool, DockerNetwork
from kapi.kubelet.runtime.docker.translate import container_name, sandbox_config, sandbox_from
from kapi.kubelet.runtime.interface import RuntimeFailure, Sandbox, SandboxSpec

_ADDRESS_TRIES = 20
_CAP_SYS_RESOURCE = 24


@functools.cache
def may_lower_oom_score() -> bool:
    """Whether this machine grants its root CAP_SYS_RESOURCE (many virtual machines do not).

    The engine runs on the same machine under the same bounds, so our own set tells.
    """
    for line in env.read_text("/proc/self/status").splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


class DockerSandboxes:
    """Creates pause containers for one node."""

    def __init__(
        self,
        engine: DockerEngine,
        images: DockerImages,
        network: DockerNetwork,
        owner: Mapping[str, str],
    ) -> None:
        self._engine = engine
        self._images = images
        self._network = network
        self._owner = owner
        self._pool: AddressPool | None = None
        self._being_made: set[str] = set()
        self._network_lock = asyncio.Lock()
        self._network_ready = False

    async def update_pod_cidr(self, cidr: str) -> None:
        """Addresses come from `cidr` from now on."""
        self._pool = AddressPool(cidr, reserved=(self._network.gateway,))
        await self._ensure_network()

    def learn(self, used: Iterable[str]) -> None:
        """After a full list: these addresses are held by running sandboxes."""
        if self._pool is not None:
            self._pool.keep_only(used, self._being_made)

    async def _ensure_network(self) -> None:
        async with self._network_lock:
            if self._network_ready:
                return
            try:
                await self._engine.call(lambda client: client.inspect_network(self._network.name))
            except EngineError as error:
                if error.status != 404:
                    raise
                await self._create_network()
            self._network_ready = True

    async def _create_network(self) -> None:
        request = self._network.request()
        try:
            await self._engine.call(
                lambda client: client.create_network(
                    request["Name"],
                    driver=request["Driver"],
                    check_duplicate=True,
                    ipam=request["IPAM"],
                    options=request["Options"],
                )
            )
        except EngineError as error:
            # 409: another node of this machine was quicker.
            if error.status != 409:
                raise

    async def run(self, spec: SandboxSpec) -> Sandbox:
        """Create and start; an address that turns out to be taken is left alone."""
        if spec.host_network:
            return await self._start(spec, "")
        if self._pool is None:
            raise RuntimeFailure("no pod CIDR is assigned to this node")
        await self._ensure_network()
        for _ in range(_ADDRESS_TRIES):
            address = self._pool.take() or await self._take_after_looking(self._pool)
            if address is None:
                raise RuntimeFailure("no address is free in the node's pod CIDR")
            self._being_made.add(address)
            try:
                return await self._start(spec, address)
            except EngineError as error:
                if "Address already in use" not in str(error):
                    raise
            finally:
                self._being_made.discard(address)
        raise RuntimeFailure("every address tried in the node's pod CIDR is in use")

    async def _take_after_looking(self, pool: AddressPool) -> str | None:
        """The range looks full: pods that went since the last look may have made room."""
        labels = [f"{name}={value}" for name, value in self._owner.items()]
        rows = await self._engine.call(lambda client: client.containers(filters={"label": labels}))
        sandboxes = [sandbox_from(row, self._network.name, ()) for row in rows]
        self.learn(ip for sandbox in sandboxes for ip in sandbox.ips)
        return pool.take()

    async def _start(self, spec: SandboxSpec, address: str) -> Sandbox:
        config = sandbox_config(
            spec,
            image=await self._images.pause_image(),
            network=self._network.name,
            address=address,
            may_lower_oom_score=may_lower_oom_score(),
        )
        config["Labels"].update(self._owner)
        name = container_name(spec.labels, "POD")
        try:
            made = await self._engine.call(
                lambda client: client.create_container_from_config(config, name)
            )
        except EngineError as error:
            if error.status != 409:
                raise
            await self._discard(name)
            made = await self._engine.call(
                lambda client: client.create_container_from_config(config, name)
            )
        try:
            await self._engine.call(lambda client: client.start(made["Id"]))
        except EngineError as error:
            await self._discard(made["Id"])
            if error.status == 404 and "network" in str(error):
                self._network_ready = False
            raise
        inspected = await self._engine.call(lambda client: client.inspect_container(made["Id"]))
        await env.in_thread(_write_resolv_conf, inspected.get("ResolvConfPath", ""), spec)
        rows = await self._engine.call(
            lambda client: client.containers(all=True, filters={"id": made["Id"]})
        )
        return sandbox_from(rows[0], self._network.name, ())

    async def _discard(self, name: str) -> None:
        try:
            await self._engine.call(lambda client: client.remove_container(name, force=True))
        except EngineError as error:
            if error.status != 404:
                raise


def _write_resolv_conf(path: str, spec: SandboxSpec) -> None:
    """Replace what Docker wrote; containers that join the sandbox share this very file.

    Written in place: the file may be bind-mounted, so its inode must stay.
    """
    lines = [f"search {' '.join(spec.dns_searches)}"] if spec.dns_searches else []
    lines += [f"nameserver {server}" for server in spec.dns_servers]
    lines += [f"options {' '.join(spec.dns_options)}"] if spec.dns_options else []
    if path and lines:
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
