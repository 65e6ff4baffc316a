"""StatefulSet."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid
from kapi.api.names import dns_label_errors
from kapi.api.object import Object, name_of
from kapi.registry.apps.validation import (
    always_restarting_template,
    status_counts,
    workload_selector,
)
from kapi.registry.cells import containers_and_images
from kapi.registry.core.pod_defaults import default_pod_template
from kapi.registry.core.volume_validation import claim_spec
from kapi.registry.fields import annotations, complaints, labels, not_negative, one_of
from kapi.registry.strategy import (
    AGE_COLUMN,
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

_RETENTION = ("Retain", "Delete")
_STATUS_COUNTS = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_MUTABLE_TEXT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
    "'minReadySeconds' are forbidden"
)


class StatefulSetStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/apps/statefulset/strategy.go`."""

    has_generation = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Ready", about="Number of the pod with ready state"),
        AGE_COLUMN,
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
    )

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return dns_label_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        spec.setdefault("serviceName", "")
        spec.setdefault("revisionHistoryLimit", 10)
        if not spec.get("podManagementPolicy"):
            spec["podManagementPolicy"] = "OrderedReady"
        retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        for field in ("whenDeleted", "whenScaled"):
            if not retention.get(field):
                retention[field] = "Retain"
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
        default_pod_template(spec.setdefault("template", {}))
        for claim in spec.get("volumeClaimTemplates") or ():
            claim.setdefault("kind", "PersistentVolumeClaim")
            claim.setdefault("apiVersion", "v1")
            claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
            claim.setdefault("status", {}).setdefault("phase", "Pending")

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"replicas": 0, "availableReplicas": 0}
        _drop_max_unavailable(obj["spec"])

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})
        _drop_max_unavailable(obj["spec"])

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        template = spec.get("template")
        return [
            *_management(spec),
            *_update_strategy(spec.get("updateStrategy") or {}),
            *_retention(spec.get("persistentVolumeClaimRetentionPolicy") or {}),
            *not_negative(spec.get("replicas"), "spec.replicas"),
            *not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds"),
            *not_negative((spec.get("ordinals") or {}).get("start"), "spec.ordinals.start"),
            *_service_name(spec),
            *_claims(spec),
            *workload_selector(
                spec.get("selector"),
                template,
                empty_text="empty selector is invalid for statefulset",
                invalid_text="",
            ),
            *_template_metadata(template),
            *always_restarting_template(template, "StatefulSet"),
        ]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        errors = self.validate(obj)
        new, before = dict(obj.get("spec") or {}), dict(old.get("spec") or {})
        for field in _MUTABLE:
            new.pop(field, None)
            before.pop(field, None)
        if new != before:
            errors.append(forbidden("spec", _MUTABLE_TEXT))
        return errors

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return status_counts(obj.get("status") or {}, _STATUS_COUNTS)

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        limit = (obj.get("spec") or {}).get("revisionHistoryLimit")
        if limit is not None and limit < 0:
            return [
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; "
                "a value >= 0 is recommended"
            ]
        return []

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        containers, images = containers_and_images((spec.get("template") or {}).get("spec") or {})
        return [
            name_of(obj),
            f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
            age(obj, now),
            containers,
            images,
        ]


def _template_metadata(template: Object | None) -> list[FieldError]:
    """Upstream checks these here and again with the rest of the template."""
    meta = (template or {}).get("metadata") or {}
    return [
        *labels(meta.get("labels"), "spec.template.labels"),
        *annotations(meta.get("annotations"), "spec.template.annotations"),
    ]


def _drop_max_unavailable(spec: Object) -> None:
    """The feature behind the field is off by default."""
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate")
    if rolling is not None:
        rolling.pop("maxUnavailable", None)


def _management(spec: Object) -> list[FieldError]:
    policy = spec.get("podManagementPolicy")
    if policy in ("OrderedReady", "Parallel"):
        return []
    return [invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")]


def _update_strategy(strategy: Object) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.updateStrategy"
    if kind == "OnDelete":
        if rolling is None:
            return []
        shown = {
            "Partition": rolling.get("partition"),
            "MaxUnavailable": rolling.get("maxUnavailable"),
        }
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [invalid(f"{path}.rollingUpdate", shown, text)]
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": None}
        return [invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")]
    return not_negative((rolling or {}).get("partition"), f"{path}.rollingUpdate.partition")


def _retention(policy: Object) -> list[FieldError]:
    path = "spec.persistentVolumeClaimRetentionPolicy"
    return [
        *one_of(policy.get("whenDeleted"), _RETENTION, f"{path}.whenDeleted"),
        *one_of(policy.get("whenScaled"), _RETENTION, f"{path}.whenScaled"),
    ]


def _service_name(spec: Object) -> list[FieldError]:
    name = str(spec.get("serviceName") or "")
    return complaints("spec.serviceName", name, dns_label_errors(name)) if name else []


def _claims(spec: Object) -> list[FieldError]:
    """Claim templates, and their names as the volumes they become."""
    errors: list[FieldError] = []
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        own = f"spec.volumeClaimTemplates[{index}]"
        errors += claim_spec(claim.get("spec") or {}, f"{own}.spec")
        name = name_of(claim)
        path = f"spec.template.spec.volumes[{index}].name"
        errors += complaints(path, name, dns_label_errors(name))
    return errors
