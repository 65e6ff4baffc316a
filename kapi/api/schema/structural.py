"""The schema of a custom resource, from its definition's `openAPIV3Schema`.

Makes the same tree as `compile` does for built-in kinds, with decoders that prune only: a wrong
type is a validation error for custom resources, not a decode error, and validation is not done
here. Source of the rules for pruning, nulls and defaults: k8s.io/apiextensions-apiserver
`pkg/apiserver/schema/{pruning,defaulting,objectmeta}`.
"""

from typing import Any

from kapi.api.schema.compile import definition_node
from kapi.api.schema.decoders import decoder_of, note
from kapi.api.schema.kind import KindSchema
from kapi.api.schema.node import Decoder, NodeKind, SchemaNode, Trail

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

_KINDS: dict[str, NodeKind] = {
    "object": "object",
    "array": "array",
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}


def structural_kind_schema(
    group: str,
    version: str,
    kind: str,
    schema: dict[str, Any] | None,
    *,
    status_is_separate: bool = False,
) -> KindSchema:
    """The schema of a custom resource's version.

    `schema` is `spec.versions[].schema.openAPIV3Schema`, None where everything is allowed;
    `status_is_separate` says whether the version has the status subresource.
    """
    root = _node(schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    _embed(root)
    return KindSchema(
        group, version, kind, root, status_is_separate=status_is_separate, is_custom=True
    )


def _embed(node: SchemaNode) -> None:
    """Every object has a kind, an apiVersion and metadata, whatever its schema says of them."""
    node.kind = "object"
    node.properties["apiVersion"] = SchemaNode("string", go_type="string")
    node.properties["kind"] = SchemaNode("string", go_type="string")
    node.properties["metadata"] = definition_node(_META)
    node.decoder = _object_pruner(node)


def _node(schema: dict[str, Any]) -> SchemaNode:
    kind: NodeKind = _KINDS.get(schema.get("type", ""), "any")
    if schema.get("x-kubernetes-int-or-string"):
        kind = "int_or_string"
    node = SchemaNode(
        kind,
        format=schema.get("format", ""),
        required=frozenset(schema.get("required") or ()),
        list_type=schema.get("x-kubernetes-list-type", ""),
        map_type=schema.get("x-kubernetes-map-type", ""),
        map_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
        preserve_unknown=bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        nullable=bool(schema.get("nullable")),
        has_default="default" in schema,
        default=schema.get("default"),
    )
    for name, child in (schema.get("properties") or {}).items():
        node.properties[name] = _node(child)
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        node.additional = _node(additional)
    elif additional is True:
        node.preserve_unknown = True
    items = schema.get("items")
    if kind == "array":
        node.items = _node(items) if isinstance(items, dict) else SchemaNode("any")
        node.items.decoder = node.items.decoder or _keep
    node.decoder = _pruner(node)
    if schema.get("x-kubernetes-embedded-resource"):
        _embed(node)
    return node


def _keep(value: Any, _unknown: list[Trail]) -> Any:
    return value


def _pruner(node: SchemaNode) -> Decoder:
    if node.kind == "array" and node.items is not None:
        return _list_pruner(node.items)
    if node.kind == "object" or node.properties or node.additional is not None:
        return _object_pruner(node)
    return _keep


def _list_pruner(items: SchemaNode) -> Decoder:
    def prune(value: Any, unknown: list[Trail]) -> Any:
        if type(value) is list:
            step = decoder_of(items)
            for index, item in enumerate(value):
                before = len(unknown)
                value[index] = step(item, unknown)
                note(unknown, before, index, "")
        return value

    return prune


def _object_pruner(node: SchemaNode) -> Decoder:
    # Metadata alone can raise decode errors here, and they carry the steps they need.
    properties, additional = node.properties, node.additional

    def prune(value: Any, unknown: list[Trail]) -> Any:
        if type(value) is not dict:
            return value
        dropped: list[str] = []
        for name, item in value.items():
            child = properties.get(name) or additional
            if child is None:
                if not node.preserve_unknown:
                    dropped.append(name)
                    unknown.append([(name, "")])
            elif item is None:
                if not child.nullable:
                    dropped.append(name)
            else:
                before = len(unknown)
                value[name] = decoder_of(child)(item, unknown)
                note(unknown, before, name, "")
        for name in dropped:
            del value[name]
        return value

    return prune
