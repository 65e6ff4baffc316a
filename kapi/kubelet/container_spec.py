"""One container in the runtime's terms: environment, mounts, command, limits.

Everything that can be wrong with its configuration is found here, before anything is created.
Upstream: pkg/kubelet/kubelet_pods.go GenerateRunContainerOptions, makeMounts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kapi import env
from kapi.api.object import Object, namespace_of, uid_of
from kapi.kubelet import labels
from kapi.kubelet.environment import (
    EnvironmentSources,
    Reference,
    UnresolvedEnvironment,
    references,
    resolve_environment,
)
from kapi.kubelet.expansion import MissingVariable, expand_known, expand_strict
from kapi.kubelet.network_files import hosts_file
from kapi.kubelet.object_cache import CacheNotSynced
from kapi.kubelet.qos import runtime_resources
from kapi.kubelet.runtime.interface import ContainerSpec, Image, Mount
from kapi.kubelet.security import (
    NonRootViolation,
    check_non_root,
    effective,
    security_spec,
)
from kapi.kubelet.service_environment import service_variables
from kapi.kubelet.services import PodServices
from kapi.kubelet.volumes.pod_volumes import MountedVolume
from kapi.kubelet.volumes.subpaths import (
    SubPathEscapes,
    check_sub_path,
    make_sub_path,
    pin_sub_path,
)

_DEFAULT_TERMINATION_PATH = "/dev/termination-log"
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


class BadConfiguration(Exception):
    """CreateContainerConfigError; the text is its message."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A container to start. `ips` are the pod's, empty on the host's network."""

    pod: Object
    container: Object
    image: Image
    attempt: int
    ips: tuple[str, ...]
    volumes: Mapping[str, MountedVolume]
    process_namespace_of: str = ""


async def container_spec(services: PodServices, request: StartRequest) -> ContainerSpec:
    """Raises BadConfiguration."""
    pod, container = request.pod, request.container
    try:
        check_non_root(pod, container, request.image)
        _check_app_armor(pod, container)
        environment = await _environment(services, request)
        mounts: list[Mount] = []
        marks = _labels(request)
        if services.config.manage_volumes:
            mounts = await _mounts(services, request, environment)
            mounts += await _managed_files(services, request, marks)
    except (UnresolvedEnvironment, NonRootViolation, CacheNotSynced) as error:
        raise BadConfiguration(str(error)) from error
    seccomp_root = str(Path(services.config.data_dir) / "seccomp")
    return ContainerSpec(
        name=container["name"],
        image_id=request.image.id,
        labels=marks,
        command=tuple(expand_known(part, environment) for part in container.get("command") or ()),
        args=tuple(expand_known(part, environment) for part in container.get("args") or ()),
        working_dir=container.get("workingDir") or "",
        environment=tuple(environment.items()),
        mounts=tuple(mounts),
        resources=runtime_resources(pod, container, services.node.memory_bytes),
        security=security_spec(pod, container, request.image, seccomp_root),
        tty=bool(container.get("tty")),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        process_namespace_of=request.process_namespace_of,
    )


def _check_app_armor(pod: Object, container: Object) -> None:
    """Docker applies its own profile where the host has AppArmor; others are not passed on."""
    profile = effective(pod, container).get("appArmorProfile") or {}
    if profile.get("type") == "Localhost":
        raise BadConfiguration("kapi cannot apply AppArmor profiles of the host")


def _labels(request: StartRequest) -> dict[str, str]:
    container, image = request.container, request.image
    return {
        **labels.pod_labels(request.pod),
        labels.CONTAINER_NAME: container["name"],
        labels.ATTEMPT: str(request.attempt),
        labels.HASH: labels.container_hash(container),
        labels.IMAGE: container.get("image", ""),
        labels.IMAGE_REF: image.repo_digests[0] if image.repo_digests else image.id,
        labels.RESOURCES: labels.encoded_resources(container),
        labels.TERMINATION_PATH: _termination_path(container),
        labels.TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
    }


def _termination_path(container: Object) -> str:
    return container.get("terminationMessagePath") or _DEFAULT_TERMINATION_PATH


async def _environment(services: PodServices, request: StartRequest) -> dict[str, str]:
    pod, container = request.pod, request.container
    found: dict[Reference, Object | None] = {}
    for kind, name in references(container):
        found[(kind, name)] = await services.objects.get((kind, namespace_of(pod), name))
    known = services.services()
    if known is None:
        raise BadConfiguration(
            "services have not yet been read at least once, cannot construct envvars"
        )
    links = pod["spec"].get("enableServiceLinks") is not False
    host_network = bool(pod["spec"].get("hostNetwork"))
    sources = EnvironmentSources(
        find=lambda reference: found[reference],
        services=service_variables(known, namespace_of(pod), links=links),
        addresses={
            "host": services.node.host_ips,
            "pod": services.node.host_ips if host_network else request.ips,
        },
        allocatable=services.node.allocatable,
    )
    return resolve_environment(pod, container, sources)


async def _mounts(
    services: PodServices, request: StartRequest, environment: Mapping[str, str]
) -> list[Mount]:
    container = request.container
    if container.get("volumeDevices"):
        raise BadConfiguration("kapi cannot give raw block devices to containers")
    mounts = []
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        volume = request.volumes.get(mount["name"])
        if volume is None:
            raise BadConfiguration(
                f'cannot find volume "{mount["name"]}" to mount into container '
                f'"{container["name"]}"'
            )
        if mount.get("recursiveReadOnly") == "Enabled":
            raise BadConfiguration(
                f'failed to resolve recursive read-only mode: volume "{mount["name"]}" requested '
                "recursive read-only mode, but it is not supported by the runtime"
            )
        source = volume.path
        sub_path = _sub_path(mount, environment)
        if sub_path:
            place = Path("volume-subpaths") / mount["name"] / container["name"] / str(index)
            target = services.pod_root(uid_of(request.pod)) / place
            await _pin(mount, container, volume, sub_path, target)
            source = target
        mounts.append(
            Mount(
                host_path=str(source),
                container_path=_absolute(mount["mountPath"]),
                read_only=bool(mount.get("readOnly")) or volume.read_only,
                propagation=_PROPAGATION.get(mount.get("mountPropagation") or "", "private"),  # type: ignore[arg-type]
            )
        )
    return mounts


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _sub_path(mount: Object, environment: Mapping[str, str]) -> str:
    path = mount.get("subPath") or ""
    try:
        if mount.get("subPathExpr"):
            path = expand_strict(mount["subPathExpr"], environment)
        if path:
            check_sub_path(path)
    except (MissingVariable, ValueError) as error:
        raise BadConfiguration(str(error)) from error
    return str(path)


async def _pin(
    mount: Object, container: Object, volume: MountedVolume, sub_path: str, target: Path
) -> None:
    tail = f'for volumeMount "{mount["name"]}" of container "{container["name"]}"'
    try:
        if not volume.read_only:
            await env.in_thread(make_sub_path, volume.path, sub_path)
    except (OSError, SubPathEscapes) as error:
        raise BadConfiguration(f"failed to create subPath directory {tail}") from error
    try:
        await env.in_thread(pin_sub_path, volume.path, sub_path, target)
    except (OSError, SubPathEscapes) as error:
        raise BadConfiguration(f"failed to prepare subPath {tail}") from error


async def _managed_files(
    services: PodServices, request: StartRequest, marks: dict[str, str]
) -> list[Mount]:
    """/etc/hosts and the termination message file; `marks` learns where the latter is."""
    pod, container = request.pod, request.container
    root = services.pod_root(uid_of(pod))
    taken = {_absolute(mount["mountPath"]) for mount in container.get("volumeMounts") or ()}
    mounts = []
    host_network = bool(pod["spec"].get("hostNetwork"))
    if "/etc/hosts" not in taken and (host_network or request.ips):
        path = root / "etc-hosts"
        await env.in_thread(_write_hosts, services, request, path)
        mounts.append(Mount(str(path), "/etc/hosts"))
    suffix = f"{env.random().getrandbits(32):08x}"
    message = root / "containers" / container["name"] / suffix
    await env.in_thread(_make_message_file, message)
    marks[labels.TERMINATION_FILE] = str(message)
    mounts.append(Mount(str(message), _termination_path(container)))
    return mounts


def _write_hosts(services: PodServices, request: StartRequest, path: Path) -> None:
    """In place: containers that run already have this file mounted."""
    host_file = ""
    if request.pod["spec"].get("hostNetwork"):
        host_file = env.read_text("/etc/hosts")
    domain = services.config.cluster_domain
    text = hosts_file(request.pod, request.ips, domain, host_file)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


def _make_message_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    path.touch()
    # Any user of the container may write its last words.
    path.chmod(0o666)
