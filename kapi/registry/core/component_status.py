"""ComponentStatus: an old view of the control plane's health, not stored anywhere.

Source: k8s.io/kubernetes `pkg/registry/core/componentstatus/rest.go`.
"""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, name_of
from kapi.registry.strategy import NAME_COLUMN, Column, Strategy

DEPRECATION = "v1 ComponentStatus is deprecated in v1.19+"


class ComponentStatusStrategy(Strategy):
    columns = (
        NAME_COLUMN,
        Column("Status", about="Status of the component conditions"),
        Column("Message", about="Message of the component conditions"),
        Column("Error", about="Error of the component conditions"),
    )

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        status, message, error = "Unknown", "", ""
        for condition in obj.get("conditions") or ():
            if condition.get("type") == "Healthy":
                found = str(condition.get("status"))
                status = {"True": "Healthy", "False": "Unhealthy"}.get(found, "Unknown")
                message, error = condition.get("message") or "", condition.get("error") or ""
                break
        return [name_of(obj), status, message, error]
