"""The collector follows what the server serves, and stops following what it no longer does."""

import asyncio

import pytest

from kapi import env
from kapi.api.errors import Conflict, NotFound
from kapi.client.client import CONFIG_MAPS, SECRETS
from kapi.client.events import EventRecorder
from kapi.client.informers import Informers
from kapi.controllers.context import ControllerContext
from kapi.controllers.discovery import Discovered, ServedResource, discover
from kapi.controllers.garbage_collector import controller as module
from kapi.controllers.garbage_collector.controller import GarbageCollector

VERBS = frozenset({"delete", "list", "watch"})


async def test_discovery_finds_preferred_versions_scopes_and_verbs(cluster):
    found = await discover(cluster.client)
    assert found.failures == {}
    by_name = {(s.ref.group, s.ref.plural): s for s in found.resources}
    assert len(by_name) == len(found.resources)
    pods = by_name["", "pods"]
    assert (pods.ref.kind, pods.ref.namespaced, pods.ref.version) == ("Pod", True, "v1")
    assert "deletecollection" in pods.verbs
    assert not by_name["", "nodes"].ref.namespaced
    assert by_name["apps", "deployments"].ref.api_version == "apps/v1"
    assert ("", "pods/status") not in by_name


async def test_resources_that_come_and_go_are_followed_and_forgotten(cluster, monkeypatch):
    served = [CONFIG_MAPS]

    async def served_now(client):
        return Discovered(tuple(ServedResource(ref, VERBS) for ref in served), {})

    monkeypatch.setattr(module, "discover", served_now)
    monkeypatch.setattr(module, "_DISCOVERY_SECONDS", 0.05)
    client = cluster.client
    recorder = EventRecorder(client, "test")
    context = ControllerContext(client, cluster.manager.informers, recorder)
    collector = GarbageCollector(context, client)
    running = env.spawn(collector.run(), "collector")

    def body(kind, name):
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}

    config_map = await client.create(CONFIG_MAPS, "default", body("ConfigMap", "a"))
    secret = await client.create(SECRETS, "default", body("Secret", "b"))

    def knows(obj):
        async def check():
            return collector.graph.get(obj["metadata"]["uid"]) is not None

        return check

    await cluster.until(knows(config_map))
    assert not await knows(secret)()
    served.append(SECRETS)
    await cluster.until(knows(secret))
    served.remove(CONFIG_MAPS)

    async def forgotten():
        return not await knows(config_map)()

    await cluster.until(forgotten)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Contended:
    """A server on which somebody always interferes, and where no owner exists."""

    def __init__(self, live):
        self.live = live
        self.tries = 0

    async def request(self, method, path, **_):
        if path.endswith("/owner"):
            raise NotFound("no owner")
        return self.live

    async def delete(self, *_, **__):
        self.tries += 1
        raise Conflict("again")


async def test_a_deletion_that_never_gets_through_is_not_forgotten():
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "u0"}
    dependent = {
        "metadata": {
            "name": "a",
            "namespace": "default",
            "uid": "u1",
            "resourceVersion": "1",
            "ownerReferences": [owner],
        }
    }
    client = Contended(dependent)
    context = ControllerContext(client, Informers(client), EventRecorder(client, "test"))
    collector = GarbageCollector(context, client)
    collector._owners.resources["", "ConfigMap"] = CONFIG_MAPS
    collector.graph.put(CONFIG_MAPS, dependent)
    with pytest.raises(Conflict):
        await collector.attempt_to_delete("u1")
    assert client.tries == 5
