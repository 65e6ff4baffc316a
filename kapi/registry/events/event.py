"""events.k8s.io/v1 Event: stricter than core/v1, stored in core/v1's form."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object
from kapi.registry.core.event import EVENT_COLUMNS, event_row
from kapi.registry.events.conversion import to_core
from kapi.registry.strategy import Strategy


class NewEventStrategy(Strategy):
    """Works on objects in events.k8s.io/v1 form; the store converts at its edge."""

    allow_create_on_update = True
    columns = EVENT_COLUMNS

    def default(self, obj: Object) -> None:
        obj.setdefault("deprecatedSource", {})
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
