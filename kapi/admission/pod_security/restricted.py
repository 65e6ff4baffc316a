"""The restricted standard: what hardening guides ask for, on top of the baseline.

Source of the checks and their words: k8s.io/pod-security-admission `policy/check_*.go`.
"""

from kapi.admission.pod_security import baseline
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

_VOLUME_TYPES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image")
    + ("persistentVolumeClaim", "projected", "secret")
)


def privilege_escalation(subject: Subject) -> Violation | None:
    if subject.on_windows:
        return None
    field = "allowPrivilegeEscalation"
    names = names_where(subject, lambda item: context_of(item).get(field) is not False)
    if not names:
        return None
    text = f"must set securityContext.{field}=false"
    return Violation(f"{field} != false", f"{named('container', names)} {text}")


def capabilities(subject: Subject) -> Violation | None:
    if subject.on_windows or subject.minor < 22:
        return baseline.capabilities(subject)

    def keeps(container: Object) -> bool:
        dropped = (context_of(container).get("capabilities") or {}).get("drop") or ()
        return "ALL" not in dropped

    reason = "unrestricted capabilities"
    details: list[str] = []
    names = names_where(subject, keeps)
    if names:
        text = 'must set securityContext.capabilities.drop=["ALL"]'
        details.append(f"{named('container', names)} {text}")
    added = baseline.forbidden_capabilities(subject, frozenset(("NET_BIND_SERVICE",)), reason)
    if added is not None:
        details.append(added.detail)
    return Violation(reason, "; ".join(details)) if details else None


def proc_mount(subject: Subject) -> Violation | None:
    if subject.minor < 35:
        return baseline.proc_mount(subject)
    return baseline.restricted_proc_mount(subject)


def volumes(subject: Subject) -> Violation | None:
    names: list[str] = []
    types: list[str] = []
    for volume in subject.spec.get("volumes") or ():
        sources = [key for key in volume if key != "name"]
        if any(source in _VOLUME_TYPES for source in sources):
            continue
        names.append(str(volume.get("name", "")))
        types += sources or ["unknown"]
    if not names:
        return None
    distinct = sorted(set(types))
    verb = "uses" if len(names) == 1 else "use"
    kinds = f"{plural('restricted volume type', len(distinct))} {quoted(distinct)}"
    return Violation("restricted volume types", f"{named('volume', names)} {verb} {kinds}")


def run_as_non_root(subject: Subject) -> Violation | None:
    if subject.minor >= 35 and subject.in_user_namespace:
        return None
    field, reason = "runAsNonRoot", "runAsNonRoot != true"
    who, _values = setters(subject, lambda context: False if context.get(field) is False else None)
    if who:
        return Violation(reason, f"{who} must not set securityContext.{field}=false")
    if subject.context.get(field):
        return None
    names = names_where(subject, lambda item: not context_of(item).get(field))
    if not names:
        return None
    detail = f"pod or {named('container', names)} must set securityContext.{field}=true"
    return Violation(reason, detail)


def run_as_user(subject: Subject) -> Violation | None:
    if subject.minor < 23 or (subject.minor >= 35 and subject.in_user_namespace):
        return None
    who, _values = setters(subject, lambda context: 0 if context.get("runAsUser") == 0 else None)
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp(subject: Subject) -> Violation | None:
    """A profile must be set, by the pod or by each container."""
    explicit = baseline.seccomp(subject)
    if explicit is not None or subject.on_windows:
        return explicit
    if (subject.context.get("seccompProfile") or {}).get("type"):
        return None
    names = names_where(
        subject, lambda item: not (context_of(item).get("seccompProfile") or {}).get("type")
    )
    if not names:
        return None
    text = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {named('container', names)} {text}")


CHECKS: dict[str, Check] = {
    "allowPrivilegeEscalation": privilege_escalation,
    "capabilities_restricted": capabilities,
    "procMount_restricted": proc_mount,
    "restrictedVolumes": volumes,
    "runAsNonRoot": run_as_non_root,
    "runAsUser": run_as_user,
    "seccompProfile_restricted": seccomp,
}
"""In the order in which violations are listed."""

REPLACED = frozenset(
    ("capabilities_baseline", "hostPathVolumes", "procMount", "seccompProfile_baseline")
)
"""Baseline checks that a stricter one here stands in for."""
