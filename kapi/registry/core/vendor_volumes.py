"""Validation of the volume sources of storage vendors, which kapi accepts but does not mount.

Each entry is the name upstream's messages use and the check of one source. Source:
k8s.io/kubernetes `pkg/apis/core/validation/validation.go`.
"""

import re
from collections.abc import Callable

from kapi.api.errors import FieldError, invalid, not_supported, required
from kapi.api.names import inclusive_range_error
from kapi.api.object import Object
from kapi.registry.core.mount_validation import local_path

Check = Callable[[Object, str], list[FieldError]]

_ISCSI_NAME = re.compile(
    r"(iqn\.\d{4}-\d{2}\.[-.\w]+(:[^\s]+)?|eui\.[0-9A-Fa-f]{16}|naa\.[0-9A-Fa-f]{32})"
)
_CACHING = ("None", "ReadOnly", "ReadWrite")
_DISK_KINDS = ("Dedicated", "Managed", "Shared")
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_MANAGED = (
    "/subscriptions/{sub-id}/resourcegroups/{group-name}"
    "/providers/microsoft.compute/disks/{disk-id}"
)


def _needs(*names: str) -> Check:
    """Each of the fields must be there."""

    def check(source: Object, path: str) -> list[FieldError]:
        return [required(f"{path}.{name}") for name in names if not source.get(name)]

    return check


def _git_repo(source: Object, path: str) -> list[FieldError]:
    errors = _needs("repository")(source, path)
    return errors + local_path(str(source.get("directory") or ""), f"{path}.directory")


def _disk(name: str) -> Check:
    def check(source: Object, path: str) -> list[FieldError]:
        errors = _needs(name)(source, path)
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            text = inclusive_range_error(1, 255)
            errors.append(invalid(f"{path}.partition", partition, text))
        return errors

    return check


def _nfs(source: Object, path: str) -> list[FieldError]:
    errors = _needs("server")(source, path)
    where = str(source.get("path") or "")
    if not where:
        errors.append(required(f"{path}.path"))
    elif not where.startswith("/"):
        errors.append(invalid(f"{path}.path", where, "must be an absolute path"))
    return errors


def _iscsi(source: Object, path: str) -> list[FieldError]:
    errors = _needs("targetPortal")(source, path)
    name = str(source.get("iqn") or "")
    if not name:
        errors.append(required(f"{path}.iqn"))
    elif not name.startswith(("iqn", "eui", "naa")):
        text = "must be valid format starting with iqn, eui, or naa"
        errors.append(invalid(f"{path}.iqn", name, text))
    elif not _ISCSI_NAME.fullmatch(name):
        errors.append(invalid(f"{path}.iqn", name, "must be valid format"))
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        errors.append(invalid(f"{path}.lun", lun, inclusive_range_error(0, 255)))
    sessions = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    if sessions and source.get("secretRef") is None:
        errors.append(required(f"{path}.secretRef"))
    return errors


def _flocker(source: Object, path: str) -> list[FieldError]:
    name, uuid = str(source.get("datasetName") or ""), str(source.get("datasetUUID") or "")
    if not name and not uuid:
        return [required(path, "one of datasetName and datasetUUID is required")]
    errors: list[FieldError] = []
    if name and uuid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        errors.append(invalid(path, "resource", text))
    if "/" in name:
        errors.append(invalid(f"{path}.datasetName", name, "must not contain '/'"))
    return errors


def _fc(source: Object, path: str) -> list[FieldError]:
    targets, wide = source.get("targetWWNs") or [], source.get("wwids") or []
    own = f"{path}.targetWWNs"
    if not targets and not wide:
        return [required(own, "must specify either targetWWNs or wwids, but not both")]
    errors: list[FieldError] = []
    if targets and wide:
        text = "targetWWNs and wwids can not be specified simultaneously"
        errors.append(invalid(own, targets, text))
    if targets:
        lun = source.get("lun")
        if lun is None:
            errors.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
        elif not 0 <= lun <= 255:
            errors.append(invalid(f"{path}.lun", lun, inclusive_range_error(0, 255)))
    return errors


def _quobyte(source: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not source.get("registry"):
        text = "must be a host:port pair or multiple pairs separated by commas"
        errors.append(required(f"{path}.registry", text))
    if not source.get("volume"):
        errors.append(required(f"{path}.volume"))
    return errors


def _azure_disk(source: Object, path: str) -> list[FieldError]:
    errors = _needs("diskName")(source, path)
    where = str(source.get("diskURI") or "")
    if not where:
        errors.append(required(f"{path}.diskURI"))
    caching, kind = source.get("cachingMode"), source.get("kind")
    if caching is not None and caching not in _CACHING:
        errors.append(not_supported(f"{path}.cachingMode", caching, _CACHING))
    if kind is not None and kind not in _DISK_KINDS:
        errors.append(not_supported(f"{path}.kind", kind, _DISK_KINDS))
    if kind == "Managed":
        if where and not where.startswith("/subscriptions"):
            errors.append(not_supported(f"{path}.diskURI", where, (_MANAGED,)))
    elif where and not where.startswith("https://"):
        errors.append(not_supported(f"{path}.diskURI", where, (_BLOB,)))
    return errors


def _storage_os(source: Object, path: str) -> list[FieldError]:
    errors = _needs("volumeName")(source, path)
    secret = source.get("secretRef")
    if secret is not None and not secret.get("name"):
        errors.append(required(f"{path}.secretRef.name"))
    return errors


VENDOR_CHECKS: dict[str, tuple[str, Check]] = {
    "gitRepo": ("gitRepo", _git_repo),
    "gcePersistentDisk": ("persistentDisk", _disk("pdName")),
    "awsElasticBlockStore": ("awsElasticBlockStore", _disk("volumeID")),
    "nfs": ("nfs", _nfs),
    "iscsi": ("iscsi", _iscsi),
    "glusterfs": ("glusterfs", _needs("endpoints", "path")),
    "flocker": ("flocker", _flocker),
    "rbd": ("rbd", _needs("monitors", "image")),
    "cinder": ("cinder", _needs("volumeID")),
    "cephfs": ("cephfs", _needs("monitors")),
    "quobyte": ("quobyte", _quobyte),
    "fc": ("fc", _fc),
    "flexVolume": ("flexVolume", _needs("driver")),
    "azureFile": ("azureFile", _needs("secretName", "shareName")),
    "vsphereVolume": ("vsphereVolume", _needs("volumePath")),
    "photonPersistentDisk": ("photonPersistentDisk", _needs("pdID")),
    "portworxVolume": ("portworxVolume", _needs("volumeID")),
    "azureDisk": ("azureDisk", _azure_disk),
    "storageos": ("storageos", _storage_os),
    "scaleIO": ("scaleIO", _needs("gateway", "system", "volumeName")),
}
