"""What an update may change of a pod, through each of its endpoints.

Source: `ValidatePodUpdate`, `ValidatePodStatusUpdate`, `ValidatePodEphemeralContainersUpdate` and
`ValidatePodResize` in k8s.io/kubernetes `pkg/apis/core/validation/validation.go`.
"""

import ipaddress
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, required
from kapi.api.names import qualified_name_errors
from kapi.api.object import Object, clone
from kapi.registry.core.pod_internal import internal_container, internal_pod_spec, unified
from kapi.registry.core.pod_resources import qos_class
from kapi.registry.core.pod_validation import ip_address, pod_annotations, pod_spec
from kapi.registry.fields import complaints, in_range

_MAXIMUM_INT32 = 2147483647
_MUTABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod_update(new: Object, old: Object) -> list[FieldError]:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors = pod_annotations(new, "metadata.annotations")
    errors += pod_spec(spec, "spec")
    for kind in ("containers", "initContainers"):
        found, stop = _container_updates(spec, before, kind)
        errors += found
        if stop:
            return errors
    errors += _deadline(spec, before)
    wrong_tolerations = _tolerations(spec, before)
    wrong_gates = _gates(spec, before)
    errors += wrong_tolerations + wrong_gates
    if wrong_gates:
        return errors
    munged = _with_allowed_changes_undone(spec, before)
    if not wrong_tolerations and internal_pod_spec(munged) != internal_pod_spec(before):
        diff = unified(internal_pod_spec(munged), internal_pod_spec(before))
        text = f"pod updates may not change fields other than {_MUTABLE}\n{diff}"
        errors.append(forbidden("spec", text))
    return errors


def _container_updates(spec: Object, before: Object, kind: str) -> tuple[list[FieldError], bool]:
    """Complaints, and whether the lists differ so much that nothing else can be compared."""
    path = f"spec.{kind}"
    new, old = spec.get(kind) or [], before.get(kind) or []
    if len(new) != len(old):
        return [forbidden(path, "pod updates may not add or remove containers")], True
    return [
        required(f"{path}[{index}].image")
        for index, container in enumerate(new)
        if not container.get("image")
    ], False


def _deadline(spec: Object, before: Object) -> list[FieldError]:
    path = "spec.activeDeadlineSeconds"
    new, old = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if new is not None:
        if new < 0 or new > _MAXIMUM_INT32:
            return in_range(new, 0, _MAXIMUM_INT32, path)
        if old is not None and old < new:
            return [invalid(path, new, "must be less than or equal to previous value")]
    elif old is not None:
        return [invalid(path, None, "must not update from a positive integer to nil value")]
    return []


def _tolerations(spec: Object, before: Object) -> list[FieldError]:
    """Every toleration must still be there; its seconds may differ."""

    def known(item: Object) -> tuple[Any, ...]:
        return tuple(item.get(field) or "" for field in ("key", "operator", "value", "effect"))

    present = [known(item) for item in spec.get("tolerations") or ()]
    for item in before.get("tolerations") or ():
        if known(item) not in present:
            text = "existing toleration can not be modified except its tolerationSeconds"
            return [forbidden("spec.tolerations", text)]
    return []


def _gates(spec: Object, before: Object) -> list[FieldError]:
    present = {item.get("name") for item in before.get("schedulingGates") or ()}
    return [
        forbidden(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{item.get('name')}'",
        )
        for index, item in enumerate(spec.get("schedulingGates") or ())
        if item.get("name") not in present
    ]


def _with_allowed_changes_undone(spec: Object, before: Object) -> Object:
    """The new spec with the old values wherever a change is allowed."""
    munged = clone(spec)
    for kind in ("containers", "initContainers"):
        for new, old in zip(munged.get(kind) or (), before.get(kind) or (), strict=True):
            new["image"] = old.get("image")
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _copy_field(munged, before, field)
    grace = spec.get("terminationGracePeriodSeconds")
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and grace == 1:
        _copy_field(munged, before, "terminationGracePeriodSeconds")
    if before.get("schedulingGates"):
        _undo_for_gated(munged, spec, before)
    return munged


def _undo_for_gated(munged: Object, spec: Object, before: Object) -> None:
    """A pod that waits at a gate may still be narrowed to fewer nodes."""
    added = spec.get("nodeSelector") or {}
    if (before.get("nodeSelector") or {}).items() <= added.items():
        _copy_field(munged, before, "nodeSelector")
    affinity = (before.get("affinity") or {}).get("nodeAffinity")
    if not affinity and (spec.get("affinity") or {}).get("nodeAffinity"):
        rest = {k: v for k, v in (spec.get("affinity") or {}).items() if k != "nodeAffinity"}
        if rest == (before.get("affinity") or {}):
            _copy_field(munged, before, "affinity")


def _copy_field(target: Object, source: Object, field: str) -> None:
    if field in source:
        target[field] = clone(source[field])
    else:
        target.pop(field, None)


def validate_pod_status(new: Object, old: Object) -> list[FieldError]:
    status, before = new.get("status") or {}, old.get("status") or {}
    errors = _quality(status, before)
    for index, condition in enumerate(status.get("conditions") or ()):
        kind = str(condition.get("type") or "")
        path = f"status.conditions[{index}].Type"
        errors += complaints(path, kind, qualified_name_errors(kind))
    errors += _addresses(status.get("podIPs") or [], "podIPs", "IP")
    errors += _addresses(status.get("hostIPs") or [], "hostIPs", "IP")
    node = (new.get("spec") or {}).get("nodeName")
    if node != (old.get("spec") or {}).get("nodeName"):
        errors.append(forbidden("status.nodeName", "may not be changed directly"))
    return errors


def _quality(status: Object, before: Object) -> list[FieldError]:
    old, new = before.get("qosClass"), status.get("qosClass")
    if old and new != old:
        return [invalid("status.qosClass", new, "field is immutable")]
    return []


def _addresses(items: list[Object], field: str, shown: str) -> list[FieldError]:
    path = f"status.{field}"
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        errors += ip_address(str(item.get("ip") or ""), f"{path}[{index}]")
    if errors or len(items) < 2:
        return errors
    values = [{shown: item.get("ip")} for item in items]
    versions = {ipaddress.ip_address(str(item.get("ip"))).version for item in items}
    if len(items) > 2 or len(versions) < 2:
        text = "may specify no more than one IP for each IP family"
        return [invalid(path, values, text)]
    return []


def validate_ephemeral_update(new: Object, old: Object) -> list[FieldError]:
    """Ephemeral containers are only ever added."""
    spec = new.get("spec") or {}
    path = "spec.ephemeralContainers"
    errors = pod_spec(spec, "spec")
    before = (old.get("spec") or {}).get("ephemeralContainers") or []
    present = {item.get("name"): item for item in spec.get("ephemeralContainers") or ()}
    for container in before:
        name = container.get("name")
        found = present.get(name)
        if found is None:
            text = f'existing ephemeral containers "{name}" may not be removed\n'
            errors.append(forbidden(path, text))
        elif internal_container(found) != internal_container(container):
            diff = unified(internal_container(found), internal_container(container))
            text = f'existing ephemeral containers "{name}" may not be changed\n{diff}'
            errors.append(forbidden(path, text))
    return errors


def validate_resize(new: Object, old: Object) -> list[FieldError]:
    """Only cpu and memory of containers change, and the quality of service does not."""
    errors = pod_spec(new.get("spec") or {}, "spec")
    quality = (old.get("status") or {}).get("qosClass") or qos_class(old)
    if qos_class(new) != quality:
        text = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid("spec", quality, text))
    if _other_resources(new) != _other_resources(old):
        errors.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return errors


def _other_resources(pod: Object) -> list[Any]:
    """What a resize must leave alone in each container's resources."""
    found: list[Any] = []
    for kind in ("containers", "initContainers"):
        for container in (pod.get("spec") or {}).get(kind) or ():
            resources = container.get("resources") or {}
            for part in ("limits", "requests"):
                rest = dict(resources.get(part) or {})
                rest.pop("cpu", None)
                rest.pop("memory", None)
                found.append((part, rest))
            found.append(("claims", resources.get("claims") or []))
    return found
