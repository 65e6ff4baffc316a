"""Schemas of custom kinds, from the `openAPIV3Schema` of their CustomResourceDefinition.

Upstream: apiextensions-apiserver `pkg/controller/openapi/builder` and, for what v2 cannot say,
`pkg/controller/openapi/v2`.
"""

from typing import Any

from kapi.api.object import GroupVersionKind, Object
from openapi.definitions import META, Definitions
from openapi.resource import gvk_dict

_LIKE = "io.k8s.api.core.v1.Pod"
"""Whose descriptions of apiVersion, kind and metadata are also those of custom kinds."""
_V2_LACKS = ("oneOf", "anyOf", "allOf", "not", "nullable", "x-kubernetes-validations")


def _described(definitions: Definitions, like: str) -> dict[str, str]:
    """What the fields that every object (or every list) has are for."""
    properties = definitions.raw[like]["properties"]
    return {name: properties[name]["description"] for name in ("apiVersion", "kind", "metadata")}


def object_schema(
    definitions: Definitions, gvk: GroupVersionKind, schema: Object | None, ref_prefix: str
) -> Object:
    """The kind's schema with the fields every object has. No schema means that anything goes."""
    texts = _described(definitions, _LIKE)
    if schema is None:
        built: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    else:
        built = dict(schema)
    built.setdefault("type", "object")
    built["properties"] = {
        **built.get("properties", {}),
        **{name: {"type": "string", "description": texts[name]} for name in ("apiVersion", "kind")},
        "metadata": {
            "description": texts["metadata"],
            "allOf": [{"$ref": f"{ref_prefix}{META}ObjectMeta"}],
        },
    }
    built["x-kubernetes-group-version-kind"] = [gvk_dict(gvk)]
    return built


def list_schema(
    definitions: Definitions, gvk: GroupVersionKind, item: str, ref_prefix: str
) -> Object:
    """The schema of a list of `item`s; `gvk` is the list's own."""
    texts = _described(definitions, f"{_LIKE}List")
    return {
        "type": "object",
        "description": f"{gvk.kind} is a list of {gvk.kind.removesuffix('List')} objects.",
        "required": ["items"],
        "properties": {
            **{
                name: {"type": "string", "description": texts[name]}
                for name in ("apiVersion", "kind")
            },
            "items": {
                "type": "array",
                "description": "The objects.",
                "items": {"$ref": f"{ref_prefix}{item}"},
            },
            "metadata": {
                "description": texts["metadata"],
                "allOf": [{"$ref": f"{ref_prefix}{META}ListMeta"}],
            },
        },
        "x-kubernetes-group-version-kind": [gvk_dict(gvk)],
    }


def to_v2(node: Any) -> Any:
    """A v3 schema without what Swagger 2.0 has no words for.

    A nullable field loses its type and what is below it, since v2 cannot say null. `allOf` of one
    reference becomes that reference.
    """
    if isinstance(node, list):
        return [to_v2(item) for item in node]
    if not isinstance(node, dict):
        return node
    references = node.get("allOf")
    if isinstance(references, list) and len(references) == 1 and "$ref" in references[0]:
        return {"description": node.get("description", ""), "$ref": references[0]["$ref"]}
    dropped: tuple[str, ...] = _V2_LACKS
    if node.get("nullable") or node.get("x-kubernetes-int-or-string"):
        dropped = (*_V2_LACKS, "type", "items", "properties", "additionalProperties", "default")
    kept: Object = {}
    for key, value in node.items():
        if key in dropped:
            continue
        if key == "properties":
            kept[key] = {name: to_v2(prop) for name, prop in value.items()}
        elif key in ("items", "additionalProperties"):
            kept[key] = to_v2(value)
        else:
            kept[key] = value
    return kept
