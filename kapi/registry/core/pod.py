"""Pod: the strategies of the object and of its status, ephemeralcontainers and resize."""

from datetime import datetime
from typing import Any

from kapi import env
from kapi.api.errors import FieldError
from kapi.api.object import Object, clone
from kapi.registry.core.pod_defaults import default_pod
from kapi.registry.core.pod_prepare import drop_disabled, merge_match_label_keys
from kapi.registry.core.pod_resources import qos_class
from kapi.registry.core.pod_table import POD_COLUMNS, pod_row
from kapi.registry.core.pod_update import (
    validate_ephemeral_update,
    validate_pod_status,
    validate_pod_update,
    validate_resize,
)
from kapi.registry.core.pod_validation import validate_pod_create
from kapi.registry.core.pod_warnings import app_armor_warnings, pod_warnings
from kapi.registry.status import StatusStrategy
from kapi.registry.strategy import RequestContext, Strategy

FINISHED_PHASES = ("Succeeded", "Failed")


class PodStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/pod/strategy.go`."""

    returns_deleted_object = True
    deletes_gracefully = True
    has_generation = True
    has_status = True
    columns = POD_COLUMNS

    def default(self, obj: Object) -> None:
        default_pod(obj)

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        drop_disabled(obj["spec"])
        ctx.warnings.extend(app_armor_warnings(obj))
        merge_match_label_keys(obj)
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj)}
        if obj.get("spec", {}).get("schedulingGates"):
            obj["status"]["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "lastProbeTime": None,
                    "lastTransitionTime": env.timestamp(),
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})
        for computed in ("priority", "preemptionPolicy"):
            # Made by admission from the class: a PUT that leaves them out keeps them.
            if computed in old["spec"]:
                obj["spec"].setdefault(computed, old["spec"][computed])

    def validate(self, obj: Object) -> list[FieldError]:
        return validate_pod_create(obj)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return validate_pod_update(obj, old)

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return validate_pod_status(obj, old)

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        return pod_warnings(obj, old)

    def grace_period_seconds(self, obj: Object, requested: int | None) -> int:
        spec = obj.get("spec") or {}
        period = requested
        if period is None:
            period = spec.get("terminationGracePeriodSeconds")
            period = 30 if period is None else period
        if not spec.get("nodeName"):
            return 0
        if (obj.get("status") or {}).get("phase") in FINISHED_PHASES:
            return 0
        return 1 if period < 0 else int(period)

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        addresses = [str(item.get("ip", "")) for item in status.get("podIPs") or ()]
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": addresses[0] if addresses else "",
            "status.podIPs": addresses[0] if addresses else "",
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return pod_row(obj, now)


class PodStatusStrategy(StatusStrategy):
    """Source: `podStatusStrategy`; the QoS class never changes, owner references stay."""

    def __init__(self, main: PodStrategy) -> None:
        super().__init__(main, kept_metadata=("ownerReferences",))

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        super().prepare_for_update(ctx, obj, old)
        quality = (old.get("status") or {}).get("qosClass")
        if quality:
            obj.setdefault("status", {}).setdefault("qosClass", quality)


class EphemeralContainersStrategy(StatusStrategy):
    """Only spec.ephemeralContainers changes."""

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        added = (obj.get("spec") or {}).get("ephemeralContainers")
        obj["spec"] = dict(old.get("spec") or {})
        obj["spec"].pop("ephemeralContainers", None)
        if added:
            obj["spec"]["ephemeralContainers"] = added
        obj["status"] = dict(old.get("status") or {})

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return validate_ephemeral_update(obj, old)


class ResizeStrategy(StatusStrategy):
    """Only the resources of containers, and their resize policies, change."""

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        wanted = obj.get("spec") or {}
        obj["spec"] = clone(old.get("spec") or {})
        for kind in ("containers", "initContainers"):
            named = {item.get("name"): item for item in wanted.get(kind) or ()}
            for container in obj["spec"].get(kind) or ():
                change = named.get(container.get("name"))
                if change is not None:
                    container["resources"] = change.get("resources") or {}
        obj["status"] = dict(old.get("status") or {})

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return validate_resize(obj, old)
