"""One document from a request that can cross a process boundary."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from kapi.api.object import GroupVersionKind
from openapi import v2, v3
from openapi.resource import NO_SCHEMAS, CustomSchemas, ServedResource


@dataclass(frozen=True, slots=True)
class SubresourceRow:
    """A ServedSubresource made of plain values."""

    name: str
    verbs: tuple[str, ...]
    kind: GroupVersionKind | None
    how: str


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """A ServedResource made of plain values."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    subresources: tuple[SubresourceRow, ...]


def request(
    document: str, resources: Iterable[ServedResource], schemas: CustomSchemas = NO_SCHEMAS
) -> bytes:
    """The request for a document.

    It is `v2`, `v2-protobuf`, `v3`, `v3/<group>/<version>`, or `v3-plain/<name>` for what is about
    no resource.
    """
    return orjson.dumps(
        {
            "document": document,
            "rows": [asdict(_row(row)) for row in resources],
            "schemas": [[asdict(gvk), schema] for gvk, schema in schemas.items()],
        }
    )


def build(encoded: bytes) -> bytes:
    """The document's bytes. Raises ValueError for a request that names none."""
    wanted = orjson.loads(encoded)
    rows = [_parsed(row) for row in wanted["rows"]]
    schemas = {GroupVersionKind(**gvk): schema for gvk, schema in wanted["schemas"]}
    document = str(wanted["document"])
    if document == "v2-protobuf":
        return v2.to_protobuf(v2.document(rows, schemas))
    if document == "v2":
        return orjson.dumps(v2.document(rows, schemas))
    if document == "v3":
        return orjson.dumps(v3.root_document(rows, schemas))
    kind, separator, rest = document.partition("/")
    if kind == "v3-plain" and separator:
        return orjson.dumps(v3.plain_document(rest, rows, schemas))
    group, slash, version = rest.rpartition("/")
    if kind != "v3" or not separator or not slash:
        raise ValueError(f"no such document: {document}")
    return orjson.dumps(v3.group_version_document(group, version, rows, schemas))


def _row(resource: ServedResource) -> ResourceRow:
    return ResourceRow(
        resource.group,
        resource.version,
        resource.kind,
        resource.plural,
        resource.singular,
        resource.namespaced,
        resource.verbs,
        tuple(
            SubresourceRow(item.name, item.verbs, item.kind, item.how)
            for item in resource.subresources
        ),
    )


def _parsed(value: dict[str, Any]) -> ResourceRow:
    subresources = tuple(
        SubresourceRow(
            item["name"],
            tuple(item["verbs"]),
            GroupVersionKind(**item["kind"]) if item["kind"] else None,
            item["how"],
        )
        for item in value["subresources"]
    )
    plain = {key: value[key] for key in ("group", "version", "kind", "plural", "singular")}
    return ResourceRow(
        **plain,
        namespaced=value["namespaced"],
        verbs=tuple(value["verbs"]),
        subresources=subresources,
    )
