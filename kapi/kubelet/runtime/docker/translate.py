"""Pure translation between the runtime interface and Docker's JSON."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kapi import env
from kapi.kubelet.runtime.interface import (
    Container,
    ContainerSpec,
    ContainerState,
    Image,
    Resources,
    Sandbox,
    SandboxSpec,
)

LABEL_NODE = "kapi.node"
LABEL_SCOPE = "kapi.scope"
LABEL_TYPE = "io.kubernetes.docker.type"
LABEL_SANDBOX = "io.kubernetes.sandbox.id"
LABEL_POD_NAME = "io.kubernetes.pod.name"
LABEL_POD_NAMESPACE = "io.kubernetes.pod.namespace"
LABEL_POD_UID = "io.kubernetes.pod.uid"
LABEL_CONTAINER_NAME = "io.kubernetes.container.name"
LABEL_ATTEMPT = "io.kubernetes.container.restartCount"
LABEL_SHARE_PID = "kapi.share-process-namespace"

_LOG_CONFIG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}
_FRACTION = re.compile(r"\.(\d+)")
_NEVER = "0001-01-01T00:00:00Z"
_PAUSE_OOM_SCORE = -998
_PAUSE_CPU_SHARES = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_START_FAILED_EXIT_CODE = 128


@dataclass(frozen=True, slots=True)
class Joined:
    """What a container takes from its sandbox."""

    sandbox_id: str
    ipc_mode: str
    pid_mode: str


def oom_score(wanted: int, *, may_lower: bool) -> int:
    """Scores below zero need CAP_SYS_RESOURCE; without it a container would not start at all."""
    return wanted if may_lower else max(wanted, 0)


def container_name(labels: Mapping[str, str], container: str) -> str:
    """The name Docker shows, as the kubelet's Docker shim used to spell it."""
    parts = (
        container,
        labels.get(LABEL_POD_NAME, ""),
        labels.get(LABEL_POD_NAMESPACE, ""),
        labels.get(LABEL_POD_UID, ""),
        labels.get(LABEL_ATTEMPT, "0"),
    )
    return "k8s_" + "_".join(parts)


def sandbox_config(
    spec: SandboxSpec, *, image: str, network: str, address: str, may_lower_oom_score: bool
) -> dict[str, Any]:
    """The body of the create call for a pause container."""
    host: dict[str, Any] = {
        "IpcMode": "host" if spec.host_ipc else "shareable",
        "PidMode": "host" if spec.host_pid else "",
        "NetworkMode": "host" if spec.host_network else network,
        "OomScoreAdj": oom_score(_PAUSE_OOM_SCORE, may_lower=may_lower_oom_score),
        "CpuShares": _PAUSE_CPU_SHARES,
        "LogConfig": {"Type": "none"},
        "Sysctls": dict(spec.sysctls),
        "CgroupParent": spec.cgroup_parent,
    }
    labels = {**spec.labels, LABEL_TYPE: "podsandbox"}
    if spec.share_process_namespace and not spec.host_pid:
        labels[LABEL_SHARE_PID] = "true"
    config: dict[str, Any] = {
        "Image": image,
        "Entrypoint": ["/pause"],
        "Labels": labels,
        "HostConfig": host,
    }
    if not spec.host_network:
        config["Hostname"] = spec.hostname
        endpoint = {"IPAMConfig": {"IPv4Address": address}}
        config["NetworkingConfig"] = {"EndpointsConfig": {network: endpoint}}
        ports = _port_bindings(spec)
        config["ExposedPorts"] = {port: {} for port in ports}
        host["PortBindings"] = ports
    return config


def _port_bindings(spec: SandboxSpec) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for host_port, container_port, protocol, address in spec.host_ports:
        entry = {"HostIp": address, "HostPort": str(host_port)}
        bindings.setdefault(f"{container_port}/{protocol}", []).append(entry)
    return bindings


def container_config(
    spec: ContainerSpec, joined: Joined, *, seccomp: str, may_lower_oom_score: bool
) -> dict[str, Any]:
    """The body of the create call; `seccomp` is the profile's text, or `unconfined`, or empty."""
    security = spec.security
    options = ["no-new-privileges"] if security.no_new_privileges else []
    options += [f"seccomp={seccomp}"] if seccomp else []
    host = {
        "NetworkMode": f"container:{joined.sandbox_id}",
        "IpcMode": joined.ipc_mode,
        "PidMode": joined.pid_mode,
        "Mounts": [_mount(mount) for mount in spec.mounts],
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.read_only_root,
        "CapAdd": list(security.add_capabilities),
        "CapDrop": list(security.drop_capabilities),
        "GroupAdd": list(security.groups),
        "SecurityOpt": options,
        "OomScoreAdj": oom_score(spec.resources.oom_score_adjust, may_lower=may_lower_oom_score),
        "LogConfig": _LOG_CONFIG,
        **limits(spec.resources),
    }
    config: dict[str, Any] = {
        "Image": spec.image_id,
        "Env": [f"{name}={value}" for name, value in spec.environment],
        "Labels": {**spec.labels, LABEL_TYPE: "container", LABEL_SANDBOX: joined.sandbox_id},
        "User": security.user,
        "WorkingDir": spec.working_dir,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin_once,
        "HostConfig": host,
    }
    if spec.command:
        config["Entrypoint"] = list(spec.command)
    if spec.args:
        config["Cmd"] = list(spec.args)
    return config


def _mount(mount: Any) -> dict[str, Any]:
    # Left to Docker it is rprivate, or rslave for a source that holds Docker's own files (as /
    # does), for which rprivate would be refused.
    asked = {} if mount.propagation == "private" else {"Propagation": mount.propagation}
    return {
        "Type": "bind",
        "Source": mount.host_path,
        "Target": mount.container_path,
        "ReadOnly": mount.read_only,
        "BindOptions": asked,
    }


def limits(resources: Resources) -> dict[str, int]:
    """Docker's fields for CPU and memory; swap equal to memory means no swap."""
    found: dict[str, int] = {"CpuShares": resources.cpu_shares}
    if resources.cpu_quota_microseconds:
        found["CpuQuota"] = resources.cpu_quota_microseconds
        found["CpuPeriod"] = resources.cpu_period_microseconds
    if resources.memory_bytes:
        found["Memory"] = found["MemorySwap"] = resources.memory_bytes
    return found


def moment(text: str) -> datetime | None:
    """Docker's time with up to nine fractional digits; its zero time is None."""
    if not text or text == _NEVER:
        return None
    # Python reads six fractional digits, or three, of what Docker prints with up to nine.
    return env.parse_time(_FRACTION.sub(lambda match: f".{match[1]:0<6.6}", text))


def container_from(inspected: Mapping[str, Any]) -> Container:
    """A container as the kubelet sees it, from Docker's inspect answer."""
    state, config = inspected["State"], inspected["Config"]
    labels = config.get("Labels") or {}
    created = moment(inspected["Created"]) or _EPOCH
    started, finished = moment(state.get("StartedAt", "")), moment(state.get("FinishedAt", ""))
    phase = _phase(state)
    exit_code, reason = int(state.get("ExitCode") or 0), ""
    if phase == "exited" and started is None:
        # Docker leaves a container that would not start in "created" with an error text.
        exit_code, reason = _START_FAILED_EXIT_CODE, "StartError"
        started, finished = _EPOCH, created
    elif state.get("OOMKilled"):
        reason = "OOMKilled"
    return Container(
        id=inspected["Id"],
        name=labels.get(LABEL_CONTAINER_NAME, ""),
        state=phase,
        image=config.get("Image", ""),
        image_id=inspected.get("Image", ""),
        labels=labels,
        created_at=created,
        started_at=started,
        finished_at=finished if phase == "exited" else None,
        exit_code=exit_code,
        reason=reason,
        message=str(state.get("Error") or ""),
    )


def _phase(state: Mapping[str, Any]) -> ContainerState:
    status = state.get("Status")
    if status in ("running", "paused", "restarting"):
        return "running"
    if status == "created" and not state.get("Error"):
        return "created"
    return "exited"


def sandbox_from(
    summary: Mapping[str, Any], network: str, containers: tuple[Container, ...]
) -> Sandbox:
    """A sandbox from one row of Docker's container list."""
    labels = summary.get("Labels") or {}
    networks = (summary.get("NetworkSettings") or {}).get("Networks") or {}
    address = (networks.get(network) or {}).get("IPAddress") or ""
    running = summary.get("State") == "running"
    return Sandbox(
        id=summary["Id"],
        name=labels.get(LABEL_POD_NAME, ""),
        namespace=labels.get(LABEL_POD_NAMESPACE, ""),
        uid=labels.get(LABEL_POD_UID, ""),
        running=running,
        ips=(address,) if running and address else (),
        labels=labels,
        created_at=datetime.fromtimestamp(summary["Created"], UTC),
        containers=containers,
    )


def lost_sandbox(sandbox_id: str, containers: tuple[Container, ...]) -> Sandbox:
    """Stands for a pause container that somebody removed while others still use its name."""
    newest = containers[0]
    return Sandbox(
        id=sandbox_id,
        name=newest.labels.get(LABEL_POD_NAME, ""),
        namespace=newest.labels.get(LABEL_POD_NAMESPACE, ""),
        uid=newest.labels.get(LABEL_POD_UID, ""),
        running=False,
        ips=(),
        labels={},
        created_at=_EPOCH,
        containers=containers,
    )


def image_from(inspected: Mapping[str, Any]) -> Image:
    """An image; a name `<none>` is no name."""
    config = inspected.get("Config") or {}
    return Image(
        id=inspected["Id"],
        names=tuple(inspected.get("RepoTags") or ()),
        size_bytes=int(inspected.get("Size") or 0),
        user=str(config.get("User") or ""),
        repo_digests=tuple(inspected.get("RepoDigests") or ()),
    )
