"""The in-process transport: identity, bodies, streaming, back-pressure, cancellation."""

import asyncio

import pytest

from kapi.api.user import UserInfo
from kapi.client.client import PODS, Client
from kapi.client.in_process import InProcessTransport

USER = UserInfo("tester", groups=("system:masters",))


async def echo(scope, receive, send):
    message = await receive()
    body = b"%s %s?%s %s %s" % (
        scope["method"].encode(),
        scope["path"].encode(),
        scope["query_string"],
        scope["state"]["user"].name.encode(),
        message["body"],
    )
    headers = [(b"X-Thing", b"yes")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": body[:5], "more_body": True})
    await send({"type": "http.response.body", "body": body[5:]})


async def test_a_request_carries_identity_query_and_body():
    transport = InProcessTransport(echo, USER)
    answer = await transport.request("PUT", "/a b", params={"x": "1&2"}, body=b"hello")
    assert answer.status == 201
    assert answer.headers["x-thing"] == "yes"
    assert answer.body == b"PUT /a b?x=1%262 tester hello"


async def test_an_app_that_raises_is_a_lost_connection():
    async def broken(scope, receive, send):
        raise RuntimeError("bug")

    transport = InProcessTransport(broken, USER)
    with pytest.raises(ConnectionError):
        await transport.request("GET", "/")
    with pytest.raises(ConnectionError):
        async with transport.stream("GET", "/"):
            pass


async def test_an_app_that_answers_nothing_is_a_lost_connection():
    async def silent(scope, receive, send):
        await receive()

    transport = InProcessTransport(silent, USER)
    with pytest.raises(ConnectionError):
        await transport.request("GET", "/")
    with pytest.raises(ConnectionError):
        async with transport.stream("GET", "/"):
            pass


async def test_a_stream_arrives_piece_by_piece_and_ends():
    gate = asyncio.Event()

    async def slow(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    transport = InProcessTransport(slow, USER)
    async with transport.stream("GET", "/") as (status, chunks):
        assert status == 200
        assert await anext(chunks) == b"one"
        gate.set()
        assert await anext(chunks) == b"two"
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


async def test_a_slow_reader_holds_the_app_back_and_leaving_stops_it():
    sent = 0
    ended = asyncio.Event()

    async def firehose(scope, receive, send):
        nonlocal sent
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                sent += 1
        finally:
            ended.set()

    transport = InProcessTransport(firehose, USER)
    async with transport.stream("GET", "/") as (_, chunks):
        await anext(chunks)
        for _ in range(50):
            await asyncio.sleep(0)
        assert sent < 10
    assert ended.is_set()


async def test_the_app_hears_of_a_disconnect_while_it_waits():
    heard = []

    async def waiting(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.request"
        try:
            heard.append((await receive())["type"])
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    transport = InProcessTransport(waiting, USER)
    async with transport.stream("GET", "/"):
        await asyncio.sleep(0)
    assert heard in (["http.disconnect"], ["cancelled"])


async def test_watch_lines_may_be_split_anywhere():
    lines = b"".join(
        b'{"type":"ADDED","object":{"metadata":{"name":"p%d"}}}\n' % i for i in range(5)
    )

    async def watch(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for start in range(0, len(lines), 7):
            piece = lines[start : start + 7]
            await send({"type": "http.response.body", "body": piece, "more_body": True})

    client = Client(InProcessTransport(watch, USER))
    names = [event.object["metadata"]["name"] async for event in client.watch(PODS)]
    assert names == [f"p{i}" for i in range(5)]
