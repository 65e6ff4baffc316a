"""The kubelet's server, asked without an engine below it."""

from collections.abc import Sequence
from typing import Any

from kubelet_objects import pod, running, sandbox

from kapi.api.object import Object
from kapi.api.user import UserInfo
from kapi.client.in_process import InProcessTransport
from kapi.kubelet.runtime.interface import Runtime, Sandbox
from kapi.kubelet.server import KubeletServer


class Node:
    """One running pod that everybody may look at."""

    async def check(self, *_: Any) -> None: ...

    def find_pod(self, namespace: str, name: str) -> Object | None:
        return pod() if (namespace, name) == ("ns", "p") else None

    def list_pods(self) -> list[Object]:
        return [pod()]

    def runtime_of(self, _: Object) -> Runtime:
        return self  # type: ignore[return-value]

    async def list_sandboxes(self, _: str) -> Sequence[Sandbox]:
        return [sandbox(running())]


async def test_a_query_that_makes_no_sense_is_the_askers_fault() -> None:
    server = KubeletServer(Node(), Node())
    transport = InProcessTransport(server.app, UserInfo("t"))
    for query in ({"tailLines": "many"}, {"sinceTime": "yesterday"}):
        found = await transport.request("GET", "/containerLogs/ns/p/main", params=query)
        assert (found.status, found.body) == (400, b'{"message": "Unable to decode query."}')
    missing = await transport.request("GET", "/containerLogs/ns/q/main")
    assert missing.status == 404
