"""Controllers forget what is gone, also what a round that was under way noted after the end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kapi import env
from kapi.api.object import Object
from kapi.client.client import CRON_JOBS, JOBS, Client, ResourceRef
from kapi.client.events import EventRecorder
from kapi.client.in_process import InProcessTransport
from kapi.client.informers import Informers
from kapi.controllers.context import ControllerContext
from kapi.controllers.cronjob.controller import CronJobController
from kapi.controllers.job.controller import JobController
from kapi.server.api_server import ApiServer
from kapi.sim.identities import ADMIN, api_server_config
from kapi.storage.memory import MemoryStore


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    store = MemoryStore()
    server = ApiServer(store, api_server_config())
    await server.start()
    yield Client(InProcessTransport(server.app, ADMIN), "test")
    await server.stop()
    await store.close()


def job_spec() -> Object:
    containers = [{"name": "c", "image": "x"}]
    return {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}


CASES: list[tuple[type[Any], ResourceRef, Object]] = [
    (JobController, JOBS, {**job_spec(), "suspend": True}),
    (
        CronJobController,
        CRON_JOBS,
        {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job_spec()}},
    ),
]


@pytest.mark.parametrize(("make", "resource", "spec"), CASES)
async def test_what_was_noted_too_late_is_forgotten(
    client: Client, make: type[Any], resource: ResourceRef, spec: Object
) -> None:
    informers, recorder = Informers(client), EventRecorder(client, "test")
    controller = make(ControllerContext(client, informers, recorder))
    informers.start()
    scope = env.TaskScope()
    scope.spawn(controller.run(), "controller")
    await client.create(resource, "default", {"metadata": {"name": "a"}, "spec": spec})
    late = asyncio.Event()

    def note_too_late(_: Object) -> None:
        controller._written["default/a"] = 10**9
        late.set()

    # Called after the controller's own handler, as the end of a round would be.
    followed = informers.get(resource)
    followed.add_handler(lambda _: None, lambda _, __: None, note_too_late)
    async with asyncio.timeout(10):
        while followed.get("default/a") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        # Past the rounds that its beginning causes.
        await asyncio.sleep(0.6)
        await client.delete(resource, "default", "a", options={"propagationPolicy": "Background"})
        await late.wait()
        while controller._written:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await scope.close()
    await informers.close()
    await recorder.close()
