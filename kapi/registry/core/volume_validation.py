"""Validation of a pod's volumes: names, and the sources that kapi can mount.

Source: `ValidateVolumes` and `validateVolumeSource` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go`. Sources of storage vendors are in `vendor_volumes`.
"""

from collections.abc import Callable
from typing import Any

from kapi.api.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from kapi.api.names import dns_subdomain_errors
from kapi.api.object import Object
from kapi.registry.core.env_validation import downward_field_reference, resource_reference
from kapi.registry.core.mount_validation import local_path, no_backsteps
from kapi.registry.core.quantities import amount
from kapi.registry.core.vendor_volumes import VENDOR_CHECKS
from kapi.registry.fields import complaints, required_name

_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_TEN_MINUTES = 600
_LONGEST_TOKEN = 1 << 32
_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"

Check = Callable[[Object, str], list[FieldError]]


def volumes(items: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, volume in enumerate(items):
        own = f"{path}[{index}]"
        errors += _sources(volume, own)
        name = str(volume.get("name") or "")
        wrong = required_name(name, f"{own}.name")
        errors += wrong
        if not wrong:
            if name in seen:
                errors.append(duplicate(f"{own}.name", name))
            seen.add(name)
    return errors


def _sources(volume: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    found = 0
    for name, (shown, check) in SOURCE_CHECKS.items():
        source = volume.get(name)
        if source is None:
            continue
        if found:
            text = "may not specify more than 1 volume type"
            errors.append(forbidden(f"{path}.{shown}", text))
        else:
            errors += check(source, f"{path}.{shown}")
        found += 1
    return errors if found else [required(path, "must specify a volume type")]


def _empty_dir(source: Object, path: str) -> list[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and amount(limit) < 0:
        return [forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _host_path(source: Object, path: str) -> list[FieldError]:
    where = str(source.get("path") or "")
    if not where:
        return [required(f"{path}.path")]
    errors = no_backsteps(where, f"{path}.path")
    kind = source.get("type") or ""
    if kind not in _HOST_PATH_TYPES:
        errors.append(not_supported(f"{path}.type", kind, _HOST_PATH_TYPES))
    return errors


def file_mode(mode: Any, path: str) -> list[FieldError]:
    if mode is not None and not 0 <= mode <= 0o777:
        return [invalid(path, mode, _MODE_TEXT)]
    return []


def _items(items: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        own = f"{path}[{index}]"
        if not item.get("key"):
            errors.append(required(f"{own}.key"))
        target = str(item.get("path") or "")
        if not target:
            errors.append(required(f"{own}.path"))
        errors += local_path(target, f"{own}.path")
        errors += file_mode(item.get("mode"), f"{own}.mode")
    return errors


def _keyed(name_field: str) -> Check:
    """secret and configMap, which differ in the name of their name."""

    def check(source: Object, path: str) -> list[FieldError]:
        errors = [] if source.get(name_field) else [required(f"{path}.{name_field}")]
        errors += file_mode(source.get("defaultMode"), f"{path}.defaultMode")
        return errors + _items(source.get("items") or [], f"{path}.items")

    return check


def _downward(source: Object, path: str) -> list[FieldError]:
    errors = file_mode(source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or ():
        errors += downward_item(item, path)
    return errors


def downward_item(item: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    target = str(item.get("path") or "")
    if not target:
        errors.append(required(f"{path}.path"))
    errors += local_path(target, f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        errors += downward_field_reference(field, f"{path}.fieldRef")
        if resource is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(invalid(path, "resource", text))
    elif resource is not None:
        errors += resource_reference(resource, f"{path}.resourceFieldRef", volume=True)
    else:
        errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    return errors + file_mode(item.get("mode"), f"{path}.mode")


def _claim(source: Object, path: str) -> list[FieldError]:
    return [] if source.get("claimName") else [required(f"{path}.claimName")]


def _image(source: Object, path: str) -> list[FieldError]:
    errors = [] if source.get("reference") else [required(f"{path}.reference")]
    policy = source.get("pullPolicy")
    if policy not in _PULL_POLICIES:
        errors.append(not_supported(f"{path}.pullPolicy", policy or "", _PULL_POLICIES))
    return errors


def _ephemeral(source: Object, path: str) -> list[FieldError]:
    template = source.get("volumeClaimTemplate")
    own = f"{path}.volumeClaimTemplate"
    if template is None:
        return [required(own)]
    errors: list[FieldError] = []
    for name in ("name", "generateName"):
        if (template.get("metadata") or {}).get(name):
            errors.append(forbidden(f"{own}.metadata.{name}", "cannot be set"))
    return errors + claim_spec(template.get("spec") or {}, f"{own}.spec")


def claim_spec(spec: Object, path: str) -> list[FieldError]:
    """What every claim for storage must say."""
    errors: list[FieldError] = []
    modes = spec.get("accessModes") or []
    if not modes:
        errors.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    for mode in modes:
        if mode not in ACCESS_MODES:
            errors.append(not_supported(f"{path}.accessModes", mode, ACCESS_MODES))
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        text = "may not use ReadWriteOncePod with other access modes"
        errors.append(forbidden(f"{path}.accessModes", text))
    requests = (spec.get("resources") or {}).get("requests") or {}
    storage = f"{path}.resources[storage]"
    if "storage" not in requests:
        errors.append(required(storage))
    elif amount(requests["storage"]) <= 0:
        errors.append(invalid(storage, requests["storage"], "must be greater than zero"))
    return errors


class _Projection:
    """The sources of one projected volume, which must not write the same path twice."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.targets: set[str] = set()
        self.errors: list[FieldError] = []

    def check(self, sources: list[Object]) -> list[FieldError]:
        for index, source in enumerate(sources):
            own = f"{self.path}.sources[{index}]"
            found = 0
            for kind, check in self._checks().items():
                part = source.get(kind)
                if part is None:
                    continue
                if found:
                    text = "may not specify more than 1 volume type per source"
                    self.errors.append(forbidden(own, text))
                else:
                    check(part, f"{own}.{kind}")
                found += 1
        return self.errors

    def _checks(self) -> dict[str, Callable[[Object, str], None]]:
        return {
            "secret": self._keyed,
            "configMap": self._keyed,
            "downwardAPI": self._downward,
            "serviceAccountToken": self._token,
            "clusterTrustBundle": self._bundle,
        }

    def _take(self, target: str, who: str) -> None:
        if target and target in self.targets:
            text = "conflicting duplicate paths"
            self.errors.append(invalid(self.path, who, text))
        self.targets.add(target)

    def _keyed(self, part: Object, path: str) -> None:
        name = str(part.get("name") or "")
        if not name:
            self.errors.append(required(f"{path}.name"))
        self.errors += _items(part.get("items") or [], f"{path}.items")
        for item in part.get("items") or ():
            self._take(str(item.get("path") or ""), name)

    def _downward(self, part: Object, path: str) -> None:
        for item in part.get("items") or ():
            self.errors += downward_item(item, path)
            target = str(item.get("path") or "")
            self._take(target, target)

    def _token(self, part: Object, path: str) -> None:
        seconds = part.get("expirationSeconds") or 0
        own = f"{path}.expirationSeconds"
        if seconds < _TEN_MINUTES:
            text = "may not specify a duration less than 10 minutes"
            self.errors.append(invalid(own, seconds, text))
        if seconds > _LONGEST_TOKEN:
            text = "may not specify a duration larger than 2^32 seconds"
            self.errors.append(invalid(own, seconds, text))
        target = str(part.get("path") or "")
        if not target:
            self.errors.append(required(f"{self.path}.path"))
        else:
            self.errors += local_path(target, f"{self.path}.path")
            self._take(target, target)

    def _bundle(self, part: Object, path: str) -> None:
        target = str(part.get("path") or "")
        if not target:
            self.errors.append(required(f"{path}.path"))
        self._take(target, target)


def _projected(source: Object, path: str) -> list[FieldError]:
    errors = file_mode(source.get("defaultMode"), f"{path}.defaultMode")
    return errors + _Projection(path).check(source.get("sources") or [])


def _csi(source: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    driver = str(source.get("driver") or "")
    if not driver:
        errors.append(required(f"{path}.driver"))
    else:
        errors += complaints(f"{path}.driver", driver, dns_subdomain_errors(driver.lower()))
    secret = source.get("nodePublishSecretRef")
    if secret is not None and not secret.get("name"):
        errors.append(required(f"{path}.nodePublishSecretRef.name"))
    return errors


# In upstream's order: of two sources the later one is the one too many.
SOURCE_CHECKS: dict[str, tuple[str, Check]] = {
    "emptyDir": ("emptyDir", _empty_dir),
    "hostPath": ("hostPath", _host_path),
    "gitRepo": VENDOR_CHECKS["gitRepo"],
    "gcePersistentDisk": VENDOR_CHECKS["gcePersistentDisk"],
    "awsElasticBlockStore": VENDOR_CHECKS["awsElasticBlockStore"],
    "secret": ("secret", _keyed("secretName")),
    "nfs": VENDOR_CHECKS["nfs"],
    "iscsi": VENDOR_CHECKS["iscsi"],
    "glusterfs": VENDOR_CHECKS["glusterfs"],
    "flocker": VENDOR_CHECKS["flocker"],
    "persistentVolumeClaim": ("persistentVolumeClaim", _claim),
    "rbd": VENDOR_CHECKS["rbd"],
    "cinder": VENDOR_CHECKS["cinder"],
    "cephfs": VENDOR_CHECKS["cephfs"],
    "quobyte": VENDOR_CHECKS["quobyte"],
    "downwardAPI": ("downwardAPI", _downward),
    "fc": VENDOR_CHECKS["fc"],
    "flexVolume": VENDOR_CHECKS["flexVolume"],
    "configMap": ("configMap", _keyed("name")),
    "azureFile": VENDOR_CHECKS["azureFile"],
    "vsphereVolume": VENDOR_CHECKS["vsphereVolume"],
    "photonPersistentDisk": VENDOR_CHECKS["photonPersistentDisk"],
    "portworxVolume": VENDOR_CHECKS["portworxVolume"],
    "azureDisk": VENDOR_CHECKS["azureDisk"],
    "storageos": VENDOR_CHECKS["storageos"],
    "projected": ("projected", _projected),
    "scaleIO": VENDOR_CHECKS["scaleIO"],
    "csi": ("csi", _csi),
    "ephemeral": ("ephemeral", _ephemeral),
    "image": ("image", _image),
}
