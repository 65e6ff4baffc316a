"""What the status of a quota should be, from all that it counts."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from kapi.api.object import Object
from kapi.api.quota.resource_list import add, mask
from kapi.api.quota.usage import in_scope, usage


def plan_status(
    quota: Object, objects: Mapping[str, Iterable[Object]], now: datetime
) -> Object | None:
    """The new status, None if the present one is right.

    `objects` maps resources (`pods`, `deployments.apps`) to what the quota's namespace has of them.
    """
    hard = dict((quota.get("spec") or {}).get("hard") or {})
    used = dict.fromkeys(hard, "0")
    for resource, items in objects.items():
        for obj in items:
            if in_scope(quota, resource, obj):
                used = add(used, mask(usage(resource, obj, now), hard))
    status = {"hard": hard, "used": used}
    return None if (quota.get("status") or {}) == status else status


def changes_usage(resource: str, new: Object, old: Object, now: datetime) -> bool:
    """Does this change count differently, as a pod that has ended does?"""
    before, after = usage(resource, old, now), usage(resource, new, now)
    return before != after
