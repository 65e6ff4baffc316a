"""A kubelet on a real Docker engine, with a real API server in the same process."""

import asyncio
import io
import os
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kapi import env
from kapi.api.errors import NotFound
from kapi.api.object import Object, condition_of
from kapi.client.client import EVENTS, NODES, PODS, STRATEGIC_MERGE_PATCH, Client
from kapi.client.in_process import InProcessTransport
from kapi.kubelet.config import KubeletConfig
from kapi.kubelet.kubelet import Kubelet
from kapi.kubelet.runtime.docker import DockerNetwork, DockerRuntime
from kapi.kubelet.runtime.docker.engine import DEFAULT_URL
from kapi.kubelet.runtime.interface import LogOptions
from kapi.server.api_server import ApiServer
from kapi.sim.identities import ADMIN

IMAGE = "kapi-test/busybox:latest"
NODE = "kubelet-test"
SCOPE = f"test-{os.getpid()}"
# Several runs may share one engine: each has a network of its own.
_SECOND_OCTET = 160 + os.getpid() % 80
NETWORK = DockerNetwork(
    f"kapi-test-{os.getpid()}", f"10.{_SECOND_OCTET}.0.0/16", f"kt{os.getpid()}"
)
POD_PREFIX = f"10.{_SECOND_OCTET}.9."
POD_CIDR = f"{POD_PREFIX}0/24"
RAW_CIDR = f"10.{_SECOND_OCTET}.8.0/24"


def import_busybox(client: Any, busybox: Path) -> None:
    commands = "sh cat echo sleep ls id env hostname nc httpd stat touch rm mkdir kill true false"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(busybox, "bin/busybox")
        for command in commands.split():
            entry = tarfile.TarInfo(f"bin/{command}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
        passwd = tarfile.TarInfo("etc/passwd")
        text = b"root:x:0:0:root:/root:/bin/sh\n"
        passwd.size = len(text)
        archive.addfile(passwd, io.BytesIO(text))
    repository, _, tag = IMAGE.partition(":")
    client.import_image_from_data(
        buffer.getvalue(), repository=repository, tag=tag, changes=['CMD ["sh"]', "ENV PATH=/bin"]
    )


class Bench:
    """One API server and one kubelet, which may be stopped and started again."""

    def __init__(self, server: ApiServer, data_dir: Path, engine: Any) -> None:
        self.engine = engine
        self.admin = Client(InProcessTransport(server.app, ADMIN))
        self.data_dir = data_dir
        self.config = KubeletConfig(
            node_name=NODE,
            data_dir=str(data_dir),
            node_ip=NETWORK.gateway,
            pod_cidr=POD_CIDR,
            cluster_dns=("10.96.0.10",),
            status_seconds=5,
        )
        self.kubelet: Kubelet
        self._runtime: DockerRuntime | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, url: str = DEFAULT_URL) -> None:
        self._runtime = DockerRuntime(NODE, url=url, network=NETWORK, scope=SCOPE)
        self.kubelet = Kubelet(self.admin, self.config, self._runtime)
        self._task = env.spawn(self.kubelet.run(), "kubelet under test")

    async def stop(self) -> None:
        if self._task is not None and self._runtime is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._runtime.close()
            self._task = None

    async def is_empty(self) -> bool:
        return not self.kubelet.list_pods()

    async def node_ready(self) -> None:
        await self.until(self._is_ready, "the node to be ready")

    async def _is_ready(self) -> bool:
        try:
            node = await self.admin.get(NODES, "", NODE)
        except NotFound:
            return False
        ready = condition_of(node["status"].get("conditions"), "Ready")
        return bool(ready and ready["status"] == "True")

    async def until(
        self, check: Callable[[], Awaitable[Any]], what: str, seconds: float = 20
    ) -> Any:
        deadline = env.monotonic() + seconds
        while env.monotonic() < deadline:
            found = await check()
            if found:
                return found
            await env.sleep(0.05)
        pytest.fail(f"waited in vain for {what}")

    async def create(self, name: str, *containers: Object, **spec: Any) -> Object:
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **spec.pop("metadata", {})},
            "spec": {
                "nodeName": NODE,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 2,
                "containers": list(containers),
                **spec,
            },
        }
        return await self.admin.create(PODS, "default", body)

    async def get(self, name: str) -> Object:
        return await self.admin.get(PODS, "default", name)

    async def wait_phase(self, name: str, *phases: str, seconds: float = 20) -> Object:
        return await self.wait(name, lambda pod: pod["status"].get("phase") in phases, seconds)

    async def wait_ready(self, name: str, seconds: float = 20) -> Object:
        def ready(pod: Object) -> bool:
            found = condition_of(pod["status"].get("conditions"), "Ready")
            return bool(found and found["status"] == "True")

        return await self.wait(name, ready, seconds)

    async def wait(self, name: str, check: Callable[[Object], bool], seconds: float = 20) -> Object:
        last: Object = {}

        async def found() -> Object | None:
            nonlocal last
            last = await self.get(name)
            return last if check(last) else None

        deadline = env.monotonic() + seconds
        while env.monotonic() < deadline:
            pod = await found()
            if pod is not None:
                return pod
            await env.sleep(0.05)
        pytest.fail(f"{name} did not get there: {last.get('status')} {await self.events(name)}")

    async def delete(self, name: str, **options: Any) -> None:
        await self.admin.delete(PODS, "default", name, options=options or None)

    async def wait_gone(self, name: str, seconds: float = 20) -> None:
        async def gone() -> bool:
            try:
                await self.get(name)
            except NotFound:
                return True
            return False

        await self.until(gone, f"{name} to be gone", seconds)

    async def events(self, name: str) -> list[tuple[str, str]]:
        await self.kubelet.recorder.flush()
        found = await self.admin.list(EVENTS, "default")
        return [
            (event["reason"], event["message"])
            for event in found["items"]
            if event["involvedObject"]["name"] == name
        ]

    async def containers(self, name: str) -> list[Any]:
        """Docker's rows of a pod's containers, the sandbox included."""
        labels = [f"kapi.scope={SCOPE}", f"io.kubernetes.pod.name={name}"]

        def rows() -> list[Any]:
            return list(self.engine.containers(all=True, filters={"label": labels}))

        return await env.in_thread(rows)

    async def inspect(self, container_id: str) -> Any:
        return await env.in_thread(self.engine.inspect_container, container_id)

    async def resize(self, name: str, containers: list[Object]) -> None:
        await self.admin.patch(
            PODS,
            "default",
            name,
            {"spec": {"containers": containers}},
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="resize",
        )

    async def add_condition(self, name: str, condition: Object) -> None:
        await self.admin.patch(
            PODS,
            "default",
            name,
            {"status": {"conditions": [condition]}},
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="status",
        )

    async def remove_container(self, container_id: str) -> None:
        await env.in_thread(self.engine.remove_container, container_id, force=True)

    async def add_ephemeral(self, name: str, extra: Object) -> None:
        await self.admin.patch(
            PODS,
            "default",
            name,
            {"spec": {"ephemeralContainers": [extra]}},
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="ephemeralcontainers",
        )

    async def logs(self, name: str, container: str = "") -> str:
        pod = await self.get(name)
        assert self._runtime is not None
        for sandbox in await self._runtime.list_sandboxes(pod["metadata"]["uid"]):
            for found in sandbox.containers:
                if container in ("", found.name):
                    pieces = [p async for p in self._runtime.logs(found.id, LogOptions())]
                    return b"".join(pieces).decode()
        pytest.fail(f"{name} has no container {container}")


def container(name: str, *command: str, **fields: Any) -> Object:
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        **({"command": list(command)} if command else {}),
        **fields,
    }
