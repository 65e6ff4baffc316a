"""Validation of security contexts, of containers and of pods.

Source: `ValidateSecurityContext` and `validatePodSpecSecurityContext` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go`.
"""

import re
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
from kapi.registry.fields import complaints, in_range, one_of

_MAXIMUM_ID = 2147483647
_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROC_MOUNTS = ("Default", "Unmasked")
_GROUP_CHANGE = ("Always", "OnRootMismatch")
_SUPPLEMENTAL = ("Merge", "Strict")
_SELINUX_CHANGE = ("Recursive",)
_SYSCTL_PATTERN = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_SYSCTL = re.compile(_SYSCTL_PATTERN)
_HOST_NET_SYSCTLS = ("net.",)
_HOST_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")

# The order of fields in upstream's internal type, which its messages print whole.
_CONTEXT_FIELDS = (
    "Capabilities",
    "Privileged",
    "SELinuxOptions",
    "WindowsOptions",
    "RunAsUser",
    "RunAsGroup",
    "RunAsNonRoot",
    "ReadOnlyRootFilesystem",
    "AllowPrivilegeEscalation",
    "ProcMount",
    "SeccompProfile",
    "AppArmorProfile",
)


def container_security(
    context: Object | None, path: str, *, host_users: bool = True
) -> list[FieldError]:
    if context is None:
        return []
    errors = in_range(context.get("runAsUser"), 0, _MAXIMUM_ID, f"{path}.runAsUser")
    errors += in_range(context.get("runAsGroup"), 0, _MAXIMUM_ID, f"{path}.runAsGroup")
    errors += _proc_mount(context.get("procMount"), f"{path}.procMount", host_users=host_users)
    errors += _seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        for what in _escalations(context):
            text = f"cannot set `allowPrivilegeEscalation` to false and {what}"
            errors.append(invalid(path, _internal_context(context), text))
    errors += windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    return errors + _apparmor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _escalations(context: Object) -> list[str]:
    found = []
    if context.get("privileged"):
        found.append("`privileged` to true")
    added = (context.get("capabilities") or {}).get("add") or ()
    if "CAP_SYS_ADMIN" in added:
        found.append("`capabilities.Add` CAP_SYS_ADMIN")
    return found


def _internal_context(context: Object) -> dict[str, Any]:
    """The context as upstream prints it: every field, capitalised, null where unset."""
    shown: dict[str, Any] = {}
    for name in _CONTEXT_FIELDS:
        json_name = "seLinuxOptions" if name == "SELinuxOptions" else name[0].lower() + name[1:]
        value = context.get(json_name)
        if isinstance(value, dict):
            value = {key[0].upper() + key[1:]: item for key, item in value.items()}
            if name == "Capabilities":
                value = {"Add": value.get("Add"), "Drop": value.get("Drop")}
        shown[name] = value
    return shown


def _proc_mount(value: Any, path: str, *, host_users: bool) -> list[FieldError]:
    if value is None:
        return []
    if value not in _PROC_MOUNTS:
        return [not_supported(path, value, _PROC_MOUNTS)]
    if value == "Unmasked" and host_users:
        return [invalid(path, value, "`hostUsers` must be false to use `Unmasked`")]
    return []


def _seccomp(profile: Object | None, path: str) -> list[FieldError]:
    return _profile(profile, path, "seccomp type")


def _apparmor(profile: Object | None, path: str) -> list[FieldError]:
    return _profile(profile, path, "AppArmor type")


def _profile(profile: Object | None, path: str, what: str) -> list[FieldError]:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if not kind:
        return [required(f"{path}.type", "type is required when seccompProfile is set")]
    if kind not in _PROFILE_TYPES:
        return [not_supported(f"{path}.type", kind, _PROFILE_TYPES)]
    own = f"{path}.localhostProfile"
    if kind == "Localhost":
        if not local:
            return [required(own, f"must be set when {what} is Localhost")]
        if local.startswith("/"):
            return [invalid(own, local, "must be a relative path")]
        if ".." in local.split("/"):
            return [invalid(own, local, "must not contain '..'")]
    elif local is not None:
        shown = {"Type": kind, "LocalhostProfile": local}
        value = shown if what.startswith("seccomp") else local
        return [invalid(own, value, f"can only be set when {what} is Localhost")]
    return []


def windows_options(options: Object | None, path: str) -> list[FieldError]:
    if options is None:
        return []
    errors: list[FieldError] = []
    name = options.get("gmsaCredentialSpecName")
    if name is not None:
        errors += complaints(f"{path}.gmsaCredentialSpecName", name, dns_subdomain_errors(name))
    if options.get("gmsaCredentialSpec") == "":
        text = "gmsaCredentialSpec cannot be an empty string"
        errors.append(invalid(f"{path}.gmsaCredentialSpec", "", text))
    if options.get("runAsUserName") == "":
        text = "runAsUserName cannot be an empty string"
        errors.append(invalid(f"{path}.runAsUserName", "", text))
    return errors


def pod_security(spec: Object, path: str) -> list[FieldError]:
    """`spec.securityContext` and the host namespaces, which upstream validates with it."""
    context = spec.get("securityContext") or {}
    errors: list[FieldError] = []
    errors += in_range(context.get("fsGroup"), 0, _MAXIMUM_ID, f"{path}.fsGroup")
    errors += in_range(context.get("runAsUser"), 0, _MAXIMUM_ID, f"{path}.runAsUser")
    errors += in_range(context.get("runAsGroup"), 0, _MAXIMUM_ID, f"{path}.runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        errors += in_range(group, 0, _MAXIMUM_ID, f"{path}.supplementalGroups[{index}]")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{path}.shareProcessNamespace", True, text))
    errors += _sysctls(spec, context.get("sysctls") or [], f"{path}.sysctls")
    for name, allowed in (
        ("fsGroupChangePolicy", _GROUP_CHANGE),
        ("supplementalGroupsPolicy", _SUPPLEMENTAL),
        ("seLinuxChangePolicy", _SELINUX_CHANGE),
    ):
        if context.get(name) is not None:
            errors += one_of(context[name], allowed, f"{path}.{name}")
    errors += _seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    errors += windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    return errors + _apparmor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _sysctls(spec: Object, sysctls: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, item in enumerate(sysctls):
        own = f"{path}[{index}].name"
        name = str(item.get("name") or "")
        if not name:
            errors.append(required(own))
        elif len(name) > 253 or not _SYSCTL.match(name):
            text = f"must have at most 253 characters and match regex {_SYSCTL_PATTERN}"
            errors.append(invalid(own, name, text))
        elif name in seen:
            errors.append(duplicate(own, name))
        seen.add(name)
        if spec.get("hostNetwork") and name.startswith(_HOST_NET_SYSCTLS):
            text = "may not be specified when 'hostNetwork' is true"
            errors.append(invalid(own, name, text))
        if spec.get("hostIPC") and name.startswith(_HOST_IPC_SYSCTLS):
            errors.append(invalid(own, name, "may not be specified when 'hostIPC' is true"))
    return errors


def host_users(spec: Object, path: str) -> list[FieldError]:
    """With its own user namespace a pod cannot have the host's other namespaces."""
    if spec.get("hostUsers") is not False:
        return []
    shown = (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
    return [
        forbidden(f"{path}.{name}", "when `hostUsers` is false")
        for field, name in shown
        if spec.get(field)
    ]


_POD_FIELDS_NOT_FOR_WINDOWS = ("hostPID", "hostIPC", "hostUsers", "shareProcessNamespace")
_POD_CONTEXT_NOT_FOR_WINDOWS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
)
_CONTEXT_NOT_FOR_WINDOWS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def os_specific(spec: Object, path: str) -> list[FieldError]:
    """`spec.os` and the fields that do not exist on that system."""
    system = spec.get("os")
    if system is None:
        return []
    name = system.get("name") or ""
    if name not in ("linux", "windows"):
        return [not_supported(f"{path}.os", name, ("linux", "windows"))]
    context = spec.get("securityContext") or {}
    errors: list[FieldError] = []

    def refuse(holder: Object, names: tuple[str, ...], base: str) -> None:
        for item in names:
            if holder.get(item) is not None and holder.get(item) not in (False, [], {}):
                what = "windows options cannot" if item == "windowsOptions" else "cannot"
                system_name = "linux" if name == "linux" else "windows"
                errors.append(forbidden(f"{base}.{item}", f"{what} be set for a {system_name} pod"))

    if name == "linux":
        refuse(context, ("windowsOptions",), f"{path}.securityContext")
    else:
        refuse(spec, _POD_FIELDS_NOT_FOR_WINDOWS, path)
        refuse(context, _POD_CONTEXT_NOT_FOR_WINDOWS, f"{path}.securityContext")
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            own = container.get("securityContext") or {}
            base = f"{path}.{kind}[{index}].securityContext"
            refused = ("windowsOptions",) if name == "linux" else _CONTEXT_NOT_FOR_WINDOWS
            refuse(own, refused, base)
    return errors
