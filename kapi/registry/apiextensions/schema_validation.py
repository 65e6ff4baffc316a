"""Is a version's OpenAPI schema structural, and are its patterns, defaults and rules sound?

Sources: k8s.io/apiextensions-apiserver `pkg/apis/apiextensions/validation/validation.go` for what
schemas may say at all, `pkg/apiserver/schema/validation.go` for what makes them structural, and
`pkg/apiserver/schema/defaulting/validation.go` for defaults.
"""

import copy
from collections.abc import Iterator
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, not_supported, required
from kapi.api.object import Object
from kapi.api.schema import structural_kind_schema
from kapi.registry.apiextensions.rule_validation import validate_rules
from kapi.registry.custom.cel import pattern_error
from kapi.registry.custom.invariants import validate_lists
from kapi.registry.custom.validation import Place, validate_schema

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_NOT_SUPPORTED = ("definitions", "dependencies", "patternProperties", "additionalItems", "id")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
# What only the structural part may say, not the alternatives of anyOf and the like.
_STRUCTURAL_ONLY = (
    "title", "description", "default", "type", "nullable", "additionalProperties",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string", "x-kubernetes-validations",
)  # fmt: skip


def validate_version_schema(schema: Object, path: str) -> list[FieldError]:
    """Every complaint about the schema of one version."""
    found = _root_errors(schema, path) + _schema_errors(schema, path)
    structural = _structural_errors(schema, path, root=True)
    found += structural
    if not found:
        found += _default_errors(schema, path) + validate_rules(schema, path)
    return found


def _root_errors(schema: Object, path: str) -> list[FieldError]:
    """Metadata is every object's own; a schema may only narrow names."""
    meta = (schema.get("properties") or {}).get("metadata")
    if not isinstance(meta, dict):
        return []
    allowed = {"type", "properties", "description"}
    inside = set(meta.get("properties") or {}) - {"name", "generateName"}
    if set(meta) - allowed or inside:
        text = (
            "must not specify anything other than name and generateName, but metadata is "
            "implicitly specified"
        )
        return [forbidden(f"{path}.properties[metadata]", text)]
    return []


def below(schema: Object, path: str) -> Iterator[tuple[Object, str]]:
    """The schemas of properties, items and map values, with their paths."""
    for name, child in sorted((schema.get("properties") or {}).items()):
        if isinstance(child, dict):
            yield child, f"{path}.properties[{name}]"
    for key in ("items", "additionalProperties"):
        child = schema.get(key)
        if isinstance(child, dict):
            yield child, f"{path}.{key}"


def _alternatives(schema: Object, path: str) -> Iterator[tuple[Object, str]]:
    for key in _JUNCTORS:
        for index, child in enumerate(schema.get(key) or ()):
            yield child, f"{path}.{key}[{index}]"
    if isinstance(schema.get("not"), dict):
        yield schema["not"], f"{path}.not"


# What a schema may say at all ------------------------------------------------------------------


def _schema_errors(schema: Object, path: str) -> list[FieldError]:
    found = _refused_words(schema, path)
    kind = schema.get("type") or ""
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        found.append(forbidden(f"{path}.type", text))
    elif kind and kind not in _TYPES:
        found.append(not_supported(f"{path}.type", kind, _TYPES))
    if schema.get("pattern"):
        why = pattern_error(schema["pattern"])
        if why:
            text = f"must be a valid regular expression, but isn't: {why}"
            found.append(invalid(f"{path}.pattern", schema["pattern"], text))
    found += _extension_errors(schema, path)
    for child, where in (*below(schema, path), *_alternatives(schema, path)):
        found += _schema_errors(child, where)
    return found


def _refused_words(schema: Object, path: str) -> list[FieldError]:
    found = [forbidden(f"{path}.{key}", f"{key} is not supported") for key in _NOT_SUPPORTED
             if schema.get(key)]  # fmt: skip
    if schema.get("$ref"):
        found.append(forbidden(f"{path}.$ref", "$ref is not supported"))
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(forbidden(f"{path}.uniqueItems", text))
    if "additionalProperties" in schema:
        if schema.get("properties"):
            text = "additionalProperties and properties are mutual exclusive"
            found.append(forbidden(f"{path}.additionalProperties", text))
        if schema["additionalProperties"] is False:
            text = "additionalProperties cannot be set to false"
            found.append(forbidden(f"{path}.additionalProperties", text))
    if isinstance(schema.get("items"), list):
        text = "items must be a schema object and not an array"
        found.append(forbidden(f"{path}.items", text))
    return found


def _extension_errors(schema: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    kind = schema.get("type")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        key = f"{path}.x-kubernetes-preserve-unknown-fields"
        found.append(invalid(key, False, "must be true or undefined"))
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
    if list_type is not None:
        if list_type not in ("atomic", "map", "set"):
            key = f"{path}.x-kubernetes-list-type"
            found.append(not_supported(key, list_type, ["atomic", "map", "set"]))
        if kind != "array":
            text = "must be array if x-kubernetes-list-type is " + str(list_type)
            found.append(invalid(f"{path}.type", kind or "", text))
    if keys and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        found.append(invalid(f"{path}.x-kubernetes-list-type", list_type or "", text))
    if list_type == "map":
        found += _list_map_errors(schema, keys or [], path)
    if list_type == "set":
        found += _list_set_errors(schema.get("items"), f"{path}.items")
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None:
        if map_type not in ("granular", "atomic"):
            key = f"{path}.x-kubernetes-map-type"
            found.append(not_supported(key, map_type, ["atomic", "granular"]))
        if kind != "object":
            text = "must be object if x-kubernetes-map-type is specified"
            found.append(invalid(f"{path}.type", kind or "", text))
    return found


def _list_map_errors(schema: Object, keys: list[str], path: str) -> list[FieldError]:
    where = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        return [required(where, "must not be empty if x-kubernetes-list-type is map")]
    items: Object = schema.get("items") if isinstance(schema.get("items"), dict) else {}  # type: ignore[assignment]
    found = []
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        found.append(invalid(f"{path}.items.type", items.get("type") or "", text))
    properties, needed = items.get("properties") or {}, items.get("required") or ()
    for index, key in enumerate(keys):
        shape = properties.get(key)
        if shape is None:
            text = "property is required if it is listed in x-kubernetes-list-map-keys"
            found.append(invalid(f"{where}[{index}]", key, "must be in items.properties: " + text))
            continue
        if shape.get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            found.append(invalid(f"{path}.items.properties[{key}].type", shape["type"], text))
        if key not in needed and "default" not in shape:
            text = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
                "required property"
            )
            found.append(required(f"{path}.items.properties[{key}].default", text))
        if shape.get("nullable"):
            text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            found.append(forbidden(f"{path}.items.properties[{key}].nullable", text))
    if len(set(keys)) != len(keys):
        found.append(invalid(where, keys, "must not contain duplicate entries"))
    return found


def _list_set_errors(items: Any, path: str) -> list[FieldError]:
    if not isinstance(items, dict):
        return []
    text = "as the items of a list of type set"
    if items.get("nullable"):
        return [forbidden(f"{path}.nullable", "cannot be nullable " + text)]
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        value = items.get("x-kubernetes-map-type") or "granular"
        return [invalid(f"{path}.x-kubernetes-map-type", value, "must be atomic " + text)]
    if items.get("type") == "array" and items.get("x-kubernetes-list-type") not in (None, "atomic"):
        value = items["x-kubernetes-list-type"]
        return [invalid(f"{path}.x-kubernetes-list-type", value, "must be atomic " + text)]
    return []


# What makes it structural ----------------------------------------------------------------------


def _structural_errors(
    schema: Object, path: str, *, root: bool = False, where: str = "object fields"
) -> list[FieldError]:
    found: list[FieldError] = []
    kind, either = schema.get("type"), schema.get("x-kubernetes-int-or-string")
    free = schema.get("x-kubernetes-preserve-unknown-fields")
    for child, below_path in below(schema, path):
        place = "array items" if below_path.endswith(".items") else "object fields"
        found += _structural_errors(child, below_path, where=place)
    if root and kind != "object":
        found.append(
            invalid(f"{path}.type", kind, "must be object at the root")
            if kind
            else required(f"{path}.type", "must not be empty at the root")
        )
    elif not root and not kind and not either and not free:
        found.append(required(f"{path}.type", f"must not be empty for specified {where}"))
    if either and kind:
        text = "must be empty if x-kubernetes-int-or-string is true"
        found.append(invalid(f"{path}.type", kind, text))
    if schema.get("x-kubernetes-embedded-resource"):
        found += _embedded_errors(schema, path)
    if kind == "array" and not isinstance(schema.get("items"), dict):
        found.append(required(f"{path}.items", "must be specified"))
    for child, inside in _alternatives(schema, path):
        if either and (path_part := inside.rpartition(".")[2]):
            # anyOf integer or string, alone or in an allOf, is how int-or-string may be spelled.
            if path_part.startswith("anyOf") and schema.get("anyOf") == _INT_OR_STRING:
                continue
            if path_part.startswith("allOf") and child.get("anyOf") == _INT_OR_STRING:
                continue
        found += _alternative_errors(child, schema, inside)
    return found


def _embedded_errors(schema: Object, path: str) -> list[FieldError]:
    found = []
    if schema.get("type") != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        found.append(invalid(f"{path}.type", schema.get("type") or "", text))
    if not schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields"
        )
        found.append(required(f"{path}.properties", text))
    return found


def _alternative_errors(child: Object, structural: Object, path: str) -> list[FieldError]:
    """Alternatives may restrict values but not bring fields of their own."""
    found = [
        forbidden(f"{path}.{key}", "must be empty to be structural")
        for key in _STRUCTURAL_ONLY
        if child.get(key)
    ]
    known = structural.get("properties") or {}
    for name, part in sorted((child.get("properties") or {}).items()):
        inside = f"{path}.properties[{name}]"
        if name not in known and not isinstance(structural.get("additionalProperties"), dict):
            root = path.partition(".anyOf")[0].partition(".oneOf")[0].partition(".allOf")[0]
            text = f"because it is defined in {inside}"
            found.append(required(f"{root.partition('.not')[0]}.properties[{name}]", text))
            continue
        found += _alternative_errors(part, known.get(name) or {}, inside)
    if isinstance(child.get("items"), dict):
        below_items = structural.get("items")
        if not isinstance(below_items, dict):
            text = f"because it is defined in {path}.items"
            found.append(required(f"{path.partition('.anyOf')[0]}.items", text))
        else:
            found += _alternative_errors(child["items"], below_items, f"{path}.items")
    for deeper, inside in _alternatives(child, path):
        found += _alternative_errors(deeper, structural, inside)
    return found


# Defaults --------------------------------------------------------------------------------------


def _default_errors(schema: Object, path: str, *, inside: bool = False) -> list[FieldError]:
    """A default must be a value that the schema itself would take, unknown fields and all."""
    found: list[FieldError] = []
    if "default" in schema and not inside:
        value = schema["default"]
        if value is None and not schema.get("nullable"):
            return [invalid(f"{path}.default", None, "must not be null")] + found
        pruned = _pruned(schema, value)
        if pruned != value:
            text = f"must not have unknown fields: {pruned!r} would remain"
            found.append(invalid(f"{path}.default", value, text))
        place = Place(f"{path}.default", "")
        found += validate_schema(schema, value, place)
        found += validate_lists(schema, value, f"{path}.default")
    for child, where in below(schema, path):
        found += _default_errors(child, where, inside=inside)
    return found


def _pruned(schema: Object, value: Any) -> Any:
    """What the server would keep of the value, once defaults are filled in."""
    wrapper: Object = {"type": "object", "properties": {"value": schema}}
    kind = structural_kind_schema("", "", "", wrapper)
    held: Object = {"value": copy.deepcopy(value)}
    kind.decode(held)
    return held.get("value")
