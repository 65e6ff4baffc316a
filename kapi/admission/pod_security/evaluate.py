"""A pod against a standard."""

from kapi.admission.pod_security import baseline, restricted
from kapi.admission.pod_security.levels import Standard
from kapi.admission.pod_security.pods import Check, Subject
from kapi.api.object import Object


def violations(metadata: Object, spec: Object, standard: Standard) -> list[str]:
    """What the pod does that the standard forbids, `reason (detail)` each."""
    subject = Subject(metadata, spec, standard.minor)
    found = (check(subject) for check in _checks(standard.level))
    return [str(violation) for violation in found if violation is not None]


def _checks(level: str) -> list[Check]:
    if level == "privileged":
        return []
    if level == "baseline":
        return list(baseline.CHECKS.values())
    kept = [check for name, check in baseline.CHECKS.items() if name not in restricted.REPLACED]
    return [*kept, *restricted.CHECKS.values()]
