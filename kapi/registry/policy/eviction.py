"""What an eviction has to ask of a PodDisruptionBudget, and what it takes from it. Pure.

Source: k8s.io/kubernetes `pkg/registry/core/pod/storage/eviction.go`.
"""

from collections.abc import Iterable

from kapi.api import errors
from kapi.api.disruption import DISRUPTION_ALLOWED, SYNC_FAILED, set_disruption_allowed
from kapi.api.object import Object, condition_of, is_deleting, labels_of, metadata, name_of
from kapi.api.selectors import label_selector_from_object

DISRUPTED_PODS_MAX = 2000
"""Approved evictions the budget's controller has not seen; more would make the object too big."""
PROCESSING_SECONDS = 10
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


def needs_no_budget(pod: Object) -> bool:
    """Finished, waiting or terminating pods disrupt nobody."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or is_deleting(pod)


def may_become_ready(pod: Object) -> bool:
    """Could a pod that needs no budget now need one a moment later?"""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Succeeded", "Failed") and not is_deleting(pod)


def matching_budgets(budgets: Iterable[Object], pod: Object) -> list[Object]:
    """Of the pod's namespace, those that select it. An unreadable selector selects nothing."""
    return [budget for budget in budgets if _selects(budget, pod)]


def _selects(budget: Object, pod: Object) -> bool:
    try:
        selector = label_selector_from_object((budget.get("spec") or {}).get("selector"))
    except errors.BadRequest:
        return False
    return selector.matches(labels_of(pod))


def is_unhealthy_and_free(budget: Object, pod: Object) -> bool:
    """A pod that is not ready may go: always, or while the budget is met without it.

    The policy is spec.unhealthyPodEvictionPolicy; IfHealthyBudget is the default.
    """
    ready = condition_of((pod.get("status") or {}).get("conditions"), "Ready")
    if ready is not None and ready.get("status") == "True":
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = int(status.get("desiredHealthy") or 0)
    return 0 < desired <= int(status.get("currentHealthy") or 0)


def spend(budget: Object, pod_name: str, moment: str) -> None:
    """Count one disruption, in place. Raises TooManyRequests, or Forbidden for a status that
    cannot be worked with.

    `moment` (RFC 3339) is when: the controller forgets the entry some time after it, if the pod
    is still there.
    """
    name = name_of(budget)
    status = budget.setdefault("status", {})
    if int(status.get("observedGeneration") or 0) < int(metadata(budget).get("generation") or 0):
        raise still_processed(name)
    allowed = int(status.get("disruptionsAllowed") or 0)
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    disrupted = dict(status.get("disruptedPods") or {})
    if len(disrupted) > DISRUPTED_PODS_MAX:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise _forbidden(name, why)
    if allowed == 0:
        raise _too_many(_why_not(name, status))
    status["disruptionsAllowed"] = allowed - 1
    if allowed == 1:
        set_disruption_allowed(status, moment)
    status["disruptedPods"] = {**disrupted, pod_name: moment}


def still_processed(name: str) -> errors.TooManyRequests:
    """429 with a time to come again: what the budget says now is not to be trusted."""
    why = f"The disruption budget {name} is still being processed by the server."
    return _too_many(why, retry_after=PROCESSING_SECONDS)


def _why_not(name: str, status: Object) -> str:
    condition = condition_of(status.get("conditions"), DISRUPTION_ALLOWED) or {}
    message = condition.get("message") if condition.get("status") == "False" else ""
    closed = f"The disruption budget {name} does not allow evicting pods currently"
    # After a failed sync the numbers are not to be trusted.
    if message and condition.get("reason") == SYNC_FAILED:
        return f"{closed} because it failed sync: {message}"
    current, desired = (int(status.get(f) or 0) for f in ("currentHealthy", "desiredHealthy"))
    if current <= desired:
        return (
            f"The disruption budget {name} needs {desired} healthy pods and has {current} currently"
        )
    if message:
        return f"{closed} ({condition.get('reason', '')}): {message}"
    return closed


def _too_many(why: str, *, retry_after: int | None = None) -> errors.TooManyRequests:
    details = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    return errors.TooManyRequests(_REFUSED, details=details, retry_after=retry_after)


def _forbidden(name: str, why: str) -> errors.Forbidden:
    # Upstream names the resource in the singular here.
    return errors.resource_forbidden("poddisruptionbudget", "policy", name, why)


def mark_as_disrupted(pod: Object, moment: str) -> None:
    """Say on the pod, in place, why it is about to be deleted."""
    status = pod.setdefault("status", {})
    conditions = list(status.get("conditions") or ())
    before = condition_of(conditions, "DisruptionTarget")
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": moment,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    if before is None:
        conditions.append(condition)
    else:
        if before.get("status") == "True":
            condition["lastTransitionTime"] = before.get("lastTransitionTime")
        conditions[conditions.index(before)] = condition
    status["conditions"] = conditions
