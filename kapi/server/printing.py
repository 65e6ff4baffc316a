"""Objects in the form a client asked for: plain, PartialObjectMetadata, Table; JSON or YAML."""

from datetime import datetime
from typing import Any

import orjson
import yaml

from kapi import env
from kapi.api import errors
from kapi.api.object import Object, split_api_version
from kapi.registry.resource import Resource
from kapi.registry.strategy import Column, Strategy
from kapi.server.negotiation import PROTOBUF, YAML, Accepted
from openapi.protobuf_encode import NoProtobufForm, encode_envelope

_INCLUDE = ("", "None", "Metadata", "Object")


def include_object(value: str) -> str:
    """Check the includeObject parameter; empty means Metadata."""
    if value not in _INCLUDE:
        raise errors.BadRequest(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{value}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    return value or "Metadata"


def column_definition(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def partial_metadata(obj: Object, version: str) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj.get("metadata", {}),
    }


def table_row(
    strategy: Strategy, obj: Object, include: str, now: datetime, version: str = "v1"
) -> Object:
    row: Object = {"cells": strategy.table_row(obj, now)}
    conditions = _row_conditions(obj)
    if conditions:
        row["conditions"] = conditions
    if include == "Object":
        row["object"] = obj
    elif include == "Metadata":
        row["object"] = partial_metadata(obj, version)
    else:
        row["object"] = None
    return row


def _row_conditions(obj: Object) -> list[Object]:
    """Finished pods are marked, so that clients may leave them out."""
    if obj.get("kind") != "Pod":
        return []
    phase = obj.get("status", {}).get("phase")
    if phase not in ("Succeeded", "Failed"):
        return []
    message = {
        "Succeeded": "The pod has completed successfully.",
        "Failed": "The pod failed.",
    }[phase]
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


def table(
    strategy: Strategy,
    objects: list[Object],
    list_meta: dict[str, Any],
    include: str,
    version: str = "v1",
) -> Object:
    """A meta.k8s.io Table."""
    now = env.now()
    rows = [table_row(strategy, obj, include, now, version) for obj in objects]
    # Upstream's table for kinds without columns of their own has null where it has no rows.
    plain = strategy.columns == Strategy.columns
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": list_meta,
        "columnDefinitions": [column_definition(column) for column in strategy.columns],
        "rows": rows or (None if plain else []),
    }


def encode(value: Object, form: Accepted) -> bytes:
    """The final bytes in the negotiated encoding."""
    if form.media_type == PROTOBUF:
        try:
            return encode_envelope(value)
        except NoProtobufForm as error:
            raise errors.PlainNotAcceptable(str(error)) from error
    if form.media_type == YAML:
        return yaml.dump(value, Dumper=_dumper(), sort_keys=True).encode()
    return orjson.dumps(value)


def _dumper() -> type[Any]:
    return getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def render_object(
    obj: Object, data: bytes | None, form: Accepted, strategy: Strategy, include: str
) -> bytes:
    """One object for a response. `data` is its plain JSON if it is at hand."""
    if form.is_plain_json:
        return data if data is not None else orjson.dumps(obj)
    if form.as_kind == "Table":
        meta = obj.get("metadata", {})
        list_meta = {key: meta[key] for key in ("resourceVersion",) if key in meta}
        return encode(table(strategy, [obj], list_meta, include, form.as_version), form)
    if form.as_kind == "PartialObjectMetadata":
        return encode(partial_metadata(obj, form.as_version), form)
    if form.as_kind == "PartialObjectMetadataList":
        raise errors.PlainNotAcceptable(
            "you requested PartialObjectMetadataList, but the requested object is not a list "
            f"({_go_type(obj)})"
        )
    return encode(obj, form)


def _go_type(obj: Object) -> str:
    """The internal type upstream names in its complaint."""
    group, _version = split_api_version(str(obj.get("apiVersion", "v1")))
    return f"*{group.split('.')[0] or 'core'}.{obj.get('kind')}"


def list_document(resource: Resource, items: list[Object], meta: dict[str, Any]) -> Object:
    return {
        "kind": resource.list_kind,
        "apiVersion": resource.gvk.api_version,
        "metadata": meta,
        "items": items,
    }


def render_list(
    resource: Resource,
    objects: list[Object],
    meta: dict[str, Any],
    form: Accepted,
    include: str,
) -> bytes:
    """A list in any form but plain JSON, which the list verb joins from bytes."""
    if form.as_kind == "Table":
        return encode(table(resource.strategy, objects, meta, include, form.as_version), form)
    if form.as_kind == "PartialObjectMetadataList":
        document = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{form.as_version}",
            "metadata": meta,
            "items": [partial_metadata(obj, form.as_version) for obj in objects],
        }
        return encode(document, form)
    if form.as_kind == "PartialObjectMetadata":
        list_type = _go_type({"kind": resource.list_kind, "apiVersion": resource.gvk.api_version})
        raise errors.PlainNotAcceptable(
            f"you requested PartialObjectMetadata, but the requested object is a list ({list_type})"
        )
    for obj in objects:
        # As in JSON lists: kind and apiVersion are the list's to say.
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
    return encode(list_document(resource, objects, meta), form)
