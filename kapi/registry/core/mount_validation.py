"""Validation of what a container mounts.

Source: `ValidateVolumeMounts` and `ValidateVolumeDevices` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go`.
"""

from typing import Any

from kapi.api.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from kapi.api.object import Object

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")
_BLOCK_SOURCES = ("persistentVolumeClaim", "ephemeral")


def local_path(path_value: str, path: str) -> list[FieldError]:
    """A relative path that does not climb."""
    if path_value.startswith("/"):
        return [invalid(path, path_value, "must be a relative path")]
    return no_backsteps(path_value, path)


def no_backsteps(path_value: str, path: str) -> list[FieldError]:
    if ".." in path_value.split("/"):
        return [invalid(path, path_value, "must not contain '..'")]
    return []


def volume_mounts(container: Object, volumes: Object, path: str) -> list[FieldError]:
    """`volumes` maps the pod's volume names to their sources."""
    errors: list[FieldError] = []
    devices = container.get("volumeDevices") or []
    device_names = {item.get("name") for item in devices}
    device_paths = {item.get("devicePath") for item in devices}
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        own = f"{path}[{index}]"
        name, target = str(mount.get("name") or ""), str(mount.get("mountPath") or "")
        if not name:
            errors.append(required(f"{own}.name"))
        elif name not in volumes:
            errors.append(not_found(f"{own}.name", name))
        if not target:
            errors.append(required(f"{own}.mountPath"))
        if target in seen:
            errors.append(invalid(f"{own}.mountPath", target, "must be unique"))
        seen.add(target)
        if name in device_names:
            text = "must not already exist in volumeDevices"
            errors.append(invalid(f"{own}.name", name, text))
        if target in device_paths:
            text = "must not already exist as a path in volumeDevices"
            errors.append(invalid(f"{own}.mountPath", target, text))
        errors += _sub_paths(mount, path, own)
        errors += _propagation(mount, container, path)
        errors += _recursive_read_only(mount, path)
    return errors


def _sub_paths(mount: Object, path: str, own: str) -> list[FieldError]:
    errors: list[FieldError] = []
    plain, expression = str(mount.get("subPath") or ""), str(mount.get("subPathExpr") or "")
    if plain:
        errors += local_path(plain, f"{path}.subPath")
    if expression:
        if plain:
            text = "subPathExpr and subPath are mutually exclusive"
            errors.append(invalid(f"{own}.subPathExpr", expression, text))
        errors += local_path(expression, f"{path}.subPathExpr")
    return errors


def _propagation(mount: Object, container: Object, path: str) -> list[FieldError]:
    value = mount.get("mountPropagation")
    own = f"{path}.mountPropagation"
    if value is None:
        return []
    if value not in _PROPAGATIONS:
        return [not_supported(own, value, _PROPAGATIONS)]
    privileged = (container.get("securityContext") or {}).get("privileged")
    if value == "Bidirectional" and not privileged:
        text = "Bidirectional mount propagation is available only to privileged containers"
        return [forbidden(own, text)]
    return []


def _recursive_read_only(mount: Object, path: str) -> list[FieldError]:
    value = mount.get("recursiveReadOnly")
    own = f"{path}.recursiveReadOnly"
    if value in (None, "Disabled"):
        return []
    if value not in _RECURSIVE:
        return [not_supported(own, value, _RECURSIVE)]
    if not mount.get("readOnly"):
        return [forbidden(own, "may only be specified when readOnly is true")]
    if mount.get("mountPropagation") not in (None, "None"):
        text = "may only be specified when mountPropagation is None or not specified"
        return [forbidden(own, text)]
    return []


def volume_devices(container: Object, volumes: Object, path: str) -> list[FieldError]:
    """Block devices, which only claims can provide."""
    errors: list[FieldError] = []
    mounts = container.get("volumeMounts") or []
    mount_names = {item.get("name") for item in mounts}
    mount_paths = {item.get("mountPath") for item in mounts}
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        own = f"{path}[{index}]"
        name, target = str(device.get("name") or ""), str(device.get("devicePath") or "")
        errors += _device_name(name, names, volumes, own)
        errors += _device_path(target, paths, own)
        if name and name in mount_names:
            text = "must not already exist in volumeMounts"
            errors.append(invalid(f"{own}.name", name, text))
        if target and target in mount_paths:
            text = "must not already exist as a path in volumeMounts"
            errors.append(invalid(f"{own}.devicePath", target, text))
    return errors


def _device_name(name: str, seen: set[str], volumes: dict[str, Any], own: str) -> list[FieldError]:
    if not name:
        return [required(f"{own}.name")]
    errors: list[FieldError] = []
    if name in seen:
        errors.append(invalid(f"{own}.name", name, "must be unique"))
    seen.add(name)
    source = volumes.get(name)
    if source is None:
        errors.append(not_found(f"{own}.name", name))
    elif not any(source.get(kind) is not None for kind in _BLOCK_SOURCES):
        text = (
            "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        )
        errors.append(invalid(f"{own}.name", name, text))
    return errors


def _device_path(target: str, seen: set[str], own: str) -> list[FieldError]:
    if not target:
        return [required(f"{own}.devicePath")]
    errors = no_backsteps(target, f"{own}.devicePath")
    if target in seen:
        errors.append(duplicate(f"{own}.devicePath", target))
    seen.add(target)
    return errors
