"""The conversation between the kubelet and a container runtime.

Labels that the kubelet sets on sandboxes and containers are its only state: `list_sandboxes` after
a restart must return everything needed to adopt what runs.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

ContainerState = Literal["created", "running", "exited"]


class RuntimeFailure(Exception):
    """Base of everything a runtime raises on purpose; the text goes into events."""


class RuntimeUnavailable(RuntimeFailure):
    """The engine does not answer."""


class ImagePullFailed(RuntimeFailure):
    """The registry refused or could not be reached."""


class ContainerStartFailed(RuntimeFailure):
    """The container exists and would not start (bad command, bad mount)."""


@dataclass(frozen=True, slots=True)
class Mount:
    host_path: str
    container_path: str
    read_only: bool = False
    propagation: Literal["private", "rslave", "rshared"] = "private"


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits in the runtime's units; 0 means none."""

    cpu_shares: int = 0
    cpu_quota_microseconds: int = 0
    cpu_period_microseconds: int = 100_000
    memory_bytes: int = 0
    oom_score_adjust: int = 0


@dataclass(frozen=True, slots=True)
class SecuritySpec:
    user: str = ""
    groups: tuple[str, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    seccomp: str = ""
    sysctls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """A pod's shared namespaces. `labels` carry pod name, namespace, uid and attempt."""

    name: str
    namespace: str
    uid: str
    hostname: str
    labels: Mapping[str, str]
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_process_namespace: bool = False
    dns_servers: tuple[str, ...] = ()
    dns_searches: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    host_ports: tuple[tuple[int, int, str, str], ...] = ()
    """(host port, container port, protocol in lower case, host address)"""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container, fully resolved: no references to other objects are left."""

    name: str
    image_id: str
    labels: Mapping[str, str]
    command: tuple[str, ...] = ()
    """Replaces the image's entrypoint when not empty."""
    args: tuple[str, ...] = ()
    """Replaces the image's command when not empty."""
    working_dir: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    security: SecuritySpec = field(default_factory=SecuritySpec)
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    process_namespace_of: str = ""
    """Id of the container whose processes this one shall see (ephemeral target)."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container as it is now. Times are UTC; `exit_code` is meaningful once exited."""

    id: str
    name: str
    state: ContainerState
    image: str
    image_id: str
    labels: Mapping[str, str]
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    """`OOMKilled`, or empty for an ordinary end."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod's sandbox and every container in it, newest first."""

    id: str
    name: str
    namespace: str
    uid: str
    running: bool
    ips: tuple[str, ...]
    labels: Mapping[str, str]
    created_at: datetime
    containers: tuple[Container, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """`id` is the content id; `user` is the image's USER, empty for root."""

    id: str
    names: tuple[str, ...]
    size_bytes: int
    user: str = ""
    repo_digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    username: str
    password: str
    server: str = ""


@dataclass(frozen=True, slots=True)
class LogOptions:
    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


class Stream(Protocol):
    """A running exec or an attachment."""

    def output(self) -> AsyncIterator[tuple[Literal[1, 2], bytes]]:
        """Pieces of stdout (1) and stderr (2) until both end; with a tty only 1."""

    async def write(self, data: bytes) -> None:
        """Send to stdin."""

    async def close_stdin(self) -> None: ...

    async def resize(self, width: int, height: int) -> None: ...

    async def exit_code(self) -> int | None:
        """Wait for the end; None for an attachment."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something changed in this pod; the kubelet looks again.

    An empty `pod_uid` means: look at every pod (sent when a connection begins).
    """

    pod_uid: str
    container_id: str
    what: str


class ByteStream(Protocol):
    """A connection into a pod's network namespace."""

    async def read(self, limit: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


@runtime_checkable
class ImageUnpacker(Protocol):
    """A runtime that can lay out an image's files, which image volumes need."""

    async def unpack_image(self, image_id: str, target: str) -> None:
        """Fill the existing directory `target`. Raises RuntimeFailure."""


class Runtime(Protocol):
    """All methods raise RuntimeUnavailable when the engine does not answer."""

    name: str
    """`docker` or `simulated`; the prefix of container ids in status (`docker://...`)."""

    async def version(self) -> str: ...

    async def update_pod_cidr(self, cidr: str) -> None:
        """The node was given this range for pod addresses; called before the first sandbox."""

    async def list_sandboxes(self, pod_uid: str = "") -> Sequence[Sandbox]:
        """Every sandbox this kubelet's node owns, with its containers, running or not.

        With `pod_uid` only that pod's. Newest first.
        """

    async def run_sandbox(self, spec: SandboxSpec) -> Sandbox: ...

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Stop everything left in it; its address is free again. Unknown ids are fine."""

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove it and its containers. Unknown ids are fine."""

    async def create_container(self, sandbox_id: str, spec: ContainerSpec) -> str: ...

    async def start_container(self, container_id: str) -> None:
        """Raises ContainerStartFailed."""

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        """The image's stop signal, then SIGKILL after the grace; 0 kills at once."""

    async def remove_container(self, container_id: str) -> None: ...

    async def update_container(self, container_id: str, resources: Resources) -> None:
        """Change the limits of a running container in place."""

    async def find_image(self, reference: str) -> Image | None: ...

    async def pull_image(self, reference: str, auth: RegistryAuth | None) -> Image:
        """Raises ImagePullFailed."""

    async def list_images(self) -> Sequence[Image]: ...

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Changes from now on; ends with RuntimeUnavailable when the engine goes."""

    def logs(self, container_id: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Raw output, stdout and stderr together, lines complete."""

    async def exec(
        self, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> Stream: ...

    async def attach(self, container_id: str, *, stdin: bool, tty: bool) -> Stream: ...

    def connect(self, sandbox_id: str, port: int) -> AbstractAsyncContextManager[ByteStream]:
        """A TCP connection to 127.0.0.1:port inside the sandbox. Raises ConnectionError."""
