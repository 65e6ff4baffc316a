"""What a CustomResourceDefinition may say: group, scope, names, versions, columns, conversion.

Texts and paths are those of k8s.io/apiextensions-apiserver
`pkg/apis/apiextensions/validation/validation.go`. Upstream keeps what all versions agree on above
them internally and names it there: the schema of a single version is
`spec.validation.openAPIV3Schema` in its messages.
"""

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from kapi.api.errors import FieldError, invalid, not_supported, required, too_many
from kapi.api.names import dns1035_label_errors, dns_subdomain_errors
from kapi.api.object import Object, annotations_of, metadata
from kapi.registry.apiextensions.conditions import APPROVAL, is_true, needs_approval
from kapi.registry.apiextensions.schema_validation import validate_version_schema
from kapi.registry.custom.json_path import JsonPath
from kapi.registry.fields import complaints, immutable

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = (
    "binary", "bool", "byte", "date", "date-time", "double", "float", "int32", "int64", "password",
)  # fmt: skip
_SELECTABLE_MAX = 8
_PARTS = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


def validate_definition(obj: Object) -> list[FieldError]:
    found = _name_errors(obj) + _approval_errors(obj)
    return found + _spec_errors(obj["spec"]) + _stored_errors(obj) + _preserve_errors(obj["spec"])


def validate_definition_update(obj: Object, old: Object) -> list[FieldError]:
    spec, before = obj["spec"], old["spec"]
    found = _spec_errors(spec)
    if is_true(old, "Established"):
        found += immutable(spec.get("scope"), before.get("scope"), "spec.scope")
        names, had = spec.get("names") or {}, before.get("names") or {}
        found += immutable(names.get("kind"), had.get("kind"), "spec.names.kind")
        found += immutable(spec.get("group"), before.get("group"), "spec.group")
        found += immutable(names.get("plural"), had.get("plural"), "spec.names.plural")
    else:
        found = _name_errors(obj) + found
    if annotations_of(obj).get(APPROVAL) != annotations_of(old).get(APPROVAL):
        found += _approval_errors(obj)
    return found + _stored_errors(obj) + _preserve_errors(spec)


def _name_errors(obj: Object) -> list[FieldError]:
    name, spec = str(metadata(obj).get("name") or ""), obj["spec"]
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    texts = dns_subdomain_errors(name)
    plural = (spec.get("names") or {}).get("plural") or ""
    if name != f"{plural}.{spec.get('group') or ''}":
        texts = [*texts, 'must be spec.names.plural+"."+spec.group']
    return complaints("metadata.name", name, texts)


def _approval_errors(obj: Object) -> list[FieldError]:
    """Only Kubernetes hands out names in its own groups."""
    if not needs_approval(obj["spec"].get("group") or ""):
        return []
    value = annotations_of(obj).get(APPROVAL, "")
    path = f"metadata.annotations[{APPROVAL}]"
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not value:
        text = f'protected groups must have approval annotation "{APPROVAL}", {see}'
        return [required(path, text)]
    if value.startswith(("unapproved", "https://", "http://")):
        return []
    text = (
        f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a '
        f'reason starting with "unapproved", {see}'
    )
    return [invalid(path, value, text)]


def _stored_errors(obj: Object) -> list[FieldError]:
    """Whatever version objects may be stored in must remain, or they could not be read."""
    stored = (obj.get("status") or {}).get("storedVersions") or []
    if not stored:
        text = "must have at least one stored version"
        return [invalid("status.storedVersions", None, text)]
    found = []
    versions = obj["spec"].get("versions") or []
    names = [version.get("name") for version in versions]
    for index, name in enumerate(stored):
        if name not in names:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must "
                f"remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {name} and removes {name} from status.storedVersions"
            )
            found.append(invalid(f"status.storedVersions[{index}]", name, text))
    storage = [version.get("name") for version in versions if version.get("storage")]
    if len(storage) == 1 and storage[0] not in stored:
        text = f"must have the storage version {storage[0]}"
        found.append(invalid("status.storedVersions", stored, text))
    return found


def _preserve_errors(spec: Object) -> list[FieldError]:
    if not spec.get("preserveUnknownFields"):
        return []
    text = (
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
        "spec.versions[*].schema instead"
    )
    return [invalid("spec.preserveUnknownFields", True, text)]


def _spec_errors(spec: Object) -> list[FieldError]:
    versions: list[Object] = spec.get("versions") or []
    found = _group_errors(spec.get("group") or "")
    scope = spec.get("scope") or ""
    if scope not in ("Cluster", "Namespaced"):
        found.append(
            not_supported("spec.scope", scope, ["Cluster", "Namespaced"])
            if scope
            else required("spec.scope")
        )
    shared = _shared_parts(versions)
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        found += complaints(
            f"{path}.name", version.get("name"), dns1035_label_errors(str(version.get("name")))
        )
        if len(version.get("deprecationWarning") or "") and not version.get("deprecated"):
            text = "can only be set for deprecated versions"
            found.append(invalid(f"{path}.deprecationWarning", version["deprecationWarning"], text))
        if not _schema(version):
            found.append(required(f"{path}.schema.openAPIV3Schema"))
        found += _part_errors(version, path, [part for part in _PARTS if part not in shared])
    if versions and shared:
        found += _part_errors(versions[0], "spec", [part for part in _PARTS if part in shared])
    found += _version_set_errors(versions, shared)
    found += _conversion_errors(spec.get("conversion") or {})
    return found + _names_errors(spec.get("names") or {})


def _group_errors(group: str) -> list[FieldError]:
    if not group:
        return [required("spec.group")]
    found = complaints("spec.group", group, dns_subdomain_errors(group))
    if not found and "." not in group:
        found.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    return found


def _schema(version: Object) -> Object | None:
    return (version.get("schema") or {}).get("openAPIV3Schema")


def _shared_parts(versions: list[Object]) -> tuple[str, ...]:
    """What all versions say alike, which upstream keeps (and names) above them."""
    return tuple(
        part
        for part in _PARTS
        if versions
        and versions[0].get(part)
        and all(version.get(part) == versions[0].get(part) for version in versions[1:])
    )


def _version_set_errors(versions: list[Object], shared: Iterable[str]) -> list[FieldError]:
    found = []
    names = [version.get("name") for version in versions]
    if len(set(names)) != len(names):
        shown = _go_versions(versions, shared)
        found.append(_invalid_text("spec.versions", shown, "must contain unique version names"))
    if sum(1 for version in versions if version.get("storage")) != 1:
        text = "must have exactly one version marked as storage version"
        found.append(_invalid_text("spec.versions", _go_versions(versions, shared), text))
    return found


def _invalid_text(path: str, shown: str, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", path, f"Invalid value: {shown}: {detail}")


def _go_versions(versions: list[Object], shared: Iterable[str]) -> str:
    """The versions as upstream's internal type prints; what is shared is not among them."""

    def part(version: Object, key: str) -> Any:
        return None if key in shared else version.get(key)

    shown = [
        {
            "Name": version.get("name"),
            "Served": bool(version.get("served")),
            "Storage": bool(version.get("storage")),
            "Deprecated": bool(version.get("deprecated")),
            "DeprecationWarning": version.get("deprecationWarning"),
            "Schema": part(version, "schema"),
            "Subresources": part(version, "subresources"),
            "AdditionalPrinterColumns": part(version, "additionalPrinterColumns"),
            "SelectableFields": part(version, "selectableFields"),
        }
        for version in versions
    ]
    return orjson.dumps(shown).decode()


def _part_errors(version: Object, path: str, parts: Iterable[str]) -> list[FieldError]:
    """Schema, subresources and columns, at the version or above all versions."""
    found: list[FieldError] = []
    schema = _schema(version)
    if "schema" in parts and schema is not None:
        above = "validation" if path == "spec" else "schema"
        found += validate_version_schema(schema, f"{path}.{above}.openAPIV3Schema")
    if "subresources" in parts:
        found += _subresource_errors(version.get("subresources") or {}, f"{path}.subresources")
    if "additionalPrinterColumns" in parts:
        for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
            found += _column_errors(column, f"{path}.additionalPrinterColumns[{index}]")
    if "selectableFields" in parts:
        fields = version.get("selectableFields") or []
        found += _selectable_errors(fields, schema or {}, f"{path}.selectableFields")
    return found


def _json_path_errors(text: str, path: str) -> list[FieldError]:
    """A path of fields alone: no indexes, no filters."""
    if not text.startswith("."):
        return [invalid(path, text, "must be a simple json path starting with .")]
    try:
        if JsonPath(text).fields is None:
            return [invalid(path, text, "must be a simple json path with . notation")]
    except ValueError as error:
        return [invalid(path, text, f"is an invalid path: {error}")]
    return []


def _subresource_errors(subresources: Object, path: str) -> list[FieldError]:
    scale = subresources.get("scale")
    if scale is None:
        return []
    found: list[FieldError] = []
    for key, allowed in (
        ("specReplicasPath", (".spec.",)),
        ("statusReplicasPath", (".status.",)),
        ("labelSelectorPath", (".status.", ".spec.")),
    ):
        text = scale.get(key) or ""
        if not text:
            if key != "labelSelectorPath":
                found.append(required(f"{path}.scale.{key}"))
            continue
        problems = _json_path_errors(text, f"{path}.scale.{key}")
        if not problems and not text.startswith(allowed):
            under = " or ".join(prefix.rstrip(".") for prefix in allowed)
            problems = [
                invalid(f"{path}.scale.{key}", text, f"should be a json path under {under}")
            ]
        found += problems
    return found


def _column_errors(column: Object, path: str) -> list[FieldError]:
    found = []
    if not column.get("name"):
        found.append(required(f"{path}.name"))
    kind, form = column.get("type") or "", column.get("format") or ""
    if not kind:
        text = f"must be one of {','.join(_COLUMN_TYPES)}"
        found.append(required(f"{path}.type", text))
    elif kind not in _COLUMN_TYPES:
        found.append(invalid(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}"))
    if form and form not in _COLUMN_FORMATS:
        text = f"must be one of {','.join(_COLUMN_FORMATS)}"
        found.append(invalid(f"{path}.format", form, text))
    where = column.get("jsonPath") or ""
    if not where:
        found.append(required(f"{path}.JSONPath"))
    elif not where.startswith((".", "[")):
        text = "must be a simple json path starting with ."
        found.append(invalid(f"{path}.JSONPath", where, text))
    else:
        try:
            JsonPath(where)
        except ValueError as error:
            found.append(invalid(f"{path}.JSONPath", where, f"is an invalid path: {error}"))
    return found


def _selectable_errors(fields: list[Object], schema: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    for index, field in enumerate(fields):
        where, text = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not text:
            found.append(required(where))
            continue
        if text in seen:
            found.append(FieldError("FieldValueDuplicate", where, f'Duplicate value: "{text}"'))
        seen.add(text)
        problems = _json_path_errors(text, where)
        if not problems and text.startswith(".metadata"):
            problems = [invalid(where, text, "must not point to fields in metadata")]
        found += problems or _selectable_target(text, schema, where)
    if len(fields) > _SELECTABLE_MAX:
        found.append(too_many(path, len(fields), _SELECTABLE_MAX))
    return found


def _selectable_target(text: str, schema: Object, where: str) -> list[FieldError]:
    """The field must be in the schema, and be a scalar."""
    target: Object | None = schema
    for name in JsonPath(text).fields or ():
        target = ((target or {}).get("properties") or {}).get(name)
        if target is None:
            return [invalid(where, text, "is an invalid path: does not refer to a valid field")]
    if (target or {}).get("type") in ("string", "boolean", "integer"):
        return []
    detail = "must point to a field of type string, boolean or integer. Enum string fields and "
    return [invalid(where, text, detail + "strings with formats are allowed.")]


def _conversion_errors(conversion: Object) -> list[FieldError]:
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook") or {}
    path = "spec.conversion"
    if strategy not in ("None", "Webhook"):
        return [not_supported(f"{path}.strategy", strategy, ["None", "Webhook"])]
    if strategy == "None":
        return []
    found = []
    client = webhook.get("clientConfig")
    if not client:
        found.append(
            required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
        )
    elif bool(client.get("url")) == bool(client.get("service")):
        text = "exactly one of url or service is required"
        found.append(required(f"{path}.webhookClientConfig", text))
    reviews = webhook.get("conversionReviewVersions") or []
    if not reviews:
        found.append(required(f"{path}.conversionReviewVersions"))
    elif not {"v1", "v1beta1"} & set(reviews):
        text = "must include at least one of v1, v1beta1"
        found.append(invalid(f"{path}.conversionReviewVersions", reviews, text))
    return found


def _names_errors(names: Object, path: str = "spec.names") -> list[FieldError]:
    found: list[FieldError] = []
    for key in ("plural", "singular", "kind", "listKind"):
        if not names.get(key):
            found.append(required(f"{path}.{key}"))
    mixed = "may have mixed case, but should otherwise match: "

    def label(key: str, value: str, change: Callable[[str], str], prefix: str = "") -> None:
        texts = dns1035_label_errors(change(value)) if value else []
        found.extend(complaints(f"{path}.{key}", value, [prefix + text for text in texts]))

    label("plural", names.get("plural") or "", str)
    label("singular", names.get("singular") or "", str)
    label("kind", names.get("kind") or "", str.lower, mixed)
    label("listKind", names.get("listKind") or "", str.lower, mixed)
    for key in ("shortNames", "categories"):
        for index, value in enumerate(names.get(key) or ()):
            label(f"{key}[{index}]", value, str)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        text = "kind and listKind may not be the same"
        found.append(invalid(f"{path}.listKind", names["listKind"], text))
    return found
