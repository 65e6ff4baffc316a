"""When a finished Job may go. Pure.

Source: k8s.io/kubernetes `pkg/controller/ttlafterfinished/ttlafterfinished_controller.go`.
"""

from datetime import datetime, timedelta

from kapi import env
from kapi.api.object import Object, condition_of, is_deleting


def expires_in(job: Object, now: datetime) -> float | None:
    """Seconds until the Job expires, not positive if it has; None if it does not expire."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None or is_deleting(job):
        return None
    for kind in ("Complete", "Failed"):
        condition = condition_of((job.get("status") or {}).get("conditions"), kind)
        if condition is not None and condition.get("status") == "True":
            since = env.parse_time(condition["lastTransitionTime"])
            return (since + timedelta(seconds=ttl) - now).total_seconds()
    return None
