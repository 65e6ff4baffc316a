"""How far a rollout may go above and below the wanted size. Pure."""

from typing import Any

from kapi.api.object import Object

# "No limit" in upstream's defaults: the largest int32.
UNLIMITED = 2**31 - 1


def resolve(value: Any, total: int, *, round_up: bool) -> int:
    """An int-or-percent against `total`; a malformed value counts as 0."""
    if isinstance(value, str):
        if not value.endswith("%") or not value[:-1].isdigit():
            return 0
        scaled = int(value[:-1]) * total
        return -(-scaled // 100) if round_up else scaled // 100
    return int(value or 0)


def is_rolling(deployment: Object) -> bool:
    return (deployment["spec"].get("strategy") or {}).get("type") != "Recreate"


def surge_and_unavailable(deployment: Object) -> tuple[int, int]:
    """maxSurge (rounded up) and maxUnavailable (rounded down) in pods.

    Both zero would allow no step at all, so one pod may then be missing.
    """
    if not is_rolling(deployment):
        return 0, 0
    replicas = wanted(deployment)
    parameters = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = resolve(parameters.get("maxSurge", "25%"), replicas, round_up=True)
    unavailable = resolve(parameters.get("maxUnavailable", "25%"), replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas)


def wanted(deployment: Object) -> int:
    return int(deployment["spec"].get("replicas", 1))


def deadline_seconds(deployment: Object) -> int | None:
    """None: no progress deadline."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == UNLIMITED else int(seconds)


def history_limit(deployment: Object) -> int | None:
    limit = deployment["spec"].get("revisionHistoryLimit")
    return None if limit is None or limit == UNLIMITED else int(limit)
