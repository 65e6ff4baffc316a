"""A runtime without containers: thousands of nodes in one process.

A sandbox and its containers are entries in dictionaries; a container that will end has one timer,
one that runs for ever has nothing. No task, thread, file or socket belongs to a pod.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from ipaddress import ip_network
from typing import NoReturn

from kapi import env
from kapi.kubelet.runtime.interface import (
    ByteStream,
    Container,
    ContainerSpec,
    ContainerStartFailed,
    ContainerState,
    Image,
    LogOptions,
    RegistryAuth,
    Resources,
    RuntimeEvent,
    RuntimeFailure,
    Sandbox,
    SandboxSpec,
)
from kapi.kubelet.runtime.simulated_process import Behaviour, behaviour_of
from kapi.kubelet.runtime.simulated_streams import (
    EXEC_REFUSED,
    EXEC_REFUSED_CODE,
    NOTICE,
    LogLine,
    SimulatedStream,
    printed_lines,
    selected_lines,
    until_next_line,
)

_TERMINATED, _KILLED = 143, 137
_IMAGE_BYTES = 5_000_000
_EVENTS_KEPT = 10_000


class _Addresses:
    """The addresses of a pod CIDR, lowest free one first; .0 and .1 (the bridge) are not given."""

    def __init__(self, cidr: str) -> None:
        self._network = ip_network(cidr)
        self._next = 2
        self._released: list[int] = []

    def take(self) -> str:
        if self._released:
            return str(self._network[heappop(self._released)])
        if self._next >= self._network.num_addresses - 1:
            raise RuntimeFailure(f"no free address in {self._network}")
        self._next += 1
        return str(self._network[self._next - 1])

    def give_back(self, address: str) -> None:
        offset = int(ip_network(address).network_address) - int(self._network.network_address)
        heappush(self._released, offset)


@dataclass(slots=True, eq=False)
class _Container:
    id: str
    sandbox_id: str
    spec: ContainerSpec
    behaviour: Behaviour
    created_at: datetime
    state: ContainerState = "created"
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    timer: asyncio.TimerHandle | None = None

    def printed(self) -> list[LogLine]:
        return printed_lines(self.behaviour, self.started_at, self.finished_at)

    def report(self) -> Container:
        return Container(
            id=self.id,
            name=self.spec.name,
            state=self.state,
            image=self.spec.labels.get("kapi.image", self.spec.image_id),
            image_id=self.spec.image_id,
            labels=self.spec.labels,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            exit_code=self.exit_code,
        )


@dataclass(slots=True, eq=False)
class _Sandbox:
    id: str
    spec: SandboxSpec
    address: str
    created_at: datetime
    running: bool = True
    containers: dict[str, _Container] = field(default_factory=dict)

    def report(self) -> Sandbox:
        return Sandbox(
            id=self.id,
            name=self.spec.name,
            namespace=self.spec.namespace,
            uid=self.spec.uid,
            running=self.running,
            ips=(self.address,) if self.running and self.address else (),
            labels=self.spec.labels,
            created_at=self.created_at,
            containers=tuple(c.report() for c in reversed(self.containers.values())),
        )


class SimulatedRuntime:
    """One node's runtime. `start_seconds` is how long starting a container takes,
    `stop_seconds` how long a container takes to end after it was asked to."""

    name = "simulated"

    def __init__(
        self, pod_cidr: str = "", *, start_seconds: float = 0.1, stop_seconds: float = 0.0
    ) -> None:
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._addresses = _Addresses(pod_cidr) if pod_cidr else None
        self._sandboxes: dict[str, _Sandbox] = {}
        self._by_uid: dict[str, list[str]] = {}
        self._containers: dict[str, _Container] = {}
        self._images: dict[str, Image] = {}
        self._events: deque[RuntimeEvent] = deque(maxlen=_EVENTS_KEPT)
        self._happened = asyncio.Event()

    async def version(self) -> str:
        return "0.1.0"

    async def update_pod_cidr(self, cidr: str) -> None:
        """Existing pods keep their addresses."""
        if self._addresses is None:
            self._addresses = _Addresses(cidr)

    # -- sandboxes -----------------------------------------------------------------------------

    async def list_sandboxes(self, pod_uid: str = "") -> Sequence[Sandbox]:
        if pod_uid:
            found = [self._sandboxes[i] for i in self._by_uid.get(pod_uid, ())]
        else:
            found = list(self._sandboxes.values())
        return [sandbox.report() for sandbox in reversed(found)]

    async def run_sandbox(self, spec: SandboxSpec) -> Sandbox:
        sandbox = _Sandbox(_new_id(), spec, self._address_for(spec), env.now())
        self._sandboxes[sandbox.id] = sandbox
        self._by_uid.setdefault(spec.uid, []).append(sandbox.id)
        return sandbox.report()

    async def stop_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or not sandbox.running:
            return
        for container in sandbox.containers.values():
            self._end(container, _KILLED)
        sandbox.running = False
        if sandbox.address and self._addresses is not None:
            self._addresses.give_back(sandbox.address)
        self._tell(sandbox, "", "sandbox stopped")

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is None:
            return
        for container_id in sandbox.containers:
            self._containers.pop(container_id, None)
        siblings = self._by_uid[sandbox.spec.uid]
        siblings.remove(sandbox_id)
        if not siblings:
            del self._by_uid[sandbox.spec.uid]

    def _address_for(self, spec: SandboxSpec) -> str:
        if spec.host_network:
            return ""
        if self._addresses is None:
            raise RuntimeFailure("the node has no pod CIDR yet")
        return self._addresses.take()

    # -- containers ----------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, spec: ContainerSpec) -> str:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or not sandbox.running:
            raise RuntimeFailure(f"no running sandbox {sandbox_id}")
        behaviour = behaviour_of((*spec.command, *spec.args), spec.environment)
        container = _Container(_new_id(), sandbox_id, spec, behaviour, env.now())
        sandbox.containers[container.id] = container
        self._containers[container.id] = container
        return container.id

    async def start_container(self, container_id: str) -> None:
        """Takes `start_seconds`. Raises ContainerStartFailed if it is gone by then."""
        if self._start_seconds:
            await env.sleep(self._start_seconds)
        container = self._containers.get(container_id)
        if container is None or container.state != "created":
            raise ContainerStartFailed(f"container {container_id} is not there to be started")
        container.state = "running"
        container.started_at = env.now()
        seconds = container.behaviour.run_seconds
        if seconds is not None:
            self._end_later(container, seconds, container.behaviour.exit_code)
        self._tell(self._sandboxes[container.sandbox_id], container_id, "start")

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        container = self._containers.get(container_id)
        if container is None or container.state != "running":
            return
        if grace_seconds > 0 and self._stop_seconds:
            await env.sleep(min(self._stop_seconds, grace_seconds))
        in_time = grace_seconds > 0 and self._stop_seconds <= grace_seconds
        self._end(container, _TERMINATED if in_time else _KILLED)

    async def remove_container(self, container_id: str) -> None:
        container = self._containers.pop(container_id, None)
        if container is None:
            return
        self._end(container, _KILLED)
        self._sandboxes[container.sandbox_id].containers.pop(container_id, None)

    async def update_container(self, container_id: str, resources: Resources) -> None:
        """Limits mean nothing here; only an unknown container is an error."""
        self._known(container_id)

    def _end_later(self, container: _Container, seconds: float, exit_code: int) -> None:
        loop = asyncio.get_running_loop()
        container.timer = loop.call_later(seconds, self._end, container, exit_code)

    def _end(self, container: _Container, exit_code: int) -> None:
        if container.timer is not None:
            container.timer.cancel()
            container.timer = None
        if container.state != "running":
            return
        container.state = "exited"
        container.exit_code = exit_code
        container.finished_at = env.now()
        self._tell(self._sandboxes[container.sandbox_id], container.id, "die")

    def _known(self, container_id: str) -> _Container:
        container = self._containers.get(container_id)
        if container is None:
            raise RuntimeFailure(f"no container {container_id}")
        return container

    # -- images: every image exists ------------------------------------------------------------

    async def find_image(self, reference: str) -> Image | None:
        return self._images.get(reference) or next(
            (image for image in self._images.values() if image.id == reference), None
        )

    async def pull_image(self, reference: str, auth: RegistryAuth | None) -> Image:
        image = self._images.get(reference)
        if image is None:
            digest = f"sha256:{hashlib.sha256(reference.encode()).hexdigest()}"
            repository = reference.partition("@")[0]
            digests = (f"{repository}@{digest}",)
            image = Image(digest, (reference,), _IMAGE_BYTES, repo_digests=digests)
            self._images[reference] = image
        return image

    async def list_images(self) -> Sequence[Image]:
        return list(self._images.values())

    # -- events --------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        """For one reader: what was read is gone."""
        self._events.clear()
        while True:
            while self._events:
                yield self._events.popleft()
            self._happened.clear()
            await self._happened.wait()

    def _tell(self, sandbox: _Sandbox, container_id: str, what: str) -> None:
        self._events.append(RuntimeEvent(sandbox.spec.uid, container_id, what))
        self._happened.set()

    # -- streams -------------------------------------------------------------------------------

    async def logs(self, container_id: str, options: LogOptions) -> AsyncIterator[bytes]:
        """A notice, then what the command would have printed by now.

        With `follow`, ends when the container does.
        """
        container = self._known(container_id)
        printed = container.printed()
        for line in selected_lines(printed, options):
            yield line
        sent = len(printed)
        while options.follow and container.state == "running":
            await env.sleep(until_next_line(container.behaviour, container.started_at))
            printed = container.printed()
            for line in selected_lines(printed[sent:], LogOptions(timestamps=options.timestamps)):
                yield line
            sent = len(printed)

    async def exec(
        self, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> SimulatedStream:
        """Commands that the guesser understands end as they would (probes use them); any other
        ends with an error that says why."""
        container = self._known(container_id)
        if container.state != "running":
            raise RuntimeFailure(f"container {container_id} is not running")
        behaviour = behaviour_of(command)
        if behaviour.run_seconds is None:
            return SimulatedStream(stderr=EXEC_REFUSED, exit_code=EXEC_REFUSED_CODE)
        text = "".join(f"{line}\n" for _, line in behaviour.output)
        return SimulatedStream(
            stdout=text, exit_code=behaviour.exit_code, seconds=behaviour.run_seconds
        )

    async def attach(self, container_id: str, *, stdin: bool, tty: bool) -> SimulatedStream:
        self._known(container_id)
        return SimulatedStream(stderr=NOTICE, exit_code=None)

    @asynccontextmanager
    async def connect(self, sandbox_id: str, port: int) -> AsyncIterator[ByteStream]:
        """Nothing listens in a simulated pod."""
        _refuse(sandbox_id, port)
        yield


def _refuse(sandbox_id: str, port: int) -> NoReturn:
    raise ConnectionRefusedError(f"sandbox {sandbox_id} is simulated: nothing listens on {port}")


def _new_id() -> str:
    return f"{env.random().getrandbits(256):064x}"
