"""Status patches: small, aimed at one pod by its uid, never touching what others own."""

import asyncio
from typing import Any, cast

from kapi.api.object import Object
from kapi.client.client import Client
from kapi.kubelet.status_sender import StatusSender, status_patch


def ready(status: str, **fields: object) -> Object:
    return {"type": "Ready", "status": status, "lastProbeTime": None, **fields}


def test_no_change_no_patch() -> None:
    status = {"phase": "Running", "conditions": [ready("True")]}
    reported = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    assert status_patch("u", status, reported) is None


def test_only_what_changed_is_sent() -> None:
    patch = status_patch(
        "u", {"phase": "Running", "hostIP": "h"}, {"phase": "Pending", "hostIP": "h"}
    )
    assert patch == {"metadata": {"uid": "u"}, "status": {"phase": "Running"}}


def test_addresses_are_replaced_not_merged() -> None:
    patch = status_patch("u", {"podIPs": [{"ip": "2"}]}, {"podIPs": [{"ip": "1"}]})
    assert patch and patch["status"]["podIPs"] == [{"$patch": "replace"}, {"ip": "2"}]
    patch = status_patch("u", {"podIPs": [{"ip": "2"}]}, {})
    assert patch and patch["status"]["podIPs"] == [{"ip": "2"}]


def test_conditions_of_others_are_left_alone() -> None:
    foreign = {"type": "example.com/gate", "status": "False"}
    reported = {"conditions": [{**foreign, "status": "True"}, {"type": "Ready", "status": "False"}]}
    status = {"conditions": [foreign, ready("True")]}
    patch = status_patch("u", status, reported)
    assert patch and patch["status"]["conditions"] == [ready("True")]


def test_what_no_longer_holds_is_taken_away() -> None:
    reported = {
        "reason": "Old",
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "R", "message": "m"},
            {"type": "PodScheduled", "status": "True"},
        ],
    }
    patch = status_patch("u", {"conditions": [ready("True")]}, reported)
    assert patch == {
        "metadata": {"uid": "u"},
        "status": {
            "reason": None,
            "conditions": [
                {"reason": None, "message": None, **ready("True")},
                {"$patch": "delete", "type": "PodScheduled"},
            ],
        },
    }


class Server:
    """Answers every patch with `status`, or with what it was given."""

    def __init__(self, status: Object | None = None) -> None:
        self.status = status
        self.patches: list[Object] = []

    async def patch(self, _: Any, __: str, ___: str, patch: Object, **____: Any) -> Object:
        await asyncio.sleep(0)
        self.patches.append(patch)
        stored = patch["status"] if self.status is None else self.status
        return {"metadata": {"resourceVersion": str(len(self.patches))}, "status": stored}


def sender_to(server: Server) -> StatusSender:
    pod = {"metadata": {"name": "a", "namespace": "default", "uid": "u1"}}
    return StatusSender(cast(Client, server), pod)


async def test_a_flush_waits_for_the_newest_status() -> None:
    server = Server()
    sender = sender_to(server)
    sender.send({"phase": "Pending"})
    sender.send({"phase": "Succeeded"})
    await sender.flush()
    assert sender.reported["phase"] == "Succeeded"
    await sender.flush()
    await sender.close()


async def test_a_status_the_server_will_not_keep_does_not_hold_a_flush_up() -> None:
    server = Server(status={"phase": "Running"})
    sender = sender_to(server)
    sender.send({"phase": "Failed"})
    async with asyncio.timeout(5):
        await sender.flush()
    assert len(server.patches) == 1
    await sender.close()
