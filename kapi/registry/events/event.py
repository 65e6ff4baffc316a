"""events.k8s.io/v1 Event: stricter than core/v1, stored in core/v1's form."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid, required
from kapi.api.object import Object, namespace_of
from kapi.registry.core.event import EVENT_COLUMNS, event_row, new_style_errors
from kapi.registry.events.conversion import to_core
from kapi.registry.fields import IMMUTABLE
from kapi.registry.strategy import Strategy

_TYPES = ("Normal", "Warning")
_DEPRECATED = (
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("deprecatedSource", "source"),
)
_IMMUTABLE = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
    "reportingComponent",
    "reportingInstance",
    "action",
    "eventTime",
    "related",
    "type",
)


_REFERENCE = (
    ("Kind", "kind"),
    ("Namespace", "namespace"),
    ("Name", "name"),
    ("UID", "uid"),
    ("APIVersion", "apiVersion"),
    ("ResourceVersion", "resourceVersion"),
    ("FieldPath", "fieldPath"),
)


def _internal_reference(reference: Object | None) -> Object | None:
    """An object reference as upstream prints it."""
    if reference is None:
        return None
    return {name: reference.get(field) or "" for name, field in _REFERENCE}


class NewEventStrategy(Strategy):
    """Works on objects in events.k8s.io/v1 form; the store converts at its edge."""

    allow_create_on_update = True
    columns = EVENT_COLUMNS

    def default(self, obj: Object) -> None:
        obj.setdefault("deprecatedSource", {})

    def validate(self, obj: Object) -> list[FieldError]:
        """New events: what core/v1 asks of one with an eventTime, and no deprecated fields."""
        errors: list[FieldError] = []
        if not obj.get("eventTime"):
            errors.append(required("eventTime"))
        if obj.get("type") not in _TYPES:
            kind = obj.get("type") or ""
            errors.append(invalid("type", kind, f"has invalid value: {kind}"))
        for field, core in _DEPRECATED:
            if obj.get(field):
                errors.append(invalid(core, obj[field], "needs to be unset"))
        if errors:
            return errors
        core_form = to_core(obj)
        about = str((core_form.get("involvedObject") or {}).get("namespace") or "")
        if about != namespace_of(obj) and (about or namespace_of(obj) != "default"):
            text = "does not match event.namespace"
            errors.append(invalid("involvedObject.namespace", about, text))
        return errors + new_style_errors(core_form)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        """An event happened; only its series goes on."""
        if not old.get("eventTime"):
            return []
        new_form, old_form = to_core(obj), to_core(old)
        errors: list[FieldError] = []
        for field in _IMMUTABLE:
            if new_form.get(field) != old_form.get(field):
                shown = new_form.get(field)
                if field in ("involvedObject", "related"):
                    shown = _internal_reference(shown)
                errors.append(invalid(field, shown, IMMUTABLE))
        return errors

    def canonicalize(self, obj: Object) -> None:
        for field in ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"):
            obj.setdefault(field, None)

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        about = obj.get("regarding") or {}
        return {
            "regarding.kind": about.get("kind") or "",
            "regarding.namespace": about.get("namespace") or "",
            "regarding.name": about.get("name") or "",
            "regarding.uid": about.get("uid") or "",
            "regarding.apiVersion": about.get("apiVersion") or "",
            "regarding.resourceVersion": about.get("resourceVersion") or "",
            "regarding.fieldPath": about.get("fieldPath") or "",
            "reason": obj.get("reason") or "",
            "reportingController": obj.get("reportingController") or "",
            "type": obj.get("type") or "",
        }

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return event_row(to_core(obj), now)
