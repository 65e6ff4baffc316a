"""Custom kinds come, change and go while the server runs."""

import asyncio
import copy
from typing import Any

import orjson
import pytest

from kapi import env
from kapi.api.user import GROUP_MASTERS, UserInfo
from kapi.client.in_process import InProcessTransport
from kapi.server.api_server import ApiServer

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "shop.example.com"
NAME = f"widgets.{GROUP}"
MERGE = {"content-type": "application/merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}
TABLE = {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}

SPEC = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 1, "default": 3},
        "color": {"type": "string"},
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
            },
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    },
    "x-kubernetes-validations": [{"rule": "self.size != 13", "message": "unlucky"}],
}
STATUS = {"type": "object", "properties": {"size": {"type": "integer"}}}


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": copy.deepcopy(schema)},
        **more,
    }


def definition(
    *versions: dict[str, Any], plural: str = "widgets", kind: str = "Widget", **spec: Any
):
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": list(versions) or [version()],
            **spec,
        },
    }


async def eventually(look, wanted=True):
    async with asyncio.timeout(5):
        while True:
            if await look() == wanted:
                return
            await asyncio.sleep(0.01)


async def establish(api, body):
    name = body["metadata"]["name"]
    answer = await api.admin("POST", DEFINITIONS, body)
    assert answer.status == 201, answer.body

    async def established():
        found = (await api.admin("GET", f"{DEFINITIONS}/{name}")).body
        conditions = found["status"].get("conditions") or ()
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    await eventually(established)


def widgets(namespace, name="", version="v1"):
    return f"/apis/{GROUP}/{version}/namespaces/{namespace}/widgets{'/' if name else ''}{name}"


def widget(name="a", version="v1", **spec):
    return {
        "apiVersion": f"{GROUP}/{version}",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": spec,
    }


async def create(api, namespace, *args, **spec):
    body = widget(*args, **spec)
    served = body["apiVersion"].rpartition("/")[2]
    return await api.admin("POST", widgets(namespace, version=served), body)


@pytest.fixture
async def served(api, namespace):
    """A namespace, with widgets served."""
    await establish(api, definition())
    return namespace


async def test_once_established_everything_knows_the_kind(api, served):
    groups = (await api.admin("GET", "/apis")).body["groups"]
    assert GROUP in [group["name"] for group in groups]
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    aggregated = (await api.admin("GET", "/apis", headers=accept)).body["items"]
    assert GROUP in [item["metadata"]["name"] for item in aggregated]
    (row,) = (await api.admin("GET", f"/apis/{GROUP}/v1")).body["resources"]
    assert (row["name"], row["kind"], row["namespaced"]) == ("widgets", "Widget", True)
    index = (await api.admin("GET", "/openapi/v3")).body["paths"]
    url = index[f"apis/{GROUP}/v1"]["serverRelativeURL"]
    document = (await api.admin("GET", url.partition("?")[0])).body
    schema = document["components"]["schemas"]["com.example.shop.v1.Widget"]
    assert schema["properties"]["spec"]["properties"]["size"]["minimum"] == 1
    assert (await create(api, served, size=5)).status == 201


async def test_objects_are_defaulted_pruned_and_judged(api, served):
    answer = await create(api, served, zzz=1)
    assert answer.body["spec"] == {"size": 3}
    assert 'unknown field \\"spec.zzz\\"' in answer.headers["warning"]
    assert answer.body["metadata"]["generation"] == 1
    answer = await create(api, served, "b", size=0)
    assert (answer.status, answer.body["details"]["causes"][0]["field"]) == (422, "spec.size")
    answer = await create(api, served, "b", size=13)
    assert answer.message.endswith("spec: Invalid value: unlucky")


async def test_patches_but_no_strategic_ones(api, served):
    await create(api, served, size=1)
    path = widgets(served, "a")
    answer = await api.admin("PATCH", path, {"spec": {"size": 2}}, MERGE)
    assert (answer.body["spec"]["size"], answer.body["metadata"]["generation"]) == (2, 2)
    strategic = {"content-type": "application/strategic-merge-patch+json"}
    assert (await api.admin("PATCH", path, {}, strategic)).status == 415


async def test_apply_merges_lists_by_their_keys(api, served):
    def applied(count):
        return orjson.dumps(widget(parts=[{"name": f"p{count}", "count": count}]))

    path = widgets(served, "a")
    for manager, count in (("one", 1), ("two", 2)):
        answer = await api.admin("PATCH", path, applied(count), APPLY, fieldManager=manager)
        assert answer.status in (200, 201)
    assert [part["name"] for part in answer.body["spec"]["parts"]] == ["p1", "p2"]
    answer = await api.admin("PATCH", path, applied(9), APPLY, fieldManager="one")
    assert [part["name"] for part in answer.body["spec"]["parts"]] == ["p2", "p9"]


async def test_status_is_a_field_unless_it_is_a_subresource(api, namespace):
    await establish(api, definition(version(subresources={"status": {}})))
    body = {**widget(size=1), "status": {"size": 7}}
    answer = await api.admin("POST", widgets(namespace), body)
    assert "status" not in answer.body
    path = widgets(namespace, "a")
    answer = await api.admin("PATCH", f"{path}/status", {"status": {"size": 7}}, MERGE)
    assert (answer.body["status"], answer.body["metadata"]["generation"]) == ({"size": 7}, 1)
    answer = await api.admin("PATCH", f"{path}/status", {"status": {"size": "x"}}, MERGE)
    assert answer.body["details"]["causes"][0]["field"] == "status.size"


async def test_a_missing_subresource_is_not_found(api, served):
    await create(api, served, size=1)
    answer = await api.admin("GET", f"{widgets(served, 'a')}/status")
    assert (answer.status, answer.message) == (404, f'{NAME} "a" not found')


async def test_scale_reads_and_writes_the_paths_of_the_definition(api, namespace):
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    await establish(api, definition(version(subresources={"status": {}, "scale": scale})))
    await create(api, namespace, size=2)
    path = f"{widgets(namespace, 'a')}/scale"
    assert (await api.admin("GET", path)).body["spec"] == {"replicas": 2}
    await api.admin("PATCH", path, {"spec": {"replicas": 4}}, MERGE)
    assert (await api.admin("GET", widgets(namespace, "a"))).body["spec"]["size"] == 4


async def test_columns_and_selectable_fields(api, namespace):
    columns = [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}]
    fields = [{"jsonPath": ".spec.color"}]
    extra = version(additionalPrinterColumns=columns, selectableFields=fields)
    await establish(api, definition(extra))
    await create(api, namespace, "a", color="red")
    await create(api, namespace, "b", color="blue")
    table = (await api.admin("GET", widgets(namespace), headers=TABLE)).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Color"]
    assert [row["cells"] for row in table["rows"]] == [["a", "red"], ["b", "blue"]]
    found = await api.admin("GET", widgets(namespace), fieldSelector="spec.color=blue")
    assert [item["metadata"]["name"] for item in found.body["items"]] == ["b"]
    answer = await api.admin("GET", widgets(namespace), fieldSelector="spec.size=3")
    assert answer.message == "field label not supported: spec.size"


async def test_one_object_in_several_versions(api, namespace):
    old = version("v1beta1", storage=False, deprecated=True)
    await establish(api, definition(version(), old))
    answer = await create(api, namespace, "a", "v1beta1", size=4)
    assert (answer.status, answer.body["apiVersion"]) == (201, f"{GROUP}/v1beta1")
    assert answer.headers["warning"] == (
        f'299 - "{GROUP}/v1beta1 Widget is deprecated; use {GROUP}/v1 Widget"'
    )
    assert (await api.admin("GET", widgets(namespace, "a"))).body["apiVersion"] == f"{GROUP}/v1"
    listed = (await api.admin("GET", widgets(namespace, version="v1beta1"))).body
    assert [item["apiVersion"] for item in listed["items"]] == [f"{GROUP}/v1beta1"]
    group = (await api.admin("GET", f"/apis/{GROUP}")).body
    assert [item["version"] for item in group["versions"]] == ["v1", "v1beta1"]


async def test_a_new_storage_version_reads_what_the_old_one_wrote(api, served):
    await create(api, served, size=4)
    switched = {"spec": {"versions": [version(storage=False), version("v2")]}}
    answer = await api.admin("PATCH", f"{DEFINITIONS}/{NAME}", switched, MERGE)
    assert answer.body["status"]["storedVersions"] == ["v1", "v2"]
    path = widgets(served, "a", "v2")

    async def found():
        return (await api.admin("GET", path)).status

    await eventually(found, 200)
    assert (await api.admin("GET", path)).body["apiVersion"] == f"{GROUP}/v2"
    assert (await api.admin("GET", widgets(served, "a"))).body["apiVersion"] == f"{GROUP}/v1"
    answer = await api.admin(
        "PATCH", f"{DEFINITIONS}/{NAME}", {"spec": {"versions": [version("v2")]}}, MERGE
    )
    assert answer.body["details"]["causes"][0]["field"] == "status.storedVersions[0]"


async def test_new_defaults_hold_for_what_is_stored_already(api, served):
    await create(api, served, size=4)
    changed = version()
    spec = changed["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["color"]["default"] = "green"
    await api.admin("PATCH", f"{DEFINITIONS}/{NAME}", {"spec": {"versions": [changed]}}, MERGE)

    async def color():
        return (await api.admin("GET", widgets(served, "a"))).body["spec"].get("color")

    await eventually(color, "green")


async def test_a_change_of_the_definition_ends_watches(api, served):
    path = widgets(served)
    watching = env.spawn(api.admin("GET", path, watch="1"), "watch")
    await asyncio.sleep(0.05)
    assert not watching.done()
    changed = {"spec": {"names": {"shortNames": ["wd"]}}}
    await api.admin("PATCH", f"{DEFINITIONS}/{NAME}", changed, MERGE)
    async with asyncio.timeout(5):
        assert (await watching).status == 200


async def test_finalizers_may_be_without_a_domain_but_that_is_warned_of(api, served):
    body = widget(size=1)
    body["metadata"]["finalizers"] = ["mine", "example.com/mine"]
    answer = await api.admin("POST", widgets(served), body)
    assert answer.status == 201
    assert answer.headers["warning"].startswith(
        '299 - "metadata.finalizers: \\"mine\\": prefer a domain-qualified finalizer name'
    )


async def test_deleting_the_definition_deletes_the_objects_first(api, served):
    await create(api, served, size=4)
    held = widget("held", size=5)
    held["metadata"]["finalizers"] = ["example.com/wait"]
    assert (await api.admin("POST", widgets(served), held)).status == 201
    answer = await api.admin("DELETE", f"{DEFINITIONS}/{NAME}")
    assert answer.body["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]

    async def first_is_gone():
        return (await api.admin("GET", widgets(served, "a"))).status

    await eventually(first_is_gone, 404)
    refused = await create(api, served, "late", size=1)
    assert (refused.status, refused.body["reason"]) == (405, "MethodNotAllowed")
    found = (await api.admin("GET", f"{DEFINITIONS}/{NAME}")).body
    reasons = {c["type"]: c["reason"] for c in found["status"]["conditions"]}
    assert reasons["Terminating"] == "InstanceDeletionInProgress"
    answer = await api.admin(
        "PATCH", widgets(served, "held"), {"metadata": {"finalizers": None}}, MERGE
    )
    assert answer.status == 200

    async def definition_is_gone():
        return (await api.admin("GET", f"{DEFINITIONS}/{NAME}")).status

    await eventually(definition_is_gone, 404)

    async def path_is_gone():
        answer = await api.admin("GET", widgets(served))
        return (answer.status, answer.body)

    await eventually(path_is_gone, (404, "404 page not found\n"))
    groups = (await api.admin("GET", "/apis")).body["groups"]
    assert GROUP not in [group["name"] for group in groups]


async def test_a_definition_may_come_back_without_its_past(api, served):
    await create(api, served, size=4)
    await api.admin("DELETE", f"{DEFINITIONS}/{NAME}")

    async def definition_is_gone():
        return (await api.admin("GET", f"{DEFINITIONS}/{NAME}")).status

    await eventually(definition_is_gone, 404)
    await establish(api, definition())
    assert (await api.admin("GET", widgets(served))).body["items"] == []


async def test_a_second_definition_cannot_take_a_kind(api, served):
    await api.admin("POST", DEFINITIONS, definition(plural="others"))

    async def why():
        found = (await api.admin("GET", f"{DEFINITIONS}/others.{GROUP}")).body
        return [c["reason"] for c in found["status"].get("conditions") or ()]

    await eventually(why, ["ListKindConflict", "NotAccepted"])
    await api.admin("DELETE", f"{DEFINITIONS}/{NAME}")
    await eventually(why, ["NoConflicts", "InitialNamesAccepted"])


async def test_conversion_by_webhook_is_refused_aloud(api, namespace):
    conversion = {
        "strategy": "Webhook",
        "webhook": {
            "conversionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://example.com/convert"},
        },
    }
    await establish(api, definition(version(), version("v2", storage=False), conversion=conversion))
    found = (await api.admin("GET", f"{DEFINITIONS}/{NAME}")).body["status"]["conditions"]
    (told,) = [c for c in found if c["type"] == "ConversionWebhookSupported"]
    assert (told["status"], told["reason"]) == ("False", "NotBuilt")
    assert (await create(api, namespace, size=1)).status == 201
    assert (await api.admin("GET", widgets(namespace, version="v2"))).status == 404


async def test_a_server_that_starts_serves_what_was_defined_before(api, served):
    await create(api, served, size=4)
    other = ApiServer(api.server._store, api.server._config)
    await other.start()
    try:
        transport = InProcessTransport(other.app, UserInfo("admin", groups=(GROUP_MASTERS,)))
        answer = await transport.request("GET", widgets(served, "a"))
        assert orjson.loads(answer.body)["spec"] == {"size": 4}
        body = orjson.dumps(widget("b", size=1))
        headers = {"content-type": "application/json"}
        answer = await transport.request("POST", widgets(served), body=body, headers=headers)
        assert answer.status == 201
    finally:
        await other.stop()
    assert (await api.admin("GET", widgets(served, "b"))).status == 200


async def test_defaults_belong_to_whoever_creates_the_object(api, namespace):
    whole = version()
    whole["schema"]["openAPIV3Schema"]["properties"]["spec"]["default"] = {}
    await establish(api, definition(whole))
    body = widget()
    del body["spec"]
    answer = await api.admin("POST", widgets(namespace), body)
    assert answer.body["spec"] == {"size": 3}
    (books,) = answer.body["metadata"]["managedFields"]
    assert books["fieldsV1"] == {"f:spec": {".": {}, "f:size": {}}}


async def test_a_custom_kind_has_no_protobuf_form(api, served):
    headers = {"content-type": "application/vnd.kubernetes.protobuf"}
    answer = await api.admin("POST", widgets(served), b"k8s\x00", headers)
    assert answer.status == 415


async def test_apply_refuses_fields_the_schema_does_not_have(api, served):
    body = orjson.dumps(widget(zzz=1))
    answer = await api.admin("PATCH", widgets(served, "a"), body, APPLY, fieldManager="m")
    assert answer.message.endswith(".spec.zzz: field not declared in schema")


async def test_a_definition_that_became_invalid_can_still_go(api, served):
    path = f"{DEFINITIONS}/{NAME}"
    answer = await api.admin(
        "PATCH", f"{path}/status", {"status": {"storedVersions": ["zz"]}}, MERGE
    )
    assert answer.status == 200
    await api.admin("DELETE", path)

    async def definition_is_gone():
        return (await api.admin("GET", path)).status

    await eventually(definition_is_gone, 404)


async def test_a_built_in_kind_cannot_be_replaced(api, namespace):
    body = definition(plural="leases", kind="Lease")
    body["metadata"] = {
        "name": "leases.coordination.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
    }
    body["spec"]["group"] = "coordination.k8s.io"
    await establish(api, body)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    lease = {"metadata": {"name": "a"}, "spec": {"holderIdentity": "me"}}
    assert (await api.admin("POST", path, lease)).body["spec"] == {"holderIdentity": "me"}
    await api.admin("DELETE", f"{DEFINITIONS}/leases.coordination.k8s.io")

    async def definition_is_gone():
        return (await api.admin("GET", f"{DEFINITIONS}/leases.coordination.k8s.io")).status

    await eventually(definition_is_gone, 404)
    assert (await api.admin("GET", f"{path}/a")).status == 200
