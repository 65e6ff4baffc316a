"""Namespace: its finalizer in spec, its name as a label, and the finalize endpoint."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, is_deleting, labels_of, metadata, name_of
from kapi.registry.status import StatusStrategy
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"


class NamespaceStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/namespace/strategy.go`."""

    has_status = True
    columns = (NAME_COLUMN, Column("Status"), AGE_COLUMN)

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        from kapi.api.names import dns_label_errors

        return dns_label_errors(name, prefix=prefix)

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"phase": "Active"}
        spec = obj["spec"] = dict(obj.get("spec") or {})
        finalizers = list(spec.get("finalizers") or ())
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        spec["finalizers"] = finalizers

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["spec"] = dict(obj.get("spec") or {})
        obj["spec"]["finalizers"] = list((old.get("spec") or {}).get("finalizers") or ())
        obj["status"] = dict(old.get("status") or {})

    def canonicalize(self, obj: Object) -> None:
        if not is_deleting(obj):
            metadata(obj)["labels"] = {**labels_of(obj), NAME_LABEL: name_of(obj)}

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        return {"status.phase": (obj.get("status") or {}).get("phase") or ""}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), (obj.get("status") or {}).get("phase") or "", age(obj, now)]


class NamespaceFinalizeStrategy(StatusStrategy):
    """The finalize subresource: only spec.finalizers changes."""

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        obj["spec"] = {**(old.get("spec") or {}), "finalizers": finalizers}
        if not finalizers:
            del obj["spec"]["finalizers"]
        obj["status"] = dict(old.get("status") or {})
