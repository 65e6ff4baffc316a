"""What is served beside the resources: discovery, the server's version, the tokens' keys.

Each is one GET, described in a document of its own (and in the one of its group version). Paths,
operation ids, tags and descriptions are those of upstream (apiserver `pkg/endpoints/discovery` and
`pkg/server/routes`), which writes these paths with a slash at the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kapi.api.object import Object
from openapi.definitions import META, Definitions
from openapi.operations import JSON, PROTOBUF, YAML, group_id_part, group_version_path, id_part
from openapi.operations import tag_of as group_version_tag
from openapi.resource import NO_SCHEMAS, CustomSchemas, ServedResource, gvk_of

_DOCUMENT = (JSON, YAML, PROTOBUF)


@dataclass(frozen=True, slots=True)
class PlainPath:
    """One GET. `answer` is a definition's name; empty means a string."""

    name: str
    """Of the v3 document, and the path without its slashes."""
    operation_id: str
    tag: str
    description: str
    answer: str = ""
    consumes: tuple[str, ...] = _DOCUMENT
    produces: tuple[str, ...] = _DOCUMENT

    @property
    def path(self) -> str:
        return f"/{self.name}/"


_FIXED = (
    PlainPath(
        ".well-known/openid-configuration",
        "getServiceAccountIssuerOpenIDConfiguration",
        "WellKnown",
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        consumes=(),
        produces=(JSON,),
    ),
    PlainPath(
        "api", "getCoreAPIVersions", "core", "get available API versions", f"{META}APIVersions"
    ),
    PlainPath(
        "apis", "getAPIVersions", "apis", "get available API versions", f"{META}APIGroupList"
    ),
    PlainPath(
        "openid/v1/jwks",
        "getServiceAccountIssuerOpenIDKeyset",
        "openid",
        "get service account issuer OpenID JSON Web Key Set (contains public token verification "
        "keys)",
        consumes=(),
        produces=("application/jwk-set+json",),
    ),
    PlainPath(
        "version",
        "getCodeVersion",
        "version",
        "get the version information for this server",
        "io.k8s.apimachinery.pkg.version.Info",
        consumes=(JSON,),
        produces=(JSON,),
    ),
)


def documents_of_their_own(
    resources: Iterable[ServedResource], schemas: CustomSchemas = NO_SCHEMAS
) -> dict[str, PlainPath]:
    """By the name of the document. Groups of custom kinds alone have none, as upstream."""
    groups = {row.group for row in resources if gvk_of(row) not in schemas} - {""}
    paths = (*_FIXED, *(_of_group(group) for group in groups))
    return {path.name: path for path in sorted(paths, key=lambda path: path.name)}


def _of_group(group: str) -> PlainPath:
    return PlainPath(
        f"apis/{group}",
        f"get{group_id_part(group)}APIGroup",
        group_version_tag(group, "").rstrip("_"),
        "get information of a group",
        f"{META}APIGroup",
    )


def of_group_versions(
    resources: Iterable[ServedResource], definitions: Definitions
) -> list[PlainPath]:
    """Where the resources of each group version with a built-in kind are listed."""
    found = {(row.group, row.version) for row in resources if gvk_of(row) in definitions.kinds}
    return [
        PlainPath(
            group_version_path(group, version),
            f"get{id_part(group, version)}APIResources",
            group_version_tag(group, version),
            "get available resources",
            f"{META}APIResourceList",
        )
        for group, version in sorted(found)
    ]


def operation_v2(path: PlainPath, schema: Object) -> Object:
    """The operation as Swagger spells it; `schema` is the answer's."""
    rendered: Object = {
        "description": path.description,
        "produces": list(path.produces),
        "schemes": ["https"],
        "tags": [path.tag],
        "operationId": path.operation_id,
        "parameters": [],
        "responses": {
            "200": {"description": "OK", "schema": schema},
            "401": {"description": "Unauthorized"},
        },
    }
    if path.consumes:
        rendered["consumes"] = list(path.consumes)
    return rendered


def operation_v3(path: PlainPath, schema: Object) -> Object:
    """The operation as OpenAPI v3 spells it; `schema` is the answer's."""
    return {
        "tags": [path.tag],
        "description": path.description,
        "operationId": path.operation_id,
        "responses": {
            "200": {
                "description": "OK",
                "content": {media: {"schema": schema} for media in path.produces},
            },
            "401": {"description": "Unauthorized"},
        },
    }
