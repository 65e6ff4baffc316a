"""OpenAPI v3 documents: the index at `/openapi/v3` and one document per group version.

kubectl reads them for `explain`, for `--validate` and for the merge keys of client-side apply.
What it insists on: the group version kind of an operation is one object (of a schema, a list of
them), `fieldValidation` is an inline query parameter of every PATCH, and built-in kinds list the
strategic merge patch there while custom kinds must not.

Every call reads the schema package anew and keeps nothing; callers keep the encoded bytes.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from kapi.api.object import GroupVersionKind, Object
from openapi.custom import list_schema, object_schema
from openapi.definitions import SCHEMA_VERSION, V3_REF, Definitions, load
from openapi.operations import (
    Operation,
    PathOperations,
    definition_name,
    definitions_used,
    group_version_path,
    list_kind,
    resource_paths,
)
from openapi.parameters import Parameter
from openapi.plain_paths import (
    PlainPath,
    documents_of_their_own,
    of_group_versions,
    operation_v3,
)
from openapi.resource import NO_SCHEMAS, CustomSchemas, ServedResource, gvk_dict, gvk_of


def root_document(
    resources: Iterable[ServedResource], schemas: CustomSchemas = NO_SCHEMAS
) -> Object:
    """The index: `paths` maps `apis/apps/v1` to its URL, with a hash of what it depends on.

    The hash is taken over the rows and schemas rather than over the document, so that asking for
    the index builds no documents.
    """
    served = list(resources)
    by_path: dict[str, list[ServedResource]] = {
        name: [] for name in documents_of_their_own(served, schemas)
    }
    for resource in served:
        by_path.setdefault(group_version_path(resource.group, resource.version), []).append(
            resource
        )
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(rows, schemas)}"}
            for path, rows in sorted(by_path.items())
        }
    }


def _hash(resources: list[ServedResource], schemas: CustomSchemas) -> str:
    facts: list[Any] = [SCHEMA_VERSION]
    for resource in sorted(resources, key=lambda item: item.plural):
        subresources = [
            [sub.name, sub.verbs, sub.kind and gvk_dict(sub.kind)] for sub in resource.subresources
        ]
        facts += [
            [resource.plural, resource.kind, resource.namespaced, resource.verbs, subresources],
            schemas.get(gvk_of(resource)),
        ]
    encoded = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha512(encoded).hexdigest().upper()


def group_version_document(
    group: str,
    version: str,
    resources: Iterable[ServedResource],
    schemas: CustomSchemas = NO_SCHEMAS,
) -> Object:
    """The document of one group version: its paths, and the definitions these need.

    `resources` may hold rows of other group versions; they are left out.
    """
    definitions = load()
    rows = [row for row in resources if (row.group, row.version) == (group, version)]
    paths = resource_paths(rows, definitions)
    plain = of_group_versions(rows, definitions)
    roots = {path.answer for path in plain}
    return _document(
        {
            **{path.path: _plain_item(path) for path in plain},
            **{path.path: _path_item(path) for path in paths},
        },
        _schemas(definitions, definitions_used(paths) | roots, rows, schemas),
    )


def plain_document(
    name: str, resources: Iterable[ServedResource], schemas: CustomSchemas = NO_SCHEMAS
) -> Object:
    """The document of a path that is about no resource. Raises KeyError if there is none."""
    path, definitions = documents_of_their_own(resources, schemas)[name], load()
    roots = {path.answer} - {""}
    return _document({path.path: _plain_item(path)}, _schemas(definitions, roots, [], schemas))


def _document(paths: Object, schemas: Object) -> Object:
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": SCHEMA_VERSION},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "description": "Bearer Token authentication",
                    "name": "authorization",
                    "in": "header",
                }
            },
        },
    }


def _schemas(
    definitions: Definitions,
    named: set[str],
    rows: list[ServedResource],
    schemas: CustomSchemas,
) -> Object:
    roots = named | {definition_name(definitions, gvk_of(row)) for row in rows}
    built: Object = {}
    for row in rows:
        gvk = gvk_of(row)
        if gvk not in definitions.kinds:
            roots |= {name for name in definitions.raw if name.endswith(("ObjectMeta", "ListMeta"))}
            built |= custom_schemas(definitions, gvk, schemas, V3_REF)
    for name in definitions.reachable(roots):
        built[name] = definitions.schema_v3(name)
    return dict(sorted(built.items()))


def custom_schemas(
    definitions: Definitions, gvk: GroupVersionKind, schemas: CustomSchemas, ref_prefix: str
) -> Object:
    """The definitions of a custom kind and of its list, by name."""
    name, of_list = definition_name(definitions, gvk), list_kind(gvk)
    return {
        name: object_schema(definitions, gvk, schemas.get(gvk), ref_prefix),
        definition_name(definitions, of_list): list_schema(definitions, of_list, name, ref_prefix),
    }


def _plain_item(path: PlainPath) -> Object:
    return {"get": operation_v3(path, _answer(path.answer))}


def _path_item(path: PathOperations) -> Object:
    item: Object = {operation.method: _operation(operation) for operation in path.operations}
    item["parameters"] = [_parameter(parameter) for parameter in path.parameters]
    return item


def _parameter(parameter: Parameter) -> Object:
    schema: Object = {"type": parameter.type}
    if parameter.place == "query":
        schema["uniqueItems"] = True
    rendered: Object = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": schema,
    }
    if parameter.place == "path":
        rendered["required"] = True
    return rendered


def _operation(operation: Operation) -> Object:
    rendered: Object = {
        "tags": [operation.tag],
        "operationId": operation.operation_id,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": {
            **{str(code): _response(operation, answer) for code, answer in operation.responses},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": gvk_dict(operation.gvk),
    }
    if operation.body:
        schema = {"$ref": f"{V3_REF}{operation.body}"}
        content = {media: {"schema": schema} for media in operation.consumes}
        rendered["requestBody"] = {"content": content}
        if operation.method in ("post", "put", "patch"):
            rendered["requestBody"]["required"] = True
    return rendered


def _response(operation: Operation, answer: str) -> Object:
    schema = _answer(answer)
    return {
        "description": "OK",
        "content": {media: {"schema": schema} for media in operation.produces},
    }


def _answer(name: str) -> Object:
    return {"$ref": f"{V3_REF}{name}"} if name else {"type": "string"}
