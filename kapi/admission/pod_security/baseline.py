"""The baseline standard: nothing that is known to break out.

Source of the checks and their words: k8s.io/pod-security-admission `policy/check_*.go`.
"""

from typing import Any

from kapi.admission.pod_security.pods import (
    Check,
    Subject,
    Violation,
    context_of,
    named,
    names_where,
    plural,
    quoted,
    setters,
)
from kapi.api.object import Object

DEFAULT_CAPABILITIES = frozenset(
    ("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD")
    + ("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT")
)
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t")
# Sysctl -> the minor version from which on it is allowed.
_SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
}
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def app_armor(subject: Subject) -> Violation | None:
    def forbidden(context: Object) -> str | None:
        kind = (context.get("appArmorProfile") or {}).get("type")
        return None if kind in (None, "", "RuntimeDefault", "Localhost") else str(kind)

    who, values = setters(subject, forbidden)
    annotations: dict[str, str] = subject.metadata.get("annotations") or {}
    bad = [
        f'{key}="{value}"'
        for key, value in sorted(annotations.items())
        if key.startswith(_APPARMOR_ANNOTATION)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    ]
    if not who and not bad:
        return None
    details = list(bad)
    if who:
        details.insert(0, f"{who} must not set AppArmor profile type to {quoted(sorted(values))}")
    reason = plural("forbidden AppArmor profile", len(values) + len(bad))
    return Violation(reason, ", ".join(details))


def capabilities(subject: Subject) -> Violation | None:
    return forbidden_capabilities(subject, DEFAULT_CAPABILITIES, "non-default capabilities")


def forbidden_capabilities(
    subject: Subject, allowed: frozenset[str], reason: str
) -> Violation | None:
    """Containers that add more than what is allowed."""
    found: set[str] = set()

    def adds(container: Object) -> bool:
        added = (context_of(container).get("capabilities") or {}).get("add") or ()
        extra = set(added) - allowed
        found.update(extra)
        return bool(extra)

    names = names_where(subject, adds)
    if not names:
        return None
    text = f"must not include {quoted(sorted(found))} in securityContext.capabilities.add"
    return Violation(reason, f"{named('container', names)} {text}")


def host_namespaces(subject: Subject) -> Violation | None:
    used = [f"{field}=true" for field in _HOST_NAMESPACES if subject.spec.get(field)]
    return Violation("host namespaces", ", ".join(used)) if used else None


def host_path_volumes(subject: Subject) -> Violation | None:
    names = [
        str(volume.get("name", ""))
        for volume in subject.spec.get("volumes") or ()
        if volume.get("hostPath") is not None
    ]
    return Violation("hostPath volumes", named("volume", names)) if names else None


def host_ports(subject: Subject) -> Violation | None:
    found: set[int] = set()

    def uses(container: Object) -> bool:
        ports = {port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")}
        found.update(ports)
        return bool(ports)

    names = names_where(subject, uses)
    if not names:
        return None
    ports = ", ".join(sorted(map(str, found)))
    verb = "uses" if len(names) == 1 else "use"
    detail = f"{named('container', names)} {verb} {plural('hostPort', len(found))} {ports}"
    return Violation("hostPort", detail)


def _hosts(handler: Object | None) -> set[str]:
    found = {((handler or {}).get(kind) or {}).get("host") for kind in ("httpGet", "tcpSocket")}
    return {str(host) for host in found if host}


def host_probes(subject: Subject) -> Violation | None:
    """Probes and hooks reach the pod itself, not hosts of one's choice."""
    if subject.minor < 34:
        return None
    found: set[str] = set()

    def uses(container: Object) -> bool:
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(probe) for probe in _PROBES]
        handlers += [lifecycle.get(hook) for hook in ("postStart", "preStop")]
        hosts = set().union(*map(_hosts, handlers))
        found.update(hosts)
        return bool(hosts)

    names = names_where(subject, uses)
    if not names:
        return None
    verb = "uses" if len(names) == 1 else "use"
    hosts = f"{plural('host', len(found))} {quoted(sorted(found))}"
    detail = f"{named('container', names)} {verb} probe or lifecycle {hosts}"
    return Violation("probe or lifecycle host", detail)


def privileged(subject: Subject) -> Violation | None:
    names = names_where(subject, lambda item: context_of(item).get("privileged"))
    if not names:
        return None
    text = "must not set securityContext.privileged=true"
    return Violation("privileged", f"{named('container', names)} {text}")


def proc_mount(subject: Subject) -> Violation | None:
    if subject.minor >= 35 and subject.in_user_namespace:
        return None
    return restricted_proc_mount(subject)


def restricted_proc_mount(subject: Subject) -> Violation | None:
    found: set[str] = set()

    def mounts(container: Object) -> bool:
        kind = context_of(container).get("procMount")
        if kind in (None, "", "Default"):
            return False
        found.add(str(kind))
        return True

    names = names_where(subject, mounts)
    if not names:
        return None
    text = f"must not set securityContext.procMount to {quoted(sorted(found))}"
    return Violation("procMount", f"{named('container', names)} {text}")


def se_linux(subject: Subject) -> Violation | None:
    types = _SELINUX_TYPES + (("container_engine_t",) if subject.minor >= 31 else ())
    kinds: set[str] = set()
    fields: set[str] = set()

    def forbidden(context: Object) -> bool | None:
        options = context.get("seLinuxOptions") or {}
        kind = options.get("type") or ""
        if kind not in types:
            kinds.add(kind)
        given = {field for field in ("user", "role") if options.get(field)}
        fields.update(given)
        return True if kind not in types or given else None

    who, _values = setters(subject, forbidden)
    if not who:
        return None
    bad = [f"{plural('type', len(kinds))} {quoted(sorted(kinds))}"] if kinds else []
    bad += [f"{field} may not be set" for field in ("user", "role") if field in fields]
    detail = f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(bad)}"
    return Violation("seLinuxOptions", detail)


def _unconfined(context: Object) -> str | None:
    kind = (context.get("seccompProfile") or {}).get("type")
    return None if kind in (None, "", "RuntimeDefault", "Localhost") else str(kind)


def seccomp(subject: Subject) -> Violation | None:
    """A profile that is set, and set to none."""
    who, values = setters(subject, _unconfined)
    if not who:
        return None
    text = f"must not set securityContext.seccompProfile.type to {quoted(sorted(values))}"
    return Violation("seccompProfile", f"{who} {text}")


def sysctls(subject: Subject) -> Violation | None:
    bad: list[Any] = [
        item.get("name", "")
        for item in subject.context.get("sysctls") or ()
        if _SYSCTLS.get(item.get("name", ""), subject.minor + 1) > subject.minor
    ]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def windows_host_process(subject: Subject) -> Violation | None:
    def host(context: Object) -> bool | None:
        return (context.get("windowsOptions") or {}).get("hostProcess") or None

    who, _values = setters(subject, host)
    if not who:
        return None
    text = "must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", f"{who} {text}")


CHECKS: dict[str, Check] = {
    "appArmorProfile": app_armor,
    "capabilities_baseline": capabilities,
    "hostNamespaces": host_namespaces,
    "hostPathVolumes": host_path_volumes,
    "hostPorts": host_ports,
    "hostProbesAndHostLifecycle": host_probes,
    "privileged": privileged,
    "procMount": proc_mount,
    "seLinuxOptions": se_linux,
    "seccompProfile_baseline": seccomp,
    "sysctls": sysctls,
    "windowsHostProcess": windows_host_process,
}
"""In the order in which violations are listed."""
