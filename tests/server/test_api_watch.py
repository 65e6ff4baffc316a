"""Watches: what a client sees, in order, under its selector, and how a stream ends."""

import asyncio

import orjson
import pytest

from kapi import env
from kapi.api.errors import Expired
from kapi.client.client import CONFIG_MAPS
from kapi.storage.watch_cache import RECENT_EVENTS_MAX

LEASE = b'{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"x"}}'


async def collect(client, namespace, count, **params):
    """The first `count` events of a watch as (type, name) pairs."""
    seen = []
    async with asyncio.timeout(5):
        stream = client.watch(CONFIG_MAPS, namespace, **params)
        async for event in stream:
            seen.append(event)
            if len(seen) == count:
                await stream.aclose()
                break
    return seen


def short(events):
    return [(event.type, event.object["metadata"].get("name", "")) for event in events]


async def put(api, namespace, name, **labels):
    body = {"metadata": {"name": name, "labels": labels}}
    return await api.client.create(CONFIG_MAPS, namespace, body)


async def relabel(api, namespace, name, **labels):
    return await api.client.patch(CONFIG_MAPS, namespace, name, {"metadata": {"labels": labels}})


async def test_without_a_version_the_present_state_comes_first(api, namespace):
    await put(api, namespace, "a")
    task = env.spawn(collect(api.client, namespace, 2), "watch")
    await asyncio.sleep(0.05)
    await put(api, namespace, "b")
    assert short(await task) == [("ADDED", "a"), ("ADDED", "b")]


async def test_from_a_version_only_what_follows(api, namespace):
    version = (await put(api, namespace, "a"))["metadata"]["resourceVersion"]
    await put(api, namespace, "b")
    await relabel(api, namespace, "a", x="1")
    await api.client.delete(CONFIG_MAPS, namespace, "b")
    events = await collect(api.client, namespace, 3, resourceVersion=version)
    assert short(events) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    versions = [int(event.object["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(versions) and len(set(versions)) == 3


async def test_watch_list_ends_the_state_with_its_bookmark(api, namespace):
    await put(api, namespace, "a")
    params = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    events = await collect(api.client, namespace, 2, **params)
    assert short(events) == [("ADDED", "a"), ("BOOKMARK", "")]
    mark = events[1].object
    assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (mark["kind"], mark["apiVersion"]) == ("ConfigMap", "v1")


async def test_leaving_and_entering_a_selector(api, namespace):
    version = (await put(api, namespace, "a", g="1"))["metadata"]["resourceVersion"]
    await relabel(api, namespace, "a", g="2")
    await relabel(api, namespace, "a", g="1")
    events = await collect(api.client, namespace, 2, resourceVersion=version, labelSelector="g=1")
    assert short(events) == [("DELETED", "a"), ("ADDED", "a")]
    assert events[0].object["metadata"]["labels"] == {"g": "1"}


async def test_two_watchers_with_different_selectors_share_no_lines(api, namespace):
    version = (await put(api, namespace, "a", g="1"))["metadata"]["resourceVersion"]
    await relabel(api, namespace, "a", g="2")
    one = await collect(api.client, namespace, 1, resourceVersion=version, labelSelector="g=1")
    two = await collect(api.client, namespace, 1, resourceVersion=version, labelSelector="g=2")
    everything = await collect(api.client, namespace, 1, resourceVersion=version)
    assert [event.type for event in (*one, *two, *everything)] == [
        "DELETED",
        "ADDED",
        "MODIFIED",
    ]


async def test_a_version_older_than_history_ends_with_410(api, namespace):
    """The server's memory of recent events is short here, so it turns to the store's history."""
    version = (await put(api, namespace, "a"))["metadata"]["resourceVersion"]
    for number in range(RECENT_EVENTS_MAX + 10):
        await api.server.api.backing.store.create(f"/registry/leases/x/{number}", LEASE)
    await put(api, namespace, "b")
    store = api.server.api.backing.store
    await store.compact(await store.current_revision())
    with pytest.raises(Expired):
        await collect(api.client, namespace, 1, resourceVersion=version)


async def test_a_timeout_ends_the_stream_cleanly(api, namespace):
    answer = await api.admin(
        "GET",
        f"/api/v1/namespaces/{namespace}/configmaps",
        watch="true",
        timeoutSeconds="1",
    )
    assert answer.status == 200


async def test_tables_in_a_watch_define_their_columns_once(api, namespace):
    await put(api, namespace, "a")
    await put(api, namespace, "b")
    transport = api.admin.transport
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    opened = transport.stream(
        "GET",
        f"/api/v1/namespaces/{namespace}/configmaps",
        params={"watch": "true", "timeoutSeconds": "1"},
        headers=accept,
    )
    async with opened as (status, chunks):
        body = b"".join([chunk async for chunk in chunks])
    tables = [orjson.loads(line)["object"] for line in body.splitlines()]
    assert status == 200 and len(tables) == 2
    assert tables[0]["columnDefinitions"] and not tables[1]["columnDefinitions"]
    assert [table["rows"][0]["cells"][0] for table in tables] == ["a", "b"]


@pytest.mark.parametrize(
    "params",
    [
        {"sendInitialEvents": "true"},
        {"resourceVersionMatch": "Exact", "resourceVersion": "1"},
    ],
)
async def test_contradicting_parameters_are_422(api, namespace, params):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    answer = await api.admin("GET", path, watch="true", **params)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
