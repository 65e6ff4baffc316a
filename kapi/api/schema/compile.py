"""From definitions to nodes; each definition becomes one node, shared by all kinds that use it."""

from dataclasses import replace
from typing import Any

from kapi.api.schema.definitions import Definition, defaults, definitions, kept_zeros
from kapi.api.schema.node import NodeKind, SchemaNode

_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

# Types that their Go code reads in a way of its own.
_SPECIAL: dict[str, NodeKind] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int_or_string",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
    f"{_META}Time": "time",
    f"{_META}MicroTime": "micro_time",
    f"{_META}FieldsV1": "any",
    f"{_META}Patch": "any",
    f"{_EXTENSIONS}JSON": "any",
    f"{_EXTENSIONS}JSONSchemaPropsOrArray": "json_schema",
    f"{_EXTENSIONS}JSONSchemaPropsOrBool": "json_schema",
    f"{_EXTENSIONS}JSONSchemaPropsOrStringArray": "json_schema",
}
_GO_NAMES = {
    "quantity": "resource.Quantity",
    "int_or_string": "intstr.IntOrString",
    "time": "v1.Time",
    "micro_time": "v1.MicroTime",
    "any": "runtime.RawExtension",
}
_GO_NUMBERS = {"int32": "int32", "int64": "int64", "double": "float64"}

_nodes: dict[str, SchemaNode] = {}


def definition_node(name: str) -> SchemaNode:
    """The node of a definition, made on first use."""
    found = _nodes.get(name)
    if found is not None:
        return found
    special = _SPECIAL.get(name)
    if special is not None:
        node = SchemaNode(kind=special, go_type=_GO_NAMES.get(special, _go_struct(name)))
        _nodes[name] = node
        if special == "json_schema":
            node.items = definition_node(f"{_EXTENSIONS}JSONSchemaProps")
        return node
    # Registered before its fields are read: a recursive definition finds itself.
    node = _nodes[name] = SchemaNode(kind="object", go_type=_go_struct(name))
    _fill(node, name, definitions()[name])
    return node


def _go_struct(name: str) -> str:
    """`io.k8s.api.core.v1.Container` -> `v1.Container`."""
    return ".".join(name.split(".")[-2:])


def _fill(node: SchemaNode, name: str, definition: Definition) -> None:
    node.struct = name.rpartition(".")[2]
    node.map_type = definition.get("x-kubernetes-map-type", "")
    node.required = frozenset(definition.get("required", ()))
    properties = definition.get("properties")
    if properties is None:
        node.kind = "any" if _json_type(definition) == "object" else _scalar_kind(definition)
        return
    given, kept = defaults().get(name, {}), kept_zeros(name)
    for key, schema in properties.items():
        child = _node(schema)
        if key in given:
            child = replace(child, has_default=True, default=given[key])
        elif key not in node.required and key not in kept and _has_zero(child):
            child = replace(child, omit_empty=True)
        node.properties[key] = child


def _has_zero(node: SchemaNode) -> bool:
    """Can a zero value of this type be written out? Structs never are zero in Go's JSON."""
    return node.kind in ("string", "integer", "number", "boolean", "bytes", "array", "map")


def _json_type(schema: Definition) -> str:
    found = schema.get("type", "")
    if isinstance(found, list):
        return next((str(item) for item in found if item != "null"), "")
    return str(found)


def _scalar_kind(schema: Definition) -> NodeKind:
    kind = _json_type(schema)
    if kind == "string" and schema.get("format") == "byte":
        return "bytes"
    kinds: dict[str, NodeKind] = {
        "string": "string",
        "integer": "integer",
        "number": "number",
        "boolean": "boolean",
    }
    return kinds.get(kind, "any")


def _node(schema: Definition) -> SchemaNode:
    """The node of one field, item or map value."""
    reference = schema.get("$ref")
    if reference is not None:
        node = definition_node(reference.rpartition("/")[2])
        extra = _field_facts(schema)
        return replace(node, **extra) if extra else node
    kind = _json_type(schema)
    if kind == "array":
        items = _node(schema["items"])
        return SchemaNode("array", go_type=f"[]{items.go_type}", items=items, **_list_facts(schema))
    if kind == "object":
        if "additionalProperties" not in schema:
            return SchemaNode("any", go_type="runtime.RawExtension")
        additional = _node(schema["additionalProperties"])
        go_type = f"map[string]{additional.go_type}"
        if additional.kind == "quantity":
            go_type = "v1.ResourceList"
        return SchemaNode("map", go_type=go_type, additional=additional, **_field_facts(schema))
    scalar = _scalar_kind(schema)
    return SchemaNode(
        scalar,
        go_type=_go_scalar(scalar, schema),
        format=schema.get("format", ""),
        enum=tuple(schema.get("enum", ())),
    )


def _go_scalar(kind: NodeKind, schema: Definition) -> str:
    if kind == "bytes":
        return "[]uint8"
    if kind == "boolean":
        return "bool"
    if kind in ("integer", "number"):
        return _GO_NUMBERS.get(schema.get("format", ""), "int64")
    return "string"


def _field_facts(schema: Definition) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if "x-kubernetes-patch-strategy" in schema:
        facts["patch_strategy"] = frozenset(schema["x-kubernetes-patch-strategy"].split(","))
    if "x-kubernetes-patch-merge-key" in schema:
        facts["merge_key"] = schema["x-kubernetes-patch-merge-key"]
    if "x-kubernetes-map-type" in schema:
        facts["map_type"] = schema["x-kubernetes-map-type"]
    return facts


def _list_facts(schema: Definition) -> dict[str, Any]:
    return {
        **_field_facts(schema),
        "list_type": schema.get("x-kubernetes-list-type", ""),
        "map_keys": tuple(schema.get("x-kubernetes-list-map-keys", ())),
    }
