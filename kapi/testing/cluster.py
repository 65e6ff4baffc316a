"""A cluster in memory that runs in a thread of its own, for tests that are not asynchronous."""

import asyncio
import queue
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kapi import env
from kapi.cli.control_plane import running_api_server
from kapi.cli.control_plane_daemon import start_components
from kapi.cli.identities import ensure_identities
from kapi.cli.readiness import Readiness, admin_client
from kapi.cli.settings import ClusterSettings, DataDir
from kapi.storage.memory import MemoryStore

_READY_SECONDS = 30.0
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TestCluster:
    """How to reach the cluster: a kubeconfig with administrator rights, and the server's URL."""

    __test__ = False  # pytest collects classes by their name

    kubeconfig: Path
    server: str


@contextmanager
def running_cluster(directory: Path, *, simulated_nodes: int = 1) -> Iterator[TestCluster]:
    """A cluster with Ready nodes; gone when the context is left. Raises what its start raises."""
    data = DataDir(directory)
    settings = ClusterSettings(
        runtime="simulated", simulated_nodes=simulated_nodes, secure_port=_free_port()
    )
    runner = _Runner(data, settings)
    thread = env.start_thread(runner.run, "kapi test cluster")
    try:
        runner.wait_ready()
        yield TestCluster(data.kubeconfig, settings.server_url)
    finally:
        runner.stop()
        thread.join()


class _Runner:
    """The cluster's event loop, and the two messages that cross into it and out of it."""

    def __init__(self, data: DataDir, settings: ClusterSettings) -> None:
        self._data = data
        self._settings = settings
        self._ready: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shutdown = asyncio.Event()

    def run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._main())
        except BaseException as error:
            self._ready.put(error)

    def wait_ready(self) -> None:
        error = self._ready.get()
        if error is not None:
            raise error

    def stop(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._shutdown.set)
            except RuntimeError:
                return

    async def _main(self) -> None:
        pki = ensure_identities(self._data, self._settings)
        store = MemoryStore()
        async with running_api_server(self._settings, self._data, pki, store) as server:
            scope = env.TaskScope()
            try:
                start_components(scope, server.app, self._settings, pki)
                await self._until_ready()
                self._ready.put(None)
                await self._shutdown.wait()
            finally:
                await scope.close()

    async def _until_ready(self) -> None:
        client = admin_client(self._data.kubeconfig)
        try:
            ready = Readiness(client, lambda: None, _READY_SECONDS, _BEFORE_ALL)
            await ready.api_server()
            await ready.nodes(set(self._settings.simulated_node_names))
            await ready.default_service_account()
        finally:
            await client.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
