"""The DisruptionAllowed condition of a PodDisruptionBudget.

Both who computes the budget's status and who spends from it keep this condition. Source:
k8s.io/component-helpers `apps/poddisruptionbudget`.
"""

from kapi.api.object import Object, condition_of

DISRUPTION_ALLOWED = "DisruptionAllowed"
SYNC_FAILED = "SyncFailed"


def set_disruption_allowed(status: Object, moment: str) -> None:
    """Let the condition in `status` say what `disruptionsAllowed` means.

    `moment` is RFC 3339; it becomes the transition time if the condition's status changes.
    """
    allowed = int(status.get("disruptionsAllowed") or 0) > 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    set_condition(status, allowed=allowed, reason=reason, message="", moment=moment)


def set_sync_failed(status: Object, message: str, moment: str) -> None:
    """Allow nothing, because the numbers could not be computed."""
    status["disruptionsAllowed"] = 0
    set_condition(status, allowed=False, reason=SYNC_FAILED, message=message, moment=moment)


def set_condition(status: Object, *, allowed: bool, reason: str, message: str, moment: str) -> None:
    """Put the condition in place of an earlier one, whose transition time lasts while its status
    does. The list is replaced, so that a shallow copy of a status may be passed.
    """
    conditions = list(status.get("conditions") or ())
    before = condition_of(conditions, DISRUPTION_ALLOWED)
    condition = {
        "type": DISRUPTION_ALLOWED,
        "status": "True" if allowed else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": moment,
    }
    if status.get("observedGeneration"):
        condition["observedGeneration"] = status["observedGeneration"]
    if before is not None:
        if before.get("status") == condition["status"] and before.get("lastTransitionTime"):
            condition["lastTransitionTime"] = before["lastTransitionTime"]
        conditions[conditions.index(before)] = condition
    else:
        conditions.append(condition)
    status["conditions"] = conditions
