"""All volumes of one pod: set up, kept current, taken down."""

import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kapi import env
from kapi.api.errors import ApiError
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.api.quantity import parse_quantity
from kapi.client.client import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, Client
from kapi.kubelet.object_cache import CacheNotSynced, Key, ObjectCache
from kapi.kubelet.service_account_tokens import ServiceAccountTokens, TokenFailure
from kapi.kubelet.volumes import mounting
from kapi.kubelet.volumes.atomic_writer import InvalidPath, give_to_group, write_payload
from kapi.kubelet.volumes.host_path import prepare_host_path
from kapi.kubelet.volumes.payloads import (
    PayloadSources,
    VolumeFailure,
    object_references,
    token_sources,
    volume_payload,
)

_log = logging.getLogger(__name__)
_PAYLOAD_KINDS = {
    "configMap": "configmap",
    "secret": "secret",
    "downwardAPI": "downward-api",
    "projected": "projected",
}
_ON_TMPFS = ("secret", "downwardAPI", "projected")


@dataclass(frozen=True, slots=True)
class MountedVolume:
    """Where a volume is on the node; a payload volume is mounted read-only whatever is asked."""

    path: Path
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class FailedVolume:
    """One volume's error; `name` is the volume's name in the pod."""

    name: str
    message: str


class MountFailure(Exception):
    """Some volumes are not there; `failures` tells which and why."""

    def __init__(self, failures: tuple[FailedVolume, ...]) -> None:
        self.failures = failures
        names = " ".join(failure.name for failure in failures)
        super().__init__(f"unmounted volumes=[{names}]: {failures[0].message}")


def used_volumes(pod: Object) -> list[Object]:
    """Only what a container mounts is set up; the rest may be nonsense and harms nothing."""
    spec = pod["spec"]
    used = {
        mount["name"]
        for group in ("containers", "initContainers", "ephemeralContainers")
        for container in spec.get(group) or ()
        for mount in (
            *(container.get("volumeMounts") or ()),
            *(container.get("volumeDevices") or ()),
        )
    }
    return [volume for volume in spec.get("volumes") or () if volume["name"] in used]


UnpackImage = Callable[[Object, Path], Awaitable[None]]
"""Fill a directory with the files of an image volume. Raises VolumeFailure."""


class PodVolumes:
    """`root` is the pod's own directory on the node."""

    def __init__(self, client: Client, cache: ObjectCache, root: Path, unpack: UnpackImage) -> None:
        self._client = client
        self._cache = cache
        self._root = root
        self._unpack = unpack
        self._tokens = ServiceAccountTokens(client)
        self.mounted: dict[str, MountedVolume] = {}

    async def ensure(self, pod: Object, allocatable: Mapping[str, str]) -> None:
        """Set up what is missing and refresh what has changed. Raises MountFailure."""
        failures = []
        for volume in used_volumes(pod):
            try:
                self.mounted[volume["name"]] = await self._ensure_one(pod, volume, allocatable)
            except (VolumeFailure, TokenFailure, CacheNotSynced, InvalidPath, OSError) as error:
                text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                if volume["name"] in self.mounted:
                    # The pod goes on with what it has.
                    _log.warning("volume %s of pod %s: %s", volume["name"], name_of(pod), text)
                else:
                    failures.append(FailedVolume(volume["name"], text))
        if failures:
            raise MountFailure(tuple(failures))

    def next_refresh(self) -> datetime | None:
        """When a token must be renewed."""
        return self._tokens.next_renewal()

    async def _ensure_one(
        self, pod: Object, volume: Object, allocatable: Mapping[str, str]
    ) -> MountedVolume:
        for kind, plugin in _PAYLOAD_KINDS.items():
            if volume.get(kind) is not None:
                return await self._payload(pod, volume, kind, plugin, allocatable)
        if volume.get("hostPath"):
            source = volume["hostPath"]
            await env.in_thread(prepare_host_path, source["path"], source.get("type") or "")
            return MountedVolume(Path(source["path"]))
        if volume.get("persistentVolumeClaim"):
            claim = volume["persistentVolumeClaim"]
            return await self._claim(pod, claim["claimName"], bool(claim.get("readOnly")))
        if volume.get("ephemeral"):
            return await self._claim(pod, f"{name_of(pod)}-{volume['name']}", False)
        if volume.get("image"):
            return await self._image(volume)
        kinds = set(volume) - {"name"}
        if not kinds or volume.get("emptyDir") is not None:
            return await self._empty_dir(pod, volume)
        raise VolumeFailure(f"kapi cannot mount volumes of the kind {', '.join(sorted(kinds))}")

    def _directory(self, plugin: str, name: str) -> Path:
        return self._root / "volumes" / f"kubernetes.io~{plugin}" / name

    async def _payload(
        self,
        pod: Object,
        volume: Object,
        kind: str,
        plugin: str,
        allocatable: Mapping[str, str],
    ) -> MountedVolume:
        objects: dict[tuple[str, str], Object | None] = {}
        for reference in object_references(volume):
            key: Key = (reference[0], namespace_of(pod), reference[1])
            objects[reference] = await self._cache.get(key)
        tokens = {
            id(source): await self._tokens.get(pod, source) for source in token_sources(volume)
        }
        sources = PayloadSources(
            find=lambda wanted, name: objects[(wanted, name)],
            token=lambda source: tokens[id(source)],
            allocatable=allocatable,
        )
        payload = volume_payload(pod, volume, sources)
        directory = self._directory(plugin, volume["name"])
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        nested = _nested_mount_points(pod, volume["name"])

        def write() -> None:
            _make_volume_dir(directory)
            if kind in _ON_TMPFS and volume["name"] not in self.mounted:
                _try_tmpfs(directory)
            write_payload(directory, payload, group=group)
            for path in nested:
                (directory / path).mkdir(parents=True, exist_ok=True, mode=0o755)

        await env.in_thread(write)
        return MountedVolume(directory, read_only=True)

    async def _empty_dir(self, pod: Object, volume: Object) -> MountedVolume:
        source = volume.get("emptyDir") or {}
        medium = source.get("medium") or ""
        if medium not in ("", "Memory"):
            raise VolumeFailure(f'kapi has no emptyDir with the medium "{medium}"')
        directory = self._directory("empty-dir", volume["name"])
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        limit = int(parse_quantity(source["sizeLimit"])) if source.get("sizeLimit") else 0
        if volume["name"] in self.mounted:
            return self.mounted[volume["name"]]

        def make() -> None:
            existed = directory.exists()
            _make_volume_dir(directory)
            if medium == "Memory" and not mounting.is_mounted(directory):
                mounting.mount_tmpfs(directory, limit, 0o777)
                existed = False
            if not existed and group is not None:
                give_to_group(directory, group, read_only=False)

        await env.in_thread(make)
        return MountedVolume(directory)

    async def _image(self, volume: Object) -> MountedVolume:
        """Laid out once; a directory that is complete bears its final name."""
        directory = self._directory("image", volume["name"])
        if not directory.exists():
            fresh = directory.with_name(f".{directory.name}.new")
            await env.in_thread(_make_empty, fresh)
            await self._unpack(volume, fresh)
            await env.in_thread(fresh.rename, directory)
        return MountedVolume(directory, read_only=True)

    async def _claim(self, pod: Object, claim_name: str, read_only: bool) -> MountedVolume:
        namespace = namespace_of(pod)
        prefix = f"error processing PVC {namespace}/{claim_name}: "
        try:
            claim = await self._client.get(PERSISTENT_VOLUME_CLAIMS, namespace, claim_name)
        except ApiError as error:
            raise VolumeFailure(f"{prefix}failed to fetch PVC from API server: {error}") from error
        bound_to = claim["spec"].get("volumeName")
        if claim.get("status", {}).get("phase") != "Bound" or not bound_to:
            raise VolumeFailure(f"{prefix}PVC is not bound")
        try:
            volume = await self._client.get(PERSISTENT_VOLUMES, "", bound_to)
        except ApiError as error:
            raise VolumeFailure(f"{prefix}failed to fetch PV {bound_to}: {error}") from error
        if (volume["spec"].get("claimRef") or {}).get("uid") != uid_of(claim):
            raise VolumeFailure(f"{prefix}PV {bound_to} is bound to another claim")
        spec = volume["spec"]
        if spec.get("hostPath"):
            path = spec["hostPath"]["path"]
            await env.in_thread(prepare_host_path, path, spec["hostPath"].get("type") or "")
        elif spec.get("local"):
            path = spec["local"]["path"]
            await env.in_thread(prepare_host_path, path, "Directory")
            group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
            if group is not None:
                await env.in_thread(give_to_group, Path(path), group, read_only=False)
        else:
            raise VolumeFailure(f"{prefix}kapi mounts hostPath and local volumes only")
        return MountedVolume(Path(path), read_only)

    async def tear_down(self) -> None:
        """Unmount and remove everything of the pod; call when no container is left."""
        await env.in_thread(remove_pod_directory, self._root)
        self.mounted.clear()


def _make_volume_dir(directory: Path) -> None:
    env.make_dir(directory.parent, 0o750)
    if not directory.exists():
        directory.mkdir()
        # Whatever the umask says: any user of the pod may write here.
        directory.chmod(0o777)


def _make_empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    env.make_dir(directory.parent, 0o750)
    directory.mkdir(mode=0o755)


def _try_tmpfs(directory: Path) -> None:
    """Secrets stay off the disk where the kubelet may mount; else the directory serves."""
    if os.geteuid() == 0 and not mounting.is_mounted(directory):
        try:
            mounting.mount_tmpfs(directory, 0, 0o777)
        except PermissionError:
            pass


def _nested_mount_points(pod: Object, name: str) -> list[str]:
    """Mounts inside this volume: their directories must exist, the volume being read-only."""
    found = []
    for group in ("containers", "initContainers"):
        for container in pod["spec"].get(group) or ():
            mounts = container.get("volumeMounts") or ()
            for outer in mounts:
                if outer["name"] != name or outer.get("subPath") or outer.get("subPathExpr"):
                    continue
                prefix = outer["mountPath"].rstrip("/") + "/"
                found += [
                    inner["mountPath"].removeprefix(prefix).strip("/")
                    for inner in mounts
                    if inner["mountPath"].startswith(prefix)
                ]
    return found


def remove_pod_directory(root: Path) -> None:
    """Also for a pod nobody knows any more. Raises OSError."""
    for point in mounting.mount_points(root):
        mounting.unmount(Path(point))
    if root.exists():
        shutil.rmtree(root)
