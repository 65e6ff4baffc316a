"""The types: read from the installed schema package, given back as OpenAPI v2 and v3 schemas.

The package `kubernetes-validate` holds upstream's definitions with descriptions, as JSON Schema
with nullable types. It lacks `default` and `enum`, which `schema_facts.json` adds (facts of
upstream's `/openapi/v3`). Parsed definitions are large (some 20 MB), so callers build a document
from them and let go; nothing here keeps them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from kapi.api.object import GroupVersionKind, Object
from kapi.env.files import read_bytes

SCHEMA_VERSION = "v1.36.0"
_GVK = "x-kubernetes-group-version-kind"
_PREFIX = "#/$defs/"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_Facts: TypeAlias = dict[str, dict[str, dict[str, Any]]]

V2_REF, V3_REF = "#/definitions/", "#/components/schemas/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."


@cache
def _facts() -> _Facts:
    data = resources.files("openapi").joinpath("schema_facts.json").read_bytes()
    facts: _Facts = orjson.loads(data)
    return facts


@dataclass(frozen=True, slots=True)
class Definitions:
    """The package's definitions by name, and which of them is which kind."""

    raw: Mapping[str, Object]
    kinds: Mapping[GroupVersionKind, str]

    def reachable(self, roots: Iterable[str]) -> list[str]:
        """The names of the definitions that `roots` need, themselves included, sorted."""
        found: set[str] = set()
        pending = [root for root in roots if root in self.raw]
        while pending:
            name = pending.pop()
            if name in found:
                continue
            found.add(name)
            pending.extend(set(_references(self.raw[name])) - found)
        return sorted(found)

    def schema_v2(self, name: str) -> Object:
        """The definition as upstream's `/openapi/v2` spells it."""
        schema = _schema(self.raw[name], name, V2_REF)
        if name in (_INT_OR_STRING, _QUANTITY):
            del schema["oneOf"]
            schema["type"] = "string"
        if name == _INT_OR_STRING:
            schema["format"] = "int-or-string"
        for prop in schema.get("properties", {}).values():
            prop.pop("default", None)
        return schema

    def schema_v3(self, name: str) -> Object:
        """The definition as upstream's `/openapi/v3` spells it.

        A reference with anything beside it is an `allOf` of one, since OpenAPI 3.0 ignores the
        siblings of `$ref`.
        """
        schema = _schema(self.raw[name], name, V3_REF)
        if name == _INT_OR_STRING:
            schema["oneOf"] = [{"type": "integer"}, {"type": "string"}]
            schema["format"] = "int-or-string"
        for prop in schema.get("properties", {}).values():
            if "$ref" in prop and len(prop) > 1:
                prop["allOf"] = [{"$ref": prop.pop("$ref")}]
        return schema


def _package_file() -> Path:
    """Finds the file without importing the package, which would bring a JSON Schema validator."""
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package kubernetes-validate is not installed")
    folder = Path(spec.submodule_search_locations[0], "kubernetes-json-schema")
    return folder / f"{SCHEMA_VERSION}-local" / "_definitions.json"


def load() -> Definitions:
    """Reads the package. Takes some 50 ms; the caller should not keep the result for long."""
    raw: dict[str, Object] = orjson.loads(read_bytes(_package_file()))["$defs"]
    kinds: dict[GroupVersionKind, str] = {}
    for name, schema in raw.items():
        named = schema.get(_GVK, ())
        # The option kinds and WatchEvent are of every group; they are never looked up by kind.
        for gvk in named if len(named) == 1 else ():
            kinds[GroupVersionKind(gvk["group"], gvk["version"], gvk["kind"])] = name
    return Definitions(raw, kinds)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_PREFIX)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _schema(raw: Object, name: str, ref_prefix: str) -> Object:
    """A copy without nullable types and with facts; the package's dicts are left alone."""
    schema: Object = _plain(raw, ref_prefix)
    facts = _facts().get(name, {})
    properties: dict[str, Object] = schema.get("properties", {})
    if _GVK in schema:
        # The package pins these to the one kind; upstream's documents do not.
        for pinned in ("kind", "apiVersion"):
            properties.get(pinned, {}).pop("enum", None)
    for prop, default in facts.get("defaults", {}).items():
        if prop in properties:
            properties[prop]["default"] = default
    for prop, values in facts.get("enums", {}).items():
        if prop in properties:
            _innermost(properties[prop])["enum"] = values
    return schema


def _innermost(prop: Object) -> Object:
    inner = prop.get("items", prop.get("additionalProperties"))
    return inner if isinstance(inner, dict) else prop


def _plain(node: Any, ref_prefix: str) -> Any:
    if isinstance(node, list):
        return [_plain(item, ref_prefix) for item in node]
    if not isinstance(node, dict):
        return node
    copied: Object = {}
    for key, value in node.items():
        if key == "type" and isinstance(value, list):
            copied[key] = next(kind for kind in value if kind != "null")
        elif key == "$ref" and isinstance(value, str):
            copied[key] = ref_prefix + value.removeprefix(_PREFIX)
        else:
            copied[key] = _plain(value, ref_prefix)
    return copied
