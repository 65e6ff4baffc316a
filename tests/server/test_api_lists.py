"""Lists: selectors, pages, versions, tables."""

import pytest

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
async def five(api, namespace):
    """Five ConfigMaps, a to e, with a label each."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "abcde":
        body = {"metadata": {"name": name, "labels": {"n": name, "odd": str(name in "ace")}}}
        assert (await api.admin("POST", path, body)).status == 201
    return path


def names(answer):
    return [item["metadata"]["name"] for item in answer.body["items"]]


async def test_pages_show_every_object_once_and_the_state_of_their_beginning(api, five):
    first = await api.admin("GET", five, limit="2")
    assert names(first) == ["a", "b"]
    assert first.body["metadata"]["remainingItemCount"] == 3
    await api.admin("POST", five, {"metadata": {"name": "bb"}})
    await api.admin("DELETE", f"{five}/d")
    token = first.body["metadata"]["continue"]
    second = await api.admin("GET", five, **{"limit": "2", "continue": token})
    token = second.body["metadata"]["continue"]
    third = await api.admin("GET", five, **{"limit": "2", "continue": token})
    assert names(second) + names(third) == ["c", "d", "e"]
    assert "continue" not in third.body["metadata"]
    versions = {page.body["metadata"]["resourceVersion"] for page in (first, second, third)}
    assert len(versions) == 1


async def test_an_expired_token_gets_410_and_a_way_on(api, five):
    first = await api.admin("GET", five, limit="2")
    store = api.server.api.backing.store
    await api.admin("POST", five, {"metadata": {"name": "z"}})
    await store.compact(await store.current_revision())
    token = first.body["metadata"]["continue"]
    expired = await api.admin("GET", five, **{"limit": "9", "continue": token})
    assert (expired.status, expired.body["reason"]) == (410, "Expired")
    on = await api.admin(
        "GET", five, **{"limit": "9", "continue": expired.body["metadata"]["continue"]}
    )
    assert names(on) == ["c", "d", "e", "z"]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("n=a", "a"),
        ("n in (a,b),odd=True", "a"),
        ("n notin (a,b)", "cde"),
        ("!missing", "abcde"),
        ("missing", ""),
        ("odd!=True", "bd"),
    ],
)
async def test_label_selectors(api, five, selector, expected):
    assert "".join(names(await api.admin("GET", five, labelSelector=selector))) == expected


async def test_bad_selectors_are_400(api, five):
    assert (await api.admin("GET", five, labelSelector="a in (")).status == 400
    assert (await api.admin("GET", five, fieldSelector="data.k=1")).status == 400
    assert (await api.admin("GET", five, fieldSelector="nonsense")).status == 400
    assert (await api.admin("GET", five, limit="x")).status == 400
    assert (await api.admin("GET", five, resourceVersion="x")).status == 400


async def test_field_selectors(api, five):
    assert names(await api.admin("GET", five, fieldSelector="metadata.name=c")) == ["c"]
    answer = await api.admin("GET", five, fieldSelector="metadata.name!=c")
    assert names(answer) == ["a", "b", "d", "e"]


async def test_reading_the_past_and_the_future(api, five):
    before = (await api.admin("GET", five)).body["metadata"]["resourceVersion"]
    await api.admin("DELETE", f"{five}/a")
    past = await api.admin("GET", five, resourceVersion=before, resourceVersionMatch="Exact")
    assert names(past) == ["a", "b", "c", "d", "e"]
    future = await api.admin("GET", five, resourceVersion="999999999")
    assert future.status == 504
    assert future.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_tables_carry_columns_rows_and_metadata(api, five):
    answer = await api.admin("GET", five, headers={"accept": TABLE})
    assert answer.body["kind"] == "Table"
    assert [column["name"] for column in answer.body["columnDefinitions"]] == [
        "Name",
        "Data",
        "Age",
    ]
    row = answer.body["rows"][0]
    assert row["cells"][:2] == ["a", 0]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["labels"]["n"] == "a"


async def test_partial_metadata_leaves_the_content_out(api, five):
    answer = await api.admin("GET", five, headers={"accept": PARTIAL})
    assert answer.body["kind"] == "PartialObjectMetadataList"
    assert "data" not in answer.body["items"][0]


async def test_items_of_a_list_leave_kind_to_the_list(api, five):
    answer = await api.admin("GET", five)
    assert answer.body["kind"] == "ConfigMapList"
    assert "kind" not in answer.body["items"][0]


async def test_yaml_is_served_on_request(api, five):
    answer = await api.admin("GET", f"{five}/a", headers={"accept": "application/yaml"})
    assert answer.headers["content-type"] == "application/yaml"
    assert "kind: ConfigMap" in answer.body


async def test_large_answers_are_compressed_for_clients_on_other_machines(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {"metadata": {"name": "big"}, "data": {"k": "x" * 200_000}}
    await api.admin("POST", path, body)
    sizes = {}
    for client in ("127.0.0.1", "192.0.2.7"):
        sent = []

        async def send(message, sent=sent):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b""}

        scope = {
            "type": "http",
            "method": "GET",
            "path": f"{path}/big",
            "query_string": b"",
            "headers": [(b"accept-encoding", b"gzip")],
            "client": (client, 1),
            "state": {"user": api.admin.transport._user},
        }
        await api.server.app(scope, receive, send)
        headers = dict(sent[0]["headers"])
        sizes[client] = len(sent[1]["body"])
        assert (headers.get(b"content-encoding") == b"gzip") == (client != "127.0.0.1")
        assert int(headers[b"content-length"]) == sizes[client]
    assert sizes["192.0.2.7"] < sizes["127.0.0.1"] / 10


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"resourceVersion": "\u00b2"}, 400),
        ({"resourceVersion": "9" * 5000}, 400),
        ({"limit": "9" * 400, "resourceVersion": "1", "resourceVersionMatch": "Exact"}, 400),
        ({"limit": "1_0"}, 400),
        ({"timeoutSeconds": "9" * 400}, 400),
        ({"watch": "1", "timeoutSeconds": "9" * 400}, 400),
        ({"continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MWU0MDAsInN0YXJ0IjoiYSJ9"}, 400),
    ],
)
async def test_numbers_that_only_python_would_take_are_the_clients_fault(api, params, code):
    answer = await api.admin("GET", "/api/v1/namespaces/default/configmaps", **params)
    assert answer.status == code, answer.body


@pytest.mark.parametrize("version", ["\u00b2", "9" * 5000])
async def test_a_version_that_is_no_number_is_named_in_the_answer(api, version):
    answer = await api.admin("GET", "/api/v1/namespaces/default", resourceVersion=version)
    assert answer.status == 500
    assert "strconv.ParseUint" in answer.message
