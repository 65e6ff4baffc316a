"""POST pods/NAME/eviction: a deletion that asks the PodDisruptionBudgets first.

Source: k8s.io/kubernetes `pkg/registry/core/pod/storage/eviction.go`. Budgets come with the policy
group; where that group is not served there is nothing to ask.
"""

import orjson

from kapi.api import errors
from kapi.api.object import GroupVersionKind, Object, labels_of, metadata
from kapi.api.selectors import label_selector_from_object
from kapi.registry.store import DeleteOptions, Preconditions
from kapi.server.call import Call
from kapi.server.decoding import read_object
from kapi.server.verbs.delete import checked_options

_EVICTION = GroupVersionKind("policy", "v1", "Eviction")
_BUDGETS = "poddisruptionbudgets.policy"


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
    if not options.preconditions.uid:
        options = DeleteOptions(
            options.grace_period_seconds,
            options.propagation_policy,
            options.orphan_dependents,
            Preconditions(metadata(pod)["uid"], options.preconditions.resource_version),
        )
    await call.store.delete(ctx, call.name, options)
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
    key = (_BUDGETS, "v1")
    if key not in call.api.stores:
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
    budget = matching[0]
    allowed = int(budget.get("status", {}).get("disruptionsAllowed") or 0)
    if allowed <= 0:
        raise _too_many(budget)
    if dry:
        return
    ctx = call.context()
    store = call.api.stores[key]

    async def build(old: Object) -> Object:
        status = old.setdefault("status", {})
        left = int(status.get("disruptionsAllowed") or 0)
        if left <= 0:
            raise _too_many(old)
        status["disruptionsAllowed"] = left - 1
        status.setdefault("disruptedPods", {})[call.name] = metadata(old)["creationTimestamp"]
        return old

    await store.update(ctx, metadata(budget)["name"], build)


def _too_many(budget: Object) -> errors.TooManyRequests:
    name = metadata(budget)["name"]
    status = budget.get("status", {})
    return errors.TooManyRequests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details={
            "causes": [
                {
                    "reason": "DisruptionBudget",
                    "message": (
                        f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} "
                        f"healthy pods and has {status.get('currentHealthy', 0)} currently"
                    ),
                }
            ]
        },
    )
