"""POST pods/NAME/eviction: a deletion that asks the PodDisruptionBudgets first.

Source: k8s.io/kubernetes `pkg/registry/core/pod/storage/eviction.go`. Budgets come with the policy
group; where that group is not served there is nothing to ask.
"""

from dataclasses import replace

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.object import GroupVersionKind, Object, condition_of, labels_of, metadata
from kapi.api.selectors import label_selector_from_object
from kapi.registry.store import GenericStore, Preconditions
from kapi.server.call import Call
from kapi.server.decoding import read_object
from kapi.server.verbs.delete import checked_options

_EVICTION = GroupVersionKind("policy", "v1", "Eviction")
_BUDGETS = "poddisruptionbudgets.policy"
_DISRUPTED_MAX = 2000
"""Evictions that the budget's controller has not seen yet; more would make the object too big."""


async def create_eviction(call: Call) -> None:
    ctx = call.context()
    eviction = await read_object(call.exchange, _EVICTION, None, also=("policy/v1beta1",))
    if metadata(eviction).get("name", call.name) != call.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    options, dry = checked_options(eviction.get("deleteOptions") or {})
    ctx.dry_run = ctx.dry_run or dry
    pod = await call.store.get(call.namespace, call.name)
    if not _needs_no_budget(pod):
        await _take_from_budget(call, pod, dry=ctx.dry_run)
    wanted = options.preconditions
    preconditions = Preconditions(wanted.uid or metadata(pod)["uid"], wanted.resource_version)
    await call.store.delete(ctx, call.name, replace(options, preconditions=preconditions))
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    await call.exchange.respond(201, orjson.dumps(status))


def _needs_no_budget(pod: Object) -> bool:
    """Finished, unscheduled or terminating pods disrupt nobody."""
    phase = pod.get("status", {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(
        metadata(pod).get("deletionTimestamp")
    )


async def _take_from_budget(call: Call, pod: Object, *, dry: bool) -> None:
    """Count one disruption against the pod's budget. Raises TooManyRequests when it has none."""
    main = call.api.stores.get((_BUDGETS, "v1"))
    if main is None:
        return
    matching = [
        budget
        for budget in call.api.lookup.list(_BUDGETS, call.namespace)
        if label_selector_from_object(budget.get("spec", {}).get("selector")).matches(
            labels_of(pod)
        )
    ]
    if not matching:
        return
    if len(matching) > 1:
        raise errors.InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource "
            "does not support."
        )
    if _is_unhealthy_and_free(matching[0], pod):
        return
    # The budget's own endpoint keeps the status as it is: only this one may count.
    store = GenericStore(main.resource, main.backing, main.resource.subresource("status"))
    ctx = call.context()
    ctx.retry_conflicts, ctx.dry_run = True, dry

    async def build(old: Object) -> Object:
        return _with_one_less(old, call.name)

    await store.update(ctx, metadata(matching[0])["name"], build)


def _is_unhealthy_and_free(budget: Object, pod: Object) -> bool:
    """A pod that is not ready may go: always, or while the budget is met without it."""
    ready = condition_of((pod.get("status") or {}).get("conditions"), "Ready")
    if ready is not None and ready.get("status") == "True":
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = int(status.get("desiredHealthy") or 0)
    return 0 < desired <= int(status.get("currentHealthy") or 0)


def _with_one_less(budget: Object, pod_name: str) -> Object:
    """The budget after one more disruption. Raises TooManyRequests and Forbidden."""
    meta, status = metadata(budget), budget.setdefault("status", {})
    if int(status.get("observedGeneration") or 0) < int(meta.get("generation") or 0):
        raise _too_many(
            f"The disruption budget {meta['name']} is still being processed by the server.",
            retry_after=10,
        )
    left = int(status.get("disruptionsAllowed") or 0)
    if left <= 0:
        raise _too_many(_why_not(budget), retry_after=None)
    disrupted = status.setdefault("disruptedPods", {})
    if len(disrupted) > _DISRUPTED_MAX:
        raise errors.resource_forbidden(
            "poddisruptionbudgets",
            "policy",
            meta["name"],
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        )
    status["disruptionsAllowed"] = left - 1
    # The controller forgets an entry some time after this moment if the pod is still there.
    disrupted[pod_name] = env.timestamp()
    return budget


def _why_not(budget: Object) -> str:
    name, status = metadata(budget)["name"], budget.get("status") or {}
    allowed = condition_of(status.get("conditions"), "DisruptionAllowed")
    if allowed and allowed.get("status") == "False" and allowed.get("reason") == "SyncFailed":
        return (
            f"The disruption budget {name} does not allow evicting pods currently because it "
            f"failed sync: {allowed.get('message', '')}"
        )
    return (
        f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} "
        f"healthy pods and has {status.get('currentHealthy', 0)} currently"
    )


def _too_many(why: str, *, retry_after: int | None) -> errors.TooManyRequests:
    return errors.TooManyRequests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details={"causes": [{"reason": "DisruptionBudget", "message": why}]},
        retry_after=retry_after,
    )
