"""The event recorder: counting, aggregation, the spam filter, and not standing in the way."""

import asyncio

import pytest

from kapi import env
from kapi.api.errors import resource_not_found
from kapi.client.client import STRATEGIC_MERGE_PATCH
from kapi.client.events import NORMAL, WARNING, EventRecorder

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "ns", "uid": "u1", "resourceVersion": "5"},
}


class Server:
    """Keeps events as a server would."""

    def __init__(self):
        self.events = {}
        self.lose = 0
        self.patches = 0

    async def create(self, resource, namespace, event):
        if self.lose:
            self.lose -= 1
            raise ConnectionError("down")
        self.events[event["metadata"]["name"]] = dict(event)
        return event

    async def patch(self, resource, namespace, name, patch, *, content_type):
        assert content_type == STRATEGIC_MERGE_PATCH
        self.patches += 1
        if name not in self.events:
            raise resource_not_found("events", "", name)
        self.events[name].update(patch)
        return self.events[name]


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def recorder(server):
    return EventRecorder(server, "tester", host="here")


async def test_an_event_has_all_its_fields(server, recorder):
    recorder.event(POD, NORMAL, "Started", "it runs")
    await recorder.flush()
    [event] = server.events.values()
    assert event["metadata"]["namespace"] == "ns"
    assert event["metadata"]["name"].startswith("p.")
    int(event["metadata"]["name"].split(".")[1], 16)
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "ns",
        "name": "p",
        "uid": "u1",
        "apiVersion": "v1",
        "resourceVersion": "5",
    }
    assert event["source"] == {"component": "tester", "host": "here"}
    assert (event["type"], event["reason"], event["count"]) == ("Normal", "Started", 1)


async def test_the_same_event_again_raises_the_count(server, recorder):
    for _ in range(3):
        recorder.event(POD, WARNING, "BackOff", "waiting")
    await recorder.flush()
    [event] = server.events.values()
    assert event["count"] == 3


async def test_an_event_that_expired_begins_anew(server, recorder):
    recorder.event(POD, WARNING, "BackOff", "waiting")
    await recorder.flush()
    server.events.clear()
    recorder.event(POD, WARNING, "BackOff", "waiting")
    await recorder.flush()
    [event] = server.events.values()
    assert event["count"] == 1


async def test_many_that_differ_only_in_text_become_one(server, recorder):
    for number in range(15):
        recorder.event(POD, WARNING, "Failed", f"reason {number}")
    await recorder.flush()
    combined = [
        e
        for e in server.events.values()
        if e["message"].startswith("(combined from similar events): ")
    ]
    assert len(combined) == 1
    assert combined[0]["count"] == 6
    assert combined[0]["message"].endswith("reason 14")
    assert len(server.events) == 10


async def test_one_object_cannot_flood(server, recorder):
    for number in range(60):
        recorder.event(POD, NORMAL, f"Reason{number}", "x")
    await recorder.flush()
    assert len(server.events) == 25
    assert recorder.dropped == 35
    other = {**POD, "metadata": {**POD["metadata"], "name": "q", "uid": "u2"}}
    recorder.event(other, NORMAL, "Fine", "x")
    await recorder.flush()
    assert len(server.events) == 26


async def test_cluster_scoped_objects_report_in_default(server, recorder):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    recorder.event(node, NORMAL, "Ready", "x")
    await recorder.flush()
    [event] = server.events.values()
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]


async def test_a_lost_server_is_tried_again(server, recorder, monkeypatch):
    async def at_once(seconds):
        return None

    monkeypatch.setattr("kapi.client.events.env.sleep", at_once)
    server.lose = 2
    recorder.event(POD, NORMAL, "Started", "x")
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(server.events) == 1
    assert recorder.dropped == 0


async def test_a_full_queue_drops_and_counts(server, recorder):
    for number in range(1100):
        recorder.event(POD, NORMAL, "Flood", str(number))
    assert recorder.dropped == 100
    await recorder.close()


async def test_names_differ_even_under_a_clock_that_stands_still(server, recorder, monkeypatch):
    moment = env.now()
    monkeypatch.setattr("kapi.client.events.env.now", lambda: moment)
    for number in range(9):
        recorder.event(POD, NORMAL, "Same", f"moment {number}")
    await recorder.flush()
    assert len(server.events) == 9
