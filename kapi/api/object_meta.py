"""Validation of ObjectMeta at creation and at update.

Sources of rules, their order and texts: k8s.io/apimachinery `pkg/api/validation/objectmeta.go`,
`pkg/apis/meta/v1/validation`, and k8s.io/kubernetes `pkg/apis/core/validation` for finalizers.
"""

from collections.abc import Mapping
from typing import Any

from kapi.api import errors
from kapi.api.errors import FieldError
from kapi.api.names import (
    NameErrors,
    dns_label_errors,
    label_value_errors,
    qualified_name_errors,
)
from kapi.api.object import split_api_version

ANNOTATIONS_SIZE_MAX = 256 * 1024
FIELD_MANAGER_LENGTH_MAX = 128
SUBRESOURCE_LENGTH_MAX = 256
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})

_OWNER_FIELDS = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
_IMMUTABLE = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def validate_labels(labels: Mapping[str, str] | None, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for key, value in (labels or {}).items():
        found += [errors.invalid(path, key, text) for text in qualified_name_errors(key)]
        found += [errors.invalid(path, value, text) for text in label_value_errors(value)]
    return found


def validate_annotations(annotations: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Keys are qualified names in any case; keys and values together at most 256 KiB."""
    found: list[FieldError] = []
    size = 0
    for key, value in (annotations or {}).items():
        size += len(key.encode()) + len(value.encode())
        found += [errors.invalid(path, key, text) for text in qualified_name_errors(key.lower())]
    if size > ANNOTATIONS_SIZE_MAX:
        found.append(errors.too_long(path, ANNOTATIONS_SIZE_MAX))
    return found


def _ordered(reference: Mapping[str, Any]) -> dict[str, Any]:
    """The reference as upstream prints it: fields in the order of the Go struct."""
    shown = dict.fromkeys(_OWNER_FIELDS[:4], "")
    return {
        name: value
        for name in _OWNER_FIELDS
        if (value := reference.get(name, shown.get(name))) is not None
    }


def _owner_version(api_version: str) -> tuple[str, str]:
    """(group, version); both empty if the text is no apiVersion."""
    return ("", "") if api_version.count("/") > 1 else split_api_version(api_version)


def _owner_errors(reference: Mapping[str, Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    api_version = reference.get("apiVersion") or ""
    group, version = _owner_version(api_version)
    if not version:
        found.append(errors.invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
    for name in ("kind", "name", "uid"):
        if not reference.get(name):
            found.append(errors.invalid(f"{path}.{name}", "", "must not be empty"))
    if (group, version, reference.get("kind")) == ("", "v1", "Event"):
        text = "/v1, Kind=Event is disallowed from being an owner"
        found.append(errors.invalid(path, _ordered(reference), text))
    return found


def validate_owner_references(
    references: list[dict[str, Any]] | None, path: str
) -> list[FieldError]:
    """Each is complete, none is an Event, at most one is the controller."""
    found: list[FieldError] = []
    controller = ""
    for reference in references or ():
        found += _owner_errors(reference, path)
        if not reference.get("controller"):
            continue
        name = f"{reference.get('kind', '')}/{reference.get('name', '')}"
        if controller:
            text = (
                "Only one reference can have Controller set to true."
                f' Found "true" in references for {controller} and {name}'
            )
            found.append(errors.invalid(path, [_ordered(one) for one in references or ()], text))
        else:
            controller = name
    return found


def finalizer_name_errors(name: str, path: str) -> list[FieldError]:
    return [errors.invalid(path, name, text) for text in qualified_name_errors(name)]


def validate_finalizers(
    finalizers: list[str] | None, path: str, *, qualified: bool
) -> list[FieldError]:
    """With `qualified`, names without a domain must be Kubernetes' own."""
    found: list[FieldError] = []
    names = finalizers or []
    for name in names:
        found += finalizer_name_errors(name, path)
    if "orphan" in names and "foregroundDeletion" in names:
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(errors.invalid(path, names, text))
    if qualified:
        found += [
            errors.invalid(
                f"{path}[{index}]",
                name,
                "name is neither a standard finalizer name nor is it fully qualified",
            )
            for index, name in enumerate(names)
            if "/" not in name and name not in STANDARD_FINALIZERS
        ]
    return found


def field_manager_errors(manager: str, path: str) -> list[FieldError]:
    """At most 128 bytes, all printable."""
    found: list[FieldError] = []
    if len(manager.encode()) > FIELD_MANAGER_LENGTH_MAX:
        found.append(errors.too_long(path, FIELD_MANAGER_LENGTH_MAX))
    for position, char in enumerate(manager):
        if not char.isprintable():
            text = f"invalid character U+{ord(char):04X} (at position {position})"
            found.append(
                FieldError(
                    "FieldValueInvalid", path, f"Invalid value: {_go_quoted(manager)}: {text}"
                )
            )
    return found


def _go_quoted(text: str) -> str:
    """Go's %q for texts with control characters."""
    out = []
    for char in text:
        if char in '"\\':
            out.append(f"\\{char}")
        elif char.isprintable():
            out.append(char)
        elif ord(char) < 0x80:
            out.append(_GO_ESCAPES.get(char) or f"\\x{ord(char):02x}")
        elif ord(char) < 0x10000:
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(f"\\U{ord(char):08x}")
    return f'"{"".join(out)}"'


_GO_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def validate_managed_fields(entries: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for index, entry in enumerate(entries or ()):
        here = f"{path}[{index}]"
        operation = entry.get("operation", "")
        if operation not in ("Apply", "Update"):
            found.append(
                errors.invalid(f"{here}.operation", operation, "must be `Apply` or `Update`")
            )
        fields_type = entry.get("fieldsType", "")
        if fields_type not in ("", "FieldsV1"):
            found.append(errors.invalid(f"{here}.fieldsType", fields_type, "must be `FieldsV1`"))
        found += field_manager_errors(entry.get("manager", ""), f"{here}.manager")
        if len(entry.get("subresource", "")) > SUBRESOURCE_LENGTH_MAX:
            found.append(errors.too_long(f"{here}.subresource", SUBRESOURCE_LENGTH_MAX))
    return found


def _name_errors(
    meta: Mapping[str, Any], namespaced: bool, name_errors: NameErrors, path: str
) -> list[FieldError]:
    found: list[FieldError] = []
    generate_name = meta.get("generateName") or ""
    if generate_name:
        found += [
            errors.invalid(f"{path}.generateName", generate_name, text)
            for text in name_errors(generate_name, True)
        ]
    name = meta.get("name") or ""
    if not name:
        found.append(errors.required(f"{path}.name", "name or generateName is required"))
    else:
        found += [errors.invalid(f"{path}.name", name, text) for text in name_errors(name, False)]
    namespace = meta.get("namespace") or ""
    if not namespaced:
        if namespace:
            found.append(errors.forbidden(f"{path}.namespace", "not allowed on this type"))
    elif not namespace:
        found.append(errors.required(f"{path}.namespace"))
    else:
        found += [
            errors.invalid(f"{path}.namespace", namespace, text)
            for text in dns_label_errors(namespace)
        ]
    return found


def validate_object_meta(
    meta: Mapping[str, Any],
    *,
    namespaced: bool,
    name_errors: NameErrors,
    path: str = "metadata",
    qualified_finalizers: bool = True,
) -> list[FieldError]:
    """Every complaint about the metadata of a new object.

    `name_errors(name, is_prefix)` is the kind's own rule for names. Custom resources allow
    finalizers without a domain (`qualified_finalizers=False`).
    """
    found = _name_errors(meta, namespaced, name_errors, path)
    if (meta.get("generation") or 0) < 0:
        found.append(
            errors.invalid(
                f"{path}.generation", meta["generation"], "must be greater than or equal to 0"
            )
        )
    found += validate_labels(meta.get("labels"), f"{path}.labels")
    found += validate_annotations(meta.get("annotations"), f"{path}.annotations")
    found += validate_owner_references(meta.get("ownerReferences"), f"{path}.ownerReferences")
    found += validate_finalizers(
        meta.get("finalizers"), f"{path}.finalizers", qualified=qualified_finalizers
    )
    found += validate_managed_fields(meta.get("managedFields"), f"{path}.managedFields")
    return found


def immutable_field_errors(new: Any, old: Any, path: str) -> list[FieldError]:
    """Upstream's complaint about a field that changed and may not."""
    return [] if new == old else [errors.invalid(path, new, "field is immutable")]


def _new_finalizer_errors(
    meta: Mapping[str, Any], old_meta: Mapping[str, Any], path: str
) -> list[FieldError]:
    added = sorted(set(meta.get("finalizers") or ()) - set(old_meta.get("finalizers") or ()))
    if not old_meta.get("deletionTimestamp") or not added:
        return []
    listed = ", ".join(_go_quoted(name) for name in added)
    text = (
        "no new finalizers can be added if the object is being deleted, found new finalizers"
        f" []string{{{listed}}}"
    )
    return [errors.forbidden(f"{path}.finalizers", text)]


def validate_object_meta_update(
    meta: Mapping[str, Any], old_meta: Mapping[str, Any], path: str = "metadata"
) -> list[FieldError]:
    """Every complaint about changed metadata.

    The server has put back what users may leave out (uid, creationTimestamp) before this runs.
    """
    found = _new_finalizer_errors(meta, old_meta, path)
    if not meta.get("resourceVersion"):
        text = "must be specified for an update"
        found.append(errors.invalid(f"{path}.resourceVersion", "", text))
    if (meta.get("generation") or 0) < (old_meta.get("generation") or 0):
        text = "must not be decremented"
        found.append(errors.invalid(f"{path}.generation", meta.get("generation") or 0, text))
    for name in _IMMUTABLE:
        found += immutable_field_errors(meta.get(name), old_meta.get(name), f"{path}.{name}")
    found += validate_labels(meta.get("labels"), f"{path}.labels")
    found += validate_annotations(meta.get("annotations"), f"{path}.annotations")
    found += validate_owner_references(meta.get("ownerReferences"), f"{path}.ownerReferences")
    found += validate_managed_fields(meta.get("managedFields"), f"{path}.managedFields")
    return found
