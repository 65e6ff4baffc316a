"""The informer against a scripted server: streamed lists, fall-back, resume, 410, handlers."""

import asyncio
from urllib.parse import parse_qs

import orjson

from kapi.api.user import UserInfo
from kapi.client.client import PODS, Client
from kapi.client.in_process import InProcessTransport
from kapi.client.informer import Informer
from kapi.client.informers import Informers


def pod(name, revision, uid="", **metadata):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(revision),
            "managedFields": [{"manager": "x"}],
            **metadata,
        },
    }


def line(kind, obj):
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"


def end_of_initial(revision):
    mark = {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": str(revision)}
    return line("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": mark})


def status(code, reason):
    return {"kind": "Status", "code": code, "reason": reason, "message": reason, "metadata": {}}


class Script:
    """Answers requests in order from a list of functions; remembers the queries."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.queries = []

    async def __call__(self, scope, receive, send):
        query = {k: v[0] for k, v in parse_qs(scope["query_string"].decode()).items()}
        self.queries.append(query)
        answer = self.answers.pop(0) if self.answers else [200]
        code, *parts = answer
        await send({"type": "http.response.start", "status": code, "headers": []})
        for part in parts:
            if isinstance(part, asyncio.Event):
                await part.wait()
            else:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        if not self.answers and query.get("watch"):
            await asyncio.Event().wait()


async def follow(script, until, **indexes):
    informer = Informer(Client(InProcessTransport(script, UserInfo("t"))), PODS)
    for name, function in indexes.items():
        informer.add_index(name, function)
    seen = []
    informer.add_handler(
        lambda o: seen.append(("add", o["metadata"]["name"])),
        lambda a, b: seen.append(("update", b["metadata"]["resourceVersion"])),
        lambda o: seen.append(("delete", o["metadata"]["name"])),
    )
    task = asyncio.ensure_future(informer.run())
    async with asyncio.timeout(10):
        while not until(informer, seen):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return informer, seen


async def test_a_streamed_list_then_events():
    script = Script(
        [
            200,
            line("ADDED", pod("a", 1)),
            line("ADDED", pod("b", 2)),
            end_of_initial(3),
            line("MODIFIED", pod("a", 4)),
            line("DELETED", pod("b", 5)),
            line("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
        ]
    )
    informer, seen = await follow(script, lambda i, s: i.revision == "9")
    assert seen == [("add", "a"), ("add", "b"), ("update", "4"), ("delete", "b")]
    assert [o["metadata"]["name"] for o in informer.list()] == ["a"]
    assert "managedFields" not in informer.get("default/a")["metadata"]
    assert script.queries[0]["sendInitialEvents"] == "true"
    assert script.queries[0]["resourceVersionMatch"] == "NotOlderThan"


async def test_nothing_is_reported_before_the_initial_events_end():
    gate = asyncio.Event()
    script = Script([200, line("ADDED", pod("a", 1)), gate, end_of_initial(1)])
    informer = Informer(Client(InProcessTransport(script, UserInfo("t"))), PODS)
    task = asyncio.ensure_future(informer.run())
    await asyncio.sleep(0.02)
    assert not informer.synced
    assert len(informer) == 0
    gate.set()
    async with asyncio.timeout(1):
        await informer.wait_synced()
    assert len(informer) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_falls_back_to_list_and_watch_with_pages():
    first = {"metadata": {"continue": "c", "resourceVersion": "7"}, "items": [pod("a", 1)]}
    second = {"metadata": {"resourceVersion": "7"}, "items": [pod("b", 2)]}
    script = Script(
        [400, orjson.dumps(status(400, "BadRequest"))],
        [200, orjson.dumps(first)],
        [200, orjson.dumps(second)],
        [200, line("ADDED", pod("c", 8))],
    )
    informer, _ = await follow(script, lambda i, s: i.revision == "8")
    assert len(informer) == 3
    assert script.queries[2]["continue"] == "c"
    assert script.queries[3]["resourceVersion"] == "7"
    assert "sendInitialEvents" not in script.queries[3]


async def test_resumes_where_it_was_after_a_lost_watch():
    script = Script(
        [200, line("ADDED", pod("a", 1)), end_of_initial(5)],
        [200, line("ADDED", pod("b", 6))],
    )
    _, seen = await follow(script, lambda i, s: i.revision == "6")
    assert script.queries[1]["resourceVersion"] == "5"
    assert seen == [("add", "a"), ("add", "b")]


async def test_410_lists_again_and_reports_only_differences():
    script = Script(
        [200, *(line("ADDED", pod(n, 1)) for n in "abc"), end_of_initial(5)],
        [200, line("ERROR", status(410, "Expired"))],
        [
            200,
            line("ADDED", pod("a", 1)),
            line("ADDED", pod("b", 7)),
            line("ADDED", pod("d", 8)),
            end_of_initial(9),
        ],
    )
    _, seen = await follow(script, lambda i, s: i.revision == "9")
    assert seen[3:] == [("delete", "c"), ("update", "7"), ("add", "d")]


async def test_a_server_that_forgets_at_once_is_not_asked_in_a_hurry(monkeypatch):
    waits = []

    async def waited(seconds):
        waits.append(seconds)

    monkeypatch.setattr("kapi.client.informer.env.sleep", waited)
    expired = [200, line("ERROR", status(410, "Expired"))]
    script = Script(*[expired] * 4, [200, line("ADDED", pod("a", 1)), end_of_initial(5)])
    _, seen = await follow(script, lambda i, s: i.synced)
    assert seen == [("add", "a")]
    assert len(waits) == 4
    assert waits[3] > waits[0]


async def test_a_line_that_is_not_json_does_not_end_the_informer():
    script = Script(
        [200, line("ADDED", pod("a", 1)), end_of_initial(2), b"{not json\n"],
        [200, line("ADDED", pod("b", 3))],
    )
    _, seen = await follow(script, lambda i, s: i.revision == "3")
    assert seen == [("add", "a"), ("add", "b")]


async def test_an_object_made_again_under_its_name_is_a_delete_and_an_add():
    script = Script(
        [200, line("ADDED", pod("a", 1)), end_of_initial(5)],
        [200, line("MODIFIED", pod("a", 8, uid="other"))],
    )
    _, seen = await follow(script, lambda i, s: i.revision == "8")
    assert seen == [("add", "a"), ("delete", "a"), ("add", "a")]


async def test_indexes_follow_changes():
    owner = {"ownerReferences": [{"uid": "o1"}]}
    script = Script(
        [
            200,
            line("ADDED", pod("a", 1, **owner)),
            line("ADDED", pod("b", 2)),
            end_of_initial(3),
            line("MODIFIED", pod("a", 4)),
            line("MODIFIED", pod("b", 5, **owner)),
        ]
    )

    def owners(obj):
        return [owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()]

    informer, _ = await follow(script, lambda i, s: i.revision == "5", owner=owners)
    assert [o["metadata"]["name"] for o in informer.by_index("owner", "o1")] == ["b"]
    assert len(list(informer.in_namespace("default"))) == 2
    informer.add_index("revision", lambda o: [o["metadata"]["resourceVersion"]])
    assert [o["metadata"]["name"] for o in informer.by_index("revision", "4")] == ["a"]


async def test_a_failing_handler_does_not_stop_the_copy():
    script = Script([200, line("ADDED", pod("a", 1)), end_of_initial(2)])
    informer = Informer(Client(InProcessTransport(script, UserInfo("t"))), PODS)
    informer.add_handler(lambda o: 1 / 0, lambda a, b: None, lambda o: None)
    task = asyncio.ensure_future(informer.run())
    async with asyncio.timeout(1):
        await informer.wait_synced()
    assert len(informer) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_factory_shares_informers():
    script = Script([200, end_of_initial(2)])
    informers = Informers(Client(InProcessTransport(script, UserInfo("t"))))
    assert informers.get(PODS) is informers.get(PODS)
    assert informers.get(PODS) is not informers.get(PODS, field_selector="spec.nodeName=")
    informers.start()
    informers.start()
    await asyncio.sleep(0)
    await informers.close()
