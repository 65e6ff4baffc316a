"""Namespace: its finalizer in spec, its name as a label, and the finalize endpoint."""

import re
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid
from kapi.api.names import dns_label_errors, qualified_name_errors
from kapi.api.object import Object, is_deleting, labels_of, metadata, name_of
from kapi.registry.fields import complaints
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


_STANDARD_FINALIZERS = (FINALIZER, "foregroundDeletion", "orphan")


def finalizer_name(name: str, path: str) -> list[FieldError]:
    """A finalizer is a standard one or has a domain."""
    errors = complaints(path, name, qualified_name_errors(name))
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        text = "name is neither a standard finalizer name nor is it fully qualified"
        errors.append(invalid(path, name, text))
    return errors


_POD_SECURITY = "pod-security.kubernetes.io/"
_SECURITY_LEVELS = ("privileged", "baseline", "restricted")
_SECURITY_VERSION = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")


def _pod_security(namespace: Object) -> list[FieldError]:
    """Labels of the Pod Security Standards must be readable, whoever enforces them.

    Source: k8s.io/pod-security-admission `api/helpers.go`.
    """
    errors: list[FieldError] = []
    labels = labels_of(namespace)
    for mode in ("enforce", "audit", "warn"):
        level = labels.get(f"{_POD_SECURITY}{mode}")
        version = labels.get(f"{_POD_SECURITY}{mode}-version")
        if level is not None and level not in _SECURITY_LEVELS:
            text = f"must be one of {', '.join(_SECURITY_LEVELS)}"
            errors.append(invalid(f"metadata.labels[{_POD_SECURITY}{mode}]", level, text))
        if version is not None and not _SECURITY_VERSION.fullmatch(version):
            path = f"metadata.labels[{_POD_SECURITY}{mode}-version]"
            errors.append(invalid(path, version, 'must be "latest" or "v1.x"'))
    return errors


class NamespaceStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/namespace/strategy.go`."""

    has_status = True
    deletes_in_two_steps = True
    returns_deleted_object = True
    columns = (NAME_COLUMN, Column("Status", about="The status of the namespace"), AGE_COLUMN)

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return dns_label_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        if name_of(obj):
            metadata(obj)["labels"] = {**labels_of(obj), NAME_LABEL: name_of(obj)}

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

    def validate(self, obj: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        for name in (obj.get("spec") or {}).get("finalizers") or ():
            errors += finalizer_name(name, "spec.finalizers")
        return errors or _pod_security(obj)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return _pod_security(obj)

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        phase = (obj.get("status") or {}).get("phase") or ""
        if is_deleting(obj):
            if phase != "Terminating":
                text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
                return [invalid("status.Phase", phase, text)]
        elif phase != "Active":
            text = "may only be 'Active' if `deletionTimestamp` is empty"
            return [invalid("status.Phase", phase, text)]
        return []

    def canonicalize(self, obj: Object) -> None:
        """Generated names are known only now."""
        metadata(obj)["labels"] = {**labels_of(obj), NAME_LABEL: name_of(obj)}

    def on_deletion(self, obj: Object) -> None:
        obj.setdefault("status", {})["phase"] = "Terminating"

    def blocks_removal(self, obj: Object) -> bool:
        """The namespace controller empties it first, then takes its finalizer away."""
        return bool((obj.get("spec") or {}).get("finalizers"))

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

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        for index, name in enumerate((obj.get("spec") or {}).get("finalizers") or ()):
            errors += finalizer_name(name, f"spec.finalizers[{index}]")
        return errors
