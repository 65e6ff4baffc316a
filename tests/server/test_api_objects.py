"""Create, read, update and delete as a client sees them: codes, bodies, preconditions."""

import asyncio
from typing import Any

import pytest

from kapi.api import errors

CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"


def config_map(name: str = "a", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_create_fills_metadata_and_answers_201(api, namespace):
    answer = await api.admin("POST", CONFIG_MAPS.format(namespace), config_map(k="1"))
    assert answer.status == 201
    meta = answer.body["metadata"]
    assert meta["uid"] and meta["creationTimestamp"] and int(meta["resourceVersion"]) > 0
    assert meta["managedFields"][0]["manager"] == "tester"
    again = await api.admin("POST", CONFIG_MAPS.format(namespace), config_map())
    assert (again.status, again.body["reason"]) == (409, "AlreadyExists")
    assert again.message == 'configmaps "a" already exists'


async def test_generate_name_makes_different_names(api, namespace):
    body = {"metadata": {"generateName": "x-"}}
    names = set()
    for _ in range(5):
        answer = await api.admin("POST", CONFIG_MAPS.format(namespace), body)
        assert answer.status == 201
        names.add(answer.body["metadata"]["name"])
    assert len(names) == 5 and all(name.startswith("x-") for name in names)


async def test_dry_run_stores_nothing(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    answer = await api.admin("POST", path, config_map(), dryRun="All")
    assert answer.status == 201
    assert (await api.admin("GET", f"{path}/a")).status == 404
    await api.admin("POST", path, config_map(k="1"))
    changed = await api.admin("PUT", f"{path}/a", config_map(k="2"), dryRun="All")
    assert changed.body["data"] == {"k": "2"}
    assert (await api.admin("GET", f"{path}/a")).body["data"] == {"k": "1"}


async def test_update_checks_the_resource_version(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    created = (await api.admin("POST", path, config_map(k="1"))).body
    await api.admin("PUT", f"{path}/a", {**created, "data": {"k": "2"}})
    stale = await api.admin("PUT", f"{path}/a", {**created, "data": {"k": "3"}})
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in stale.message
    unconditional = await api.admin("PUT", f"{path}/a", config_map(k="4"))
    assert (unconditional.status, unconditional.body["data"]) == (200, {"k": "4"})


async def test_an_update_that_changes_nothing_keeps_the_version(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    created = (await api.admin("POST", path, config_map(k="1"))).body
    same = (await api.admin("PUT", f"{path}/a", created)).body
    assert same["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_delete_answers_with_uid_and_removes(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    created = (await api.admin("POST", path, config_map())).body
    answer = await api.admin("DELETE", f"{path}/a")
    assert answer.status == 200
    assert answer.body["status"] == "Success"
    assert answer.body["details"]["uid"] == created["metadata"]["uid"]
    assert (await api.admin("GET", f"{path}/a")).status == 404
    assert (await api.admin("DELETE", f"{path}/a")).status == 404


async def test_delete_preconditions(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    await api.admin("POST", path, config_map())
    wrong = await api.admin("DELETE", f"{path}/a", {"preconditions": {"uid": "other"}})
    assert (wrong.status, wrong.body["reason"]) == (409, "Conflict")


async def test_finalizers_hold_an_object_until_they_are_gone(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    body = config_map()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await api.admin("POST", path, body)
    held = await api.admin("DELETE", f"{path}/a")
    assert held.body["metadata"]["deletionTimestamp"]
    merge = {"content-type": "application/merge-patch+json"}
    freed = await api.admin("PATCH", f"{path}/a", {"metadata": {"finalizers": None}}, merge)
    assert freed.status == 200
    assert (await api.admin("GET", f"{path}/a")).status == 404


async def test_delete_collection_takes_what_the_selector_matches(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        body = config_map(name)
        body["metadata"]["labels"] = {"g": label}
        await api.admin("POST", path, body)
    answer = await api.admin("DELETE", path, labelSelector="g=x")
    assert answer.status == 200
    left = await api.admin("GET", path)
    assert [item["metadata"]["name"] for item in left.body["items"]] == ["c"]


async def test_status_is_written_only_through_its_subresource(api, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    labels = {"app": "web"}
    body = {
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
        "status": {"replicas": 7},
    }
    created = (await api.admin("POST", path, body)).body
    assert not created["status"].get("replicas")
    assert created["metadata"]["generation"] == 1
    merge = {"content-type": "application/merge-patch+json"}
    through_main = await api.admin("PATCH", f"{path}/web", {"status": {"replicas": 7}}, merge)
    assert not through_main.body["status"].get("replicas")
    patch = {"status": {"replicas": 7}, "spec": {"replicas": 9}}
    through_status = await api.admin("PATCH", f"{path}/web/status", patch, merge)
    assert through_status.body["status"]["replicas"] == 7
    assert through_status.body["spec"]["replicas"] == 1
    assert through_status.body["metadata"]["generation"] == 1


async def test_scale_is_a_view_of_the_object(api, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    await api.admin("POST", path, {"metadata": {"name": "web"}, "spec": spec})
    scale = (await api.admin("GET", f"{path}/web/scale")).body
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    assert scale["status"]["selector"] == "app=web"
    scale["spec"]["replicas"] = 5
    # kubectl sends this PUT without a Content-Type.
    answer = await api.admin("PUT", f"{path}/web/scale", scale, {"content-type": ""})
    assert answer.body["spec"] == {"replicas": 5}
    assert (await api.admin("GET", f"{path}/web")).body["spec"]["replicas"] == 5


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b"{", 400, "unexpected end of JSON input"),
        (b'{"metadata":{"name":"a"},"data":{"k":1}}', 400, "cannot unmarshal number"),
        (b'{"kind":"Secret","apiVersion":"v1"}', 400, "unknown conversion"),
        (b'{"metadata":{}}', 422, "name or generateName is required"),
        (b'{"metadata":{"name":"A_b"}}', 422, "Invalid value"),
    ],
)
async def test_bad_bodies_get_upstreams_status(api, namespace, body, code, text):
    answer = await api.admin("POST", CONFIG_MAPS.format(namespace), body)
    assert answer.status == code
    assert text in answer.message


async def test_a_body_over_the_limit_is_413(api, namespace):
    body = b'{"metadata":{"name":"big"},"data":{"k":"%b"}}' % (b"x" * (3 * 1024 * 1024))
    answer = await api.admin("POST", CONFIG_MAPS.format(namespace), body)
    assert (answer.status, answer.body["reason"]) == (413, "RequestEntityTooLarge")


async def test_field_validation_decides_about_unknown_fields(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    body = {**config_map(), "dataa": {}}
    strict = await api.admin("POST", path, body, fieldValidation="Strict")
    assert strict.status == 400
    assert 'strict decoding error: unknown field "dataa"' in strict.message
    warned = await api.admin("POST", path, body, fieldValidation="Warn", dryRun="All")
    assert warned.headers["warning"] == '299 - "unknown field \\"dataa\\""'
    ignored = await api.admin("POST", path, body, fieldValidation="Ignore", dryRun="All")
    assert "warning" not in ignored.headers
    assert "dataa" not in ignored.body


async def test_nothing_is_created_where_there_is_no_namespace(api):
    answer = await api.admin("POST", CONFIG_MAPS.format("nowhere"), config_map())
    assert (answer.status, answer.message) == (404, 'namespaces "nowhere" not found')


async def test_unknown_paths_and_methods(api, namespace):
    assert (await api.admin("GET", f"/api/v1/namespaces/{namespace}/nopes")).status == 404
    assert (await api.admin("GET", "/apis/nope.io/v1/things")).body == "404 page not found\n"
    assert (await api.admin("POST", "/api/v1/configmaps", config_map())).status == 405
    assert (await api.admin("PUT", CONFIG_MAPS.format(namespace), config_map())).status == 405


async def test_the_option_for_unreadable_objects_stands_alone(api, namespace):
    path = CONFIG_MAPS.format(namespace)
    await api.admin("POST", path, config_map())
    option = {"ignoreStoreReadErrorWithClusterBreakingPotential": True}
    combined = await api.admin("DELETE", f"{path}/a", {**option, "gracePeriodSeconds": 0})
    assert combined.status == 422
    assert "cannot be set together with .gracePeriodSeconds" in combined.message
    collection = await api.admin("DELETE", path, option)
    assert collection.status == 422
    assert "is not allowed with DELETECOLLECTION" in collection.message
    assert (await api.admin("DELETE", f"{path}/a", option)).status == 200


async def test_a_collection_is_deleted_no_further_than_to_a_refusal(api, namespace, monkeypatch):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(80):
        body = {"metadata": {"name": f"m{number:02}"}}
        assert (await api.admin("POST", path, body)).status == 201
    store = api.server.api.store_of("configmaps")
    delete = type(store).delete

    async def refusing(self, ctx, name, options):
        if name == "m00":
            raise errors.Conflict("not this one")
        return await delete(self, ctx, name, options)

    monkeypatch.setattr(type(store), "delete", refusing)
    assert (await api.admin("DELETE", path)).status == 409
    left = len((await api.admin("GET", path)).body["items"])
    assert left > 40
    await asyncio.sleep(0.1)
    assert len((await api.admin("GET", path)).body["items"]) == left
