"""The OpenAPI v2 document: one for all group versions, served as JSON or as protobuf.

kubectl still asks for it (as protobuf only) to validate a `kind: List`, kinds without PATCH, and
for `explain --output=plaintext-openapiv2`.
"""

from collections.abc import Iterable

from kapi.api.object import Object
from openapi.custom import to_v2
from openapi.definitions import META, SCHEMA_VERSION, V2_REF, load
from openapi.gnostic import encode_document
from openapi.operations import (
    Operation,
    PathOperations,
    definition_name,
    definitions_used,
    resource_paths,
)
from openapi.parameters import PARAMETERS, Parameter
from openapi.plain_paths import documents_of_their_own, of_group_versions, operation_v2
from openapi.resource import NO_SCHEMAS, CustomSchemas, ServedResource, gvk_dict, gvk_of
from openapi.v3 import custom_schemas

_PARAMETER_REF = "#/parameters/"
# kubectl looks for these in the operation itself and does not follow references to them.
_INLINE = ("dryRun", "fieldValidation", "path")


def document(resources: Iterable[ServedResource], schemas: CustomSchemas = NO_SCHEMAS) -> Object:
    """Paths and definitions of every resource. The dict is large; keep the bytes only."""
    rows = list(resources)
    definitions = load()
    paths = resource_paths(rows, definitions)
    roots = definitions_used(paths) | {definition_name(definitions, gvk_of(row)) for row in rows}
    roots |= {f"{META}ObjectMeta", f"{META}ListMeta", f"{META}Status"}
    plain = [*documents_of_their_own(rows, schemas).values(), *of_group_versions(rows, definitions)]
    roots |= {path.answer for path in plain if path.answer}
    built = {name: definitions.schema_v2(name) for name in definitions.reachable(roots)}
    for row in rows:
        gvk = gvk_of(row)
        if gvk not in definitions.kinds:
            custom = custom_schemas(definitions, gvk, schemas, V2_REF)
            built |= {name: to_v2(schema) for name, schema in custom.items()}
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": SCHEMA_VERSION},
        "paths": {
            **{path.path: {"get": operation_v2(path, _answer(path.answer))} for path in plain},
            **{path.path: _path_item(path) for path in paths},
        },
        "definitions": dict(sorted(built.items())),
        "parameters": {
            name: _inline(parameter)
            for name, parameter in sorted(PARAMETERS.items())
            if name not in _INLINE
        },
        "securityDefinitions": {
            "BearerToken": {
                "type": "apiKey",
                "description": "Bearer Token authentication",
                "name": "authorization",
                "in": "header",
            }
        },
        "security": [{"BearerToken": []}],
    }


def to_protobuf(document: Object) -> bytes:
    """The document as gnostic's `openapi.v2.Document`, which is all that kubectl accepts."""
    return encode_document(document)


def _path_item(path: PathOperations) -> Object:
    item: Object = {operation.method: _operation(operation) for operation in path.operations}
    item["parameters"] = [_parameter(parameter) for parameter in path.parameters]
    return item


def _parameter(parameter: Parameter) -> Object:
    if parameter.name in _INLINE:
        return _inline(parameter)
    return {"$ref": f"{_PARAMETER_REF}{parameter.name}"}


def _inline(parameter: Parameter) -> Object:
    rendered: Object = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "type": parameter.type,
        "uniqueItems": True,
    }
    if parameter.place == "path":
        rendered["required"] = True
    return rendered


def _operation(operation: Operation) -> Object:
    parameters = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body:
        body: Object = {
            "name": "body",
            "in": "body",
            "schema": {"$ref": f"{V2_REF}{operation.body}"},
        }
        if operation.method in ("post", "put", "patch"):
            body["required"] = True
        parameters.append(body)
    return {
        "consumes": list(operation.consumes),
        "produces": list(operation.produces),
        "schemes": ["https"],
        "tags": [operation.tag],
        "operationId": operation.operation_id,
        "parameters": parameters,
        "responses": {
            **{str(code): _response(answer) for code, answer in operation.responses},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": gvk_dict(operation.gvk),
    }


def _response(answer: str) -> Object:
    return {"description": "OK", "schema": _answer(answer)}


def _answer(name: str) -> Object:
    return {"$ref": f"{V2_REF}{name}"} if name else {"type": "string"}
