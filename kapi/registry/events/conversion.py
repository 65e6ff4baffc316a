"""Between events.k8s.io/v1 Event and the core/v1 Event that is stored.

Source of the pairs: k8s.io/kubernetes `pkg/apis/events/v1/conversion.go`.
"""

from kapi.api.object import Object

_PAIRS = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
)
_TO_CORE = dict(_PAIRS)
_FROM_CORE = {core: new for new, core in _PAIRS}

# Fields that core/v1 always writes and events.k8s.io/v1 leaves out when they are empty.
_OMITTED_WHEN_EMPTY = ("regarding", "reportingController", "reportingInstance")


def to_core(obj: Object) -> Object:
    """A new object in core/v1 form; `obj` is in events.k8s.io/v1 form and is not changed."""
    core = {_TO_CORE.get(key, key): value for key, value in obj.items()}
    core["apiVersion"] = "v1"
    core.setdefault("involvedObject", {})
    core.setdefault("source", {})
    core.setdefault("reportingComponent", "")
    core.setdefault("reportingInstance", "")
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        core.setdefault(field, None)
    return core


def from_core(obj: Object) -> Object:
    """A new object in events.k8s.io/v1 form; `obj` is in core/v1 form and is not changed."""
    event = {_FROM_CORE.get(key, key): value for key, value in obj.items()}
    event["apiVersion"] = "events.k8s.io/v1"
    for field in _OMITTED_WHEN_EMPTY:
        if not event.get(field):
            event.pop(field, None)
    return event
