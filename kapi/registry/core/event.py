"""Event: what is stored for core/v1 and events.k8s.io/v1 alike is the core form."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid, required
from kapi.api.names import path_segment_errors, qualified_name_errors
from kapi.api.object import Object, name_of, namespace_of
from kapi.registry.cells import UNKNOWN
from kapi.registry.fields import complaints
from kapi.registry.strategy import NAME_COLUMN, Column, Strategy, human_duration

EVENT_COLUMNS = (
    Column("Last Seen", about="=api.core.v1.Event.lastTimestamp"),
    Column("Type", about="=api.core.v1.Event.type"),
    Column("Reason", about="=api.core.v1.Event.reason"),
    Column("Object", about="=api.core.v1.Event.involvedObject"),
    Column("Subobject", priority=1, about="=api.core.v1.ObjectReference.fieldPath"),
    Column("Source", priority=1, about="=api.core.v1.Event.source"),
    Column("Message", about="=api.core.v1.Event.message"),
    Column("First Seen", priority=1, about="=api.core.v1.Event.firstTimestamp"),
    Column("Count", priority=1, about="=api.core.v1.Event.count"),
    replace(NAME_COLUMN, priority=1),
)


_LONGEST_NAME = 128
_LONGEST_NOTE = 1024


class EventStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/event/strategy.go`."""

    allow_create_on_update = True
    columns = EVENT_COLUMNS

    def default(self, obj: Object) -> None:
        """Fields that upstream writes even when they are zero."""
        obj.setdefault("involvedObject", {})
        obj.setdefault("source", {})
        for field in ("reportingComponent", "reportingInstance"):
            obj.setdefault(field, "")

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def validate(self, obj: Object) -> list[FieldError]:
        about = str((obj.get("involvedObject") or {}).get("namespace") or "")
        own = namespace_of(obj)
        errors: list[FieldError] = []
        if about != own and (about or own != "default"):
            text = "does not match event.namespace"
            errors.append(invalid("involvedObject.namespace", about, text))
        if obj.get("eventTime"):
            errors += new_style_errors(obj)
        return errors

    def canonicalize(self, obj: Object) -> None:
        """Times are null where unknown; nobody owns a null, so they come after the tracking."""
        for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(field, None)

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        about, source = obj.get("involvedObject") or {}, obj.get("source") or {}
        return {
            "involvedObject.kind": about.get("kind") or "",
            "involvedObject.namespace": about.get("namespace") or "",
            "involvedObject.name": about.get("name") or "",
            "involvedObject.uid": about.get("uid") or "",
            "involvedObject.apiVersion": about.get("apiVersion") or "",
            "involvedObject.resourceVersion": about.get("resourceVersion") or "",
            "involvedObject.fieldPath": about.get("fieldPath") or "",
            "reason": obj.get("reason") or "",
            "reportingComponent": obj.get("reportingComponent") or "",
            "source": source.get("component") or obj.get("reportingComponent") or "",
            "type": obj.get("type") or "",
        }

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return event_row(obj, now)


def new_style_errors(event: Object) -> list[FieldError]:
    """What an event with an eventTime must say, in core/v1's field names.

    Source: `legacyValidateEvent` in k8s.io/kubernetes `pkg/apis/core/validation/events.go`.
    """
    errors: list[FieldError] = []
    component = str(event.get("reportingComponent") or "")
    if not component:
        errors.append(required("reportingComponent"))
    errors += complaints("reportingComponent", component, qualified_name_errors(component))
    instance = str(event.get("reportingInstance") or "")
    if not instance:
        errors.append(required("reportingInstance"))
    elif len(instance) > _LONGEST_NAME:
        text = f"can have at most {_LONGEST_NAME} characters"
        errors.append(invalid("reportingInstance", "", text))
    for field, longest in (("action", _LONGEST_NAME), ("reason", _LONGEST_NAME)):
        value = str(event.get(field) or "")
        if not value:
            errors.append(required(field))
        elif len(value) > longest:
            errors.append(invalid(field, "", f"can have at most {longest} characters"))
    if len(str(event.get("message") or "")) > _LONGEST_NOTE:
        text = f"can have at most {_LONGEST_NOTE} characters"
        errors.append(invalid("message", "", text))
    return errors


def event_row(event: Object, now: datetime) -> list[Any]:
    """The cells for a core Event."""
    first = event.get("firstTimestamp") or event.get("eventTime")
    series = event.get("series") or {}
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    about = event.get("involvedObject") or {}
    kind, name = str(about.get("kind") or ""), str(about.get("name") or "")
    target = f"{kind.lower()}/{name}" if name else kind.lower()
    return [
        _since(last, now),
        event.get("type") or "",
        event.get("reason") or "",
        target,
        about.get("fieldPath") or "",
        _source(event),
        str(event.get("message") or "").strip(),
        _since(first, now),
        series.get("count") or event.get("count") or 1,
        name_of(event),
    ]


def _since(moment: Any, now: datetime) -> str:
    if not moment:
        return UNKNOWN
    return human_duration((now - datetime.fromisoformat(str(moment))).total_seconds())


def _source(event: Object) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else str(component)
