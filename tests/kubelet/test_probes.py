"""Probes: how an answer is got and worded, and what a worker makes of a series of answers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kubelet_objects import container, exited, pod, running, view

from kapi import env
from kapi.api.object import Object
from kapi.kubelet.hooks import HookTarget
from kapi.kubelet.http_get import HttpFailure, http_get, request_headers
from kapi.kubelet.pod_view import PodView, ProbeKind, ProbeResults
from kapi.kubelet.probes.grpc_health import check_health
from kapi.kubelet.probes.prober import RuntimeProber, Verdict
from kapi.kubelet.probes.worker import ProbeHooks, ProbeWorker

Answers = dict[str, bytes]


@asynccontextmanager
async def http_server(answers: Answers) -> AsyncIterator[tuple[int, list[str]]]:
    """Answers each path with fixed bytes and keeps the requests' heads."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            # Only knocked.
            writer.close()
            return
        heads.append(head)
        answer = answers[head.split(" ")[1]]
        if answer == b"hang":
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


def answer(status: int, body: str = "", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Text", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body]).encode()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def probed(spec: Object, answers: Answers | None = None) -> Verdict:
    """One probe against a server with these answers."""
    async with http_server(answers or {}) as (port, _):
        main = container(ports=[{"name": "web", "containerPort": port}])
        target = HookTarget(pod(main), main, "id", "127.0.0.1")
        prober = RuntimeProber(None)  # type: ignore[arg-type]
        return await prober.probe({"timeoutSeconds": 1, **spec}, target)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Verdict("success", "body")),
        (399, Verdict("success", "body")),
        (404, Verdict("failure", "HTTP probe failed with statuscode: 404")),
        (500, Verdict("failure", "HTTP probe failed with statuscode: 500")),
    ],
)
async def test_a_status_decides(status: int, expected: Verdict) -> None:
    spec = {"httpGet": {"path": "/x?a=b", "port": "web"}}
    assert await probed(spec, {"/x?a=b": answer(status, "body")}) == expected


async def test_redirects_stay_at_home() -> None:
    spec = {"httpGet": {"path": "/a", "port": "web"}}
    near = {"/a": answer(302, Location="/b"), "/b": answer(200, "here")}
    assert await probed(spec, near) == Verdict("success", "here")
    far = await probed(spec, {"/a": answer(302, Location="http://elsewhere.example/")})
    assert (far.result, far.warning) == ("success", True)
    loop = await probed(spec, {"/a": answer(302, Location="/a")})
    assert loop.result == "failure"
    assert loop.text.endswith("stopped after 10 redirects")


async def test_what_cannot_be_sent_as_it_is_does_not_end_the_probing() -> None:
    spec = {"path": "/a b%20c", "port": "web"}
    spaced = await probed({"httpGet": spec}, {"/a%20b%20c": answer(200, "body")})
    assert spaced == Verdict("success", "body")
    headers = [{"name": "X", "value": "two\nlines"}]
    broken = await probed({"httpGet": {**spec, "httpHeaders": headers}})
    assert broken.result == "failure"
    assert "invalid request" in broken.text


async def test_silence_and_refusal_are_worded_as_go_does() -> None:
    async with http_server({"/": b"hang"}) as (port, _):
        with pytest.raises(HttpFailure, match="exceeded while awaiting headers"):
            await http_get(f"http://127.0.0.1:{port}/", [], 0.1)
    url = f"http://127.0.0.1:{closed_port()}/"
    with pytest.raises(HttpFailure) as caught:
        await http_get(url, [], 1)
    place = url.removeprefix("http://").rstrip("/")
    assert str(caught.value) == f'Get "{url}": dial tcp {place}: connect: connection refused'


async def test_headers_are_the_kubelets_unless_given() -> None:
    async with http_server({"/": answer(200)}) as (port, heads):
        await http_get(f"http://127.0.0.1:{port}", request_headers([], "kube-probe/1.36"), 1)
        given = [{"name": "Host", "value": "virtual"}, {"name": "Accept", "value": ""}]
        await http_get(f"http://127.0.0.1:{port}", request_headers(given, "kube-probe/1.36"), 1)
    assert "User-Agent: kube-probe/1.36" in heads[0]
    assert "Accept: */*" in heads[0]
    assert "Host: virtual" in heads[1]
    assert "Accept" not in heads[1]


async def test_a_chunked_body_is_read() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with http_server({"/": chunked}) as (port, _):
        assert (await http_get(f"http://127.0.0.1:{port}/", [], 1)).body == "abc"


async def test_tcp_probes_only_knock() -> None:
    assert await probed({"tcpSocket": {"port": "web"}}) == Verdict("success")
    port = closed_port()
    assert await probed({"tcpSocket": {"port": port}}) == Verdict(
        "failure", f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    )
    unknown = await probed({"tcpSocket": {"port": "none"}})
    assert unknown.result == "error"


@pytest.mark.parametrize(
    ("number", "service", "expected"),
    [
        (1, "", ""),
        (1, "named" * 40, ""),
        (2, "", 'service unhealthy (responded with "NOT_SERVING")'),
    ],
)
async def test_grpc_health(number: int, service: str, expected: str) -> None:
    grpc = pytest.importorskip("grpc.aio", reason="the reference server needs grpcio")
    import grpc as plain

    seen: list[bytes] = []

    async def check(request: bytes, context: Any) -> bytes:
        seen.append(request)
        return bytes([8, number])

    handler = plain.unary_unary_rpc_method_handler(check)
    service_handler = plain.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": handler}
    )
    server = grpc.server()
    server.add_generic_rpc_handlers((service_handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await check_health(f"127.0.0.1:{port}", service, 2) == expected
        assert seen[0].endswith(service.encode())
    finally:
        await server.stop(0)


async def test_grpc_against_nobody() -> None:
    place = f"127.0.0.1:{closed_port()}"
    assert await check_health(place, "", 1) == (
        f'timeout: failed to connect service "{place}" within 1s: context deadline exceeded'
    )


class Scripted:
    """A prober with prepared verdicts; the last one is repeated."""

    def __init__(self, *results: str) -> None:
        self.asked = 0
        self._results = list(results)

    async def probe(self, spec: Object, target: HookTarget) -> Verdict:
        self.asked += 1
        result = self._results.pop(0) if len(self._results) > 1 else self._results[0]
        return Verdict(result, result)  # type: ignore[arg-type]


class Owner:
    def __init__(self, spec: Object, seen: PodView) -> None:
        self.pod = spec
        self.view = seen
        self.probes = ProbeResults()
        self.events: list[str] = []
        self.news = 0

    def address(self) -> str:
        return "10.0.0.7"

    def heard(self) -> None:
        self.news += 1


async def follow(
    kind: ProbeKind, owner: Owner, prober: Scripted, until: Callable[[], bool]
) -> None:
    """Run a worker, hurried along, until something is true (or for 50 rounds)."""
    hooks = ProbeHooks(lambda _, __, text: owner.events.append(text), owner.heard)
    worker = ProbeWorker(kind, "main", owner, prober, hooks)
    task = env.spawn(worker.run(), "worker")
    for _ in range(50):
        await asyncio.sleep(0)
        worker.trigger()
        if until() or task.done():
            break
    task.cancel()
    await asyncio.wait({task})


def probe(kind: str, **fields: Any) -> Object:
    return pod(container(**{f"{kind}Probe": {"exec": {}, "periodSeconds": 1, **fields}}))


async def test_failures_count_until_the_threshold() -> None:
    owner, prober = (
        Owner(probe("liveness", failureThreshold=3), view(running())),
        Scripted("failure"),
    )
    await follow("liveness", owner, prober, lambda: owner.news > 0)
    assert prober.asked == 3
    assert owner.probes.get("main-0", "liveness") is False
    assert owner.events == ["Liveness probe failed: failure"] * 3
    await follow("liveness", owner, Scripted("failure"), lambda: False)


async def test_one_success_begins_the_count_again() -> None:
    owner = Owner(probe("liveness", failureThreshold=2), view(running()))
    prober = Scripted("failure", "success", "failure", "success")
    await follow("liveness", owner, prober, lambda: prober.asked >= 8)
    assert owner.probes.get("main-0", "liveness") is True


async def test_errors_are_told_and_do_not_count() -> None:
    owner, prober = (
        Owner(probe("readiness", failureThreshold=1), view(running())),
        Scripted("error"),
    )
    await follow("readiness", owner, prober, lambda: prober.asked >= 6)
    assert owner.probes.get("main-0", "readiness") is None
    assert owner.events[0] == ("Readiness probe errored and resulted in unknown state: error")


async def test_a_container_that_ended_is_not_ready() -> None:
    owner, prober = Owner(probe("readiness"), view(running())), Scripted("success")
    await follow("readiness", owner, prober, lambda: owner.news > 0)
    assert owner.probes.get("main-0", "readiness") is True
    owner.view = view(exited())
    await follow("readiness", owner, prober, lambda: owner.news > 1)
    assert owner.probes.get("main-0", "readiness") is False


async def test_others_wait_for_the_startup_probe() -> None:
    both = {"startupProbe": {"exec": {}}, "livenessProbe": {"exec": {}}}
    owner, prober = Owner(pod(container(**both)), view(running())), Scripted("failure")
    await follow("liveness", owner, prober, lambda: False)
    assert prober.asked == 0
    owner.probes.set("main-0", "startup", True)
    await follow("liveness", owner, prober, lambda: prober.asked > 0)
    assert prober.asked > 0
    startup = Scripted("success")
    await follow("startup", owner, startup, lambda: False)
    assert startup.asked == 0


async def test_a_pod_on_its_way_out_is_alive() -> None:
    leaving = probe("liveness")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    owner, prober = Owner(leaving, view(running())), Scripted("failure")
    await follow("liveness", owner, prober, lambda: False)
    assert owner.probes.get("main-0", "liveness") is True
    assert prober.asked == 0


async def test_an_initial_delay_is_waited_out() -> None:
    owner = Owner(probe("liveness", initialDelaySeconds=10**9), view(running()))
    prober = Scripted("failure")
    await follow("liveness", owner, prober, lambda: False)
    assert prober.asked == 0
