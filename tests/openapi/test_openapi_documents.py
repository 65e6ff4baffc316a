"""The OpenAPI documents: what clients insist on, and agreement with a real server's facts."""

from typing import Any

import pytest
from openapi_rows import (
    DEPLOYMENT,
    POD,
    ROWS,
    WIDGET_GVK,
    WIDGET_SCHEMA,
    Row,
    fact,
    recorded_rows,
)

from openapi import definitions, operations, v2, v3, wire

SCHEMAS = {WIDGET_GVK: WIDGET_SCHEMA}


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(references(value) for value in node))
    return set()


def without_descriptions(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: without_descriptions(value)
            for key, value in node.items()
            if not (key == "description" and isinstance(value, str))
        }
    if isinstance(node, list):
        return [without_descriptions(item) for item in node]
    return node


def test_index_lists_each_group_version_with_a_stable_hash() -> None:
    paths = v3.root_document(ROWS, SCHEMAS)["paths"]
    plain = {".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"}
    assert set(paths) == {*plain, "api/v1", "apis/apps", "apis/apps/v1", "apis/example.com/v1"}
    url = paths["apis/apps/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/apps/v1?hash=")
    assert v3.root_document(reversed(ROWS), SCHEMAS)["paths"] == paths
    changed = v3.root_document(ROWS, {WIDGET_GVK: {"type": "object"}})["paths"]
    assert changed["apis/apps/v1"] == paths["apis/apps/v1"]
    assert changed["apis/example.com/v1"] != paths["apis/example.com/v1"]


@pytest.mark.parametrize(("group", "version"), [("", "v1"), ("apps", "v1"), ("example.com", "v1")])
def test_v3_document_is_closed_and_every_patch_has_what_kubectl_looks_for(
    group: str, version: str
) -> None:
    document = v3.group_version_document(group, version, ROWS, SCHEMAS)
    schemas = document["components"]["schemas"]
    assert {f"{definitions.V3_REF}{name}" for name in schemas} >= references(document)
    patches = [item["patch"] for item in document["paths"].values() if "patch" in item]
    assert patches
    for patch in patches:
        gvk = patch["x-kubernetes-group-version-kind"]
        assert isinstance(gvk, dict) and set(gvk) == {"group", "version", "kind"}
        inline = {(item["name"], item["in"]) for item in patch["parameters"]}
        assert {("fieldValidation", "query"), ("dryRun", "query")} <= inline
        strategic = operations.STRATEGIC_MERGE_PATCH in patch["requestBody"]["content"]
        assert strategic == (group != "example.com")


def test_v3_keeps_what_apply_and_explain_read() -> None:
    document = v3.group_version_document("", "v1", ROWS)
    spec = document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert spec["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["containers"]["x-kubernetes-patch-strategy"] == "merge"
    assert "Containers cannot currently be added" in spec["containers"]["description"]
    assert spec["restartPolicy"]["enum"] == ["Always", "Never", "OnFailure"]


def test_v3_holds_only_what_its_group_version_needs() -> None:
    schemas = v3.group_version_document("apps", "v1", ROWS)["components"]["schemas"]
    assert "io.k8s.api.core.v1.PodSpec" in schemas
    assert "io.k8s.api.autoscaling.v1.Scale" in schemas
    assert "io.k8s.api.core.v1.Node" not in schemas


def test_custom_kind_has_type_metadata_and_a_list() -> None:
    document = v3.group_version_document("example.com", "v1", ROWS, SCHEMAS)
    schemas = document["components"]["schemas"]
    widget = schemas["com.example.v1.Widget"]
    assert set(widget["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert widget["x-kubernetes-group-version-kind"] == [
        {"group": "example.com", "kind": "Widget", "version": "v1"}
    ]
    items = schemas["com.example.v1.WidgetList"]["properties"]["items"]["items"]
    assert items == {"$ref": "#/components/schemas/com.example.v1.Widget"}
    assert "metadata" not in WIDGET_SCHEMA["properties"], "the caller's schema was changed"


def test_custom_kind_without_schema_accepts_anything() -> None:
    document = v3.group_version_document("example.com", "v1", ROWS)
    widget = document["components"]["schemas"]["com.example.v1.Widget"]
    assert widget["x-kubernetes-preserve-unknown-fields"] is True


def test_v2_document_is_closed_and_drops_what_swagger_cannot_say() -> None:
    document = v2.document(ROWS, SCHEMAS)
    known = {f"{definitions.V2_REF}{name}" for name in document["definitions"]}
    known |= {f"#/parameters/{name}" for name in document["parameters"]}
    assert known >= references(document)
    spec = document["definitions"]["com.example.v1.Widget"]["properties"]["spec"]["properties"]
    assert spec["size"] == {"type": "integer", "minimum": 1, "maximum": 9.5}
    assert spec["note"] == {}
    assert spec["port"] == {"x-kubernetes-int-or-string": True}
    patch = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert "fieldValidation" in [item.get("name") for item in patch["parameters"]]


def read(data: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for number, _, value in wire.fields(data):
        found.setdefault(number, []).append(value)
    return found


def named(data: bytes, number: int) -> dict[str, bytes]:
    entries = [read(entry) for entry in read(data)[number]]
    return {entry[1][0].decode(): entry[2][0] for entry in entries}


def test_v2_protobuf_carries_paths_extensions_and_definitions() -> None:
    document = v2.document(ROWS, SCHEMAS)
    message = read(v2.to_protobuf(document))
    assert message[1] == [b"2.0"]
    paths = named(message[8][0], 2)
    assert set(paths) == set(document["paths"])
    patch = read(read(paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"])[8][0])
    assert patch[5] == [b"patchAppsV1NamespacedDeployment"]
    extensions = {
        name: read(value)[2][0]
        for entry in patch[13]
        for name, value in [(read(entry)[1][0].decode(), read(entry)[2][0])]
    }
    assert b'"kind":"Deployment"' in extensions["x-kubernetes-group-version-kind"]
    definition_messages = named(message[9][0], 1)
    assert set(definition_messages) == set(document["definitions"])
    container = read(definition_messages["io.k8s.api.core.v1.Container"])
    assert "ports" in named(container[25][0], 1)
    assert read(container[22][0])[1] == [b"object"]


def paths_of(rows: tuple[Row, ...]) -> set[str]:
    found = operations.resource_paths(rows, definitions.load())
    return {path.path for path in found}


def test_paths_of_one_row() -> None:
    assert paths_of((DEPLOYMENT,)) == {
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/namespaces/{namespace}/deployments",
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status",
    }
    assert "/api/v1/namespaces/{namespace}/pods/{name}/exec" in paths_of((POD,))


def spelled(operation: operations.Operation) -> dict[str, Any]:
    """An operation in the form of the recorded facts."""
    body = operation.method in ("post", "put") and operation.body
    answers = {
        str(code): f"{definitions.V2_REF}{name}" if name else "string"
        for code, name in operation.responses
    }
    return {
        "operationId": operation.operation_id,
        "action": operation.action,
        "gvk": {
            "group": operation.gvk.group,
            "kind": operation.gvk.kind,
            "version": operation.gvk.version,
        },
        "query": [p.name for p in operation.parameters if p.name in ("dryRun", "fieldValidation")],
        "consumes": list(operation.consumes),
        "produces": list(operation.produces),
        "responses": {**answers, "401": None},
        **({"body": f"{definitions.V2_REF}{operation.body}"} if body else {}),
    }


def test_every_operation_is_as_a_real_server_publishes_it() -> None:
    recorded = {
        path: methods
        for path, methods in fact("openapi_paths.json").items()
        # The deprecated watch paths are not published; discovery paths are not resources.
        if not path.endswith("/") and "/watch/" not in path
    }
    ours = operations.resource_paths(recorded_rows(), definitions.load())
    rendered = {
        path.path: {operation.method: spelled(operation) for operation in path.operations}
        for path in ours
    }
    assert rendered == recorded


@pytest.mark.parametrize(
    ("file", "render"),
    [
        ("openapi_v2_definitions_nodesc.json", definitions.Definitions.schema_v2),
        ("openapi_v3_schemas_nodesc.json", definitions.Definitions.schema_v3),
    ],
)
def test_every_schema_is_as_a_real_server_publishes_it(file: str, render: Any) -> None:
    found = definitions.load()
    gvk = "x-kubernetes-group-version-kind"
    for name, recorded in fact(file).items():
        ours = without_descriptions(render(found, name))
        if name.endswith((".DeleteOptions", ".WatchEvent")):
            # These list every group version they are registered in, served or not.
            ours.pop(gvk), recorded.pop(gvk)
        assert ours == recorded, name
