"""ReplicationController, the ReplicaSet of the core group."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid, required
from kapi.api.object import Object, metadata
from kapi.registry.apps.replica_set import (
    REPLICA_STATUS_COUNTS,
    replica_columns,
    replica_row,
)
from kapi.registry.apps.validation import (
    always_restarting_template,
    status_counts,
    template_labels,
)
from kapi.registry.cells import key_values
from kapi.registry.core.pod_defaults import default_pod_template
from kapi.registry.fields import not_negative
from kapi.registry.strategy import RequestContext, Strategy


class ReplicationControllerStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/replicationcontroller/strategy.go`."""

    default_propagation = "Orphan"
    has_generation = True
    has_status = True
    columns = replica_columns("api.core.v1.ReplicationController")

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        template = spec.get("template")
        labels = ((template or {}).get("metadata") or {}).get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not metadata(obj).get("labels"):
                metadata(obj)["labels"] = dict(labels)
        if template is not None:
            default_pod_template(template)

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"replicas": 0}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        selector, template = spec.get("selector") or {}, spec.get("template")
        errors = not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
        if not selector:
            errors.append(required("spec.selector"))
        errors += not_negative(spec.get("replicas"), "spec.replicas")
        if template is None:
            return [*errors, required("spec.template")]
        given = template_labels(template)
        if selector and not selector.items() <= (given or {}).items():
            text = "`selector` does not match template `labels`"
            errors.append(invalid("spec.template.metadata.labels", given, text))
        return errors + always_restarting_template(template, "ReplicationController")

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return status_counts(obj.get("status") or {}, REPLICA_STATUS_COUNTS)

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return replica_row(obj, now, key_values((obj.get("spec") or {}).get("selector")))
