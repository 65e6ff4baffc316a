"""The kubelet: a worker per pod bound to this node, fed by the API and the runtime's events."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kapi import env
from kapi.api.object import Object, is_deleting, name_of, namespace_of, uid_of
from kapi.client.client import NODES, PODS, SERVICES, Client
from kapi.client.events import EventRecorder
from kapi.client.informer import Informer
from kapi.kubelet.admission import AdmissionFacts, admit, resize_problem
from kapi.kubelet.config import KubeletConfig
from kapi.kubelet.images import ImagePuller
from kapi.kubelet.network_files import ClusterDns, Resolver, parse_resolv_conf
from kapi.kubelet.node_agent import NodeAgent
from kapi.kubelet.object_cache import ObjectCache
from kapi.kubelet.pod_worker import PodWorker
from kapi.kubelet.probes.prober import Prober, RuntimeProber
from kapi.kubelet.resize import Pending
from kapi.kubelet.runtime.interface import Runtime, RuntimeFailure, Sandbox
from kapi.kubelet.services import NodeFacts, PodServices
from kapi.kubelet.sources import ObjectSource
from kapi.kubelet.status import TERMINAL_PHASES
from kapi.kubelet.volumes.pod_volumes import remove_pod_directory

_log = logging.getLogger(__name__)
_NO_CIDR = "reason:NetworkPluginNotReady message:no pod CIDR is assigned to the node yet"
_RECONNECT_FIRST, _RECONNECT_MAX = 0.5, 5.0
_ORPHAN_GRACE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class KubeletSources:
    """Shared sources for many kubelets in one process; None means: follow it yourself."""

    pods: ObjectSource | None = None
    node: ObjectSource | None = None
    services: ObjectSource | None = None


class Kubelet:
    """`run` until cancelled; containers outlive it and are adopted by the next one."""

    def __init__(
        self,
        client: Client,
        config: KubeletConfig,
        runtime: Runtime,
        *,
        sources: KubeletSources | None = None,
        prober: Prober | None = None,
    ) -> None:
        self.config = config
        self.runtime = runtime
        self.facts = NodeFacts(
            host_ips=(config.node_ip,),
            hostname=config.node_name,
            network_problem=_NO_CIDR,
        )
        self.recorder = EventRecorder(client, "kubelet", config.node_name)
        self.node = NodeAgent(client, config, runtime, self.recorder, self.facts)
        self._client = client
        self._tasks = env.TaskScope()
        self._workers: dict[str, PodWorker] = {}
        self._pod_cidr = ""
        self._prints: dict[str, Any] = {}
        sources = sources or KubeletSources()
        self._own_informers: list[Informer] = []
        self._pods = sources.pods or self._own(
            Informer(client, PODS, field_selector=f"spec.nodeName={config.node_name}")
        )
        self._node = sources.node or self._own(
            Informer(client, NODES, field_selector=f"metadata.name={config.node_name}")
        )
        self._service_source = sources.services or self._own(Informer(client, SERVICES))
        self._cidr_changed = asyncio.Event()
        self._objects = ObjectCache(client, self._wake_pods)
        self._images = ImagePuller(runtime)
        self._prober = prober or RuntimeProber(runtime)
        self._services: PodServices | None = None

    def _own(self, informer: Informer) -> ObjectSource:
        self._own_informers.append(informer)
        return informer

    # Looking in from outside (the kubelet's server)

    def list_pods(self) -> list[Object]:
        """Every pod the node knows, with the status as the kubelet sees it."""
        return [_shown(worker) for worker in self._workers.values()]

    def find_pod(self, namespace: str, name: str) -> Object | None:
        """A pod by name; while it is being replaced, the newest of that name."""
        found = None
        for worker in self._workers.values():
            if namespace_of(worker.pod) == namespace and name_of(worker.pod) == name:
                found = worker
        return _shown(found) if found is not None else None

    def runtime_of(self, pod: Object) -> Runtime:
        return self.runtime

    # Running

    async def run(self) -> None:
        try:
            self._services = await self._make_services()
            await self.node.register()
            for informer in self._own_informers:
                what = f"{informer.resource.plural} of {self.config.node_name}"
                self._tasks.spawn(informer.run(), what)
            self._node.add_handler(
                self._node_seen, lambda _, new: self._node_seen(new), lambda _: None
            )
            self._node_seen(self.facts.node)
            self._tasks.spawn(self._follow_cidr(), f"pod CIDR of {self.config.node_name}")
            self._tasks.spawn(self.node.run_status(), f"status of {self.config.node_name}")
            self._tasks.spawn(self.node.run_lease(), f"lease of {self.config.node_name}")
            await self._service_source.wait_synced()
            await self._start_pods()
            if self.config.resync_seconds:
                self._tasks.spawn(self._resync(), f"resync of {self.config.node_name}")
            await self._follow_runtime()
        finally:
            await self._close()

    async def _close(self) -> None:
        await self._tasks.close()
        for worker in list(self._workers.values()):
            await worker.close()
        await self._objects.close()
        await self.recorder.close()

    async def _make_services(self) -> PodServices:
        host = Resolver()
        if self.config.manage_volumes:
            try:
                host = parse_resolv_conf(
                    await env.in_thread(env.read_text, self.config.resolv_conf)
                )
            except OSError as error:
                _log.warning("resolver settings of the host: %s", error)
        return PodServices(
            config=self.config,
            client=self._client,
            runtime=self.runtime,
            recorder=self.recorder,
            images=self._images,
            objects=self._objects,
            prober=self._prober,
            dns=ClusterDns(self.config.cluster_dns, self.config.cluster_domain, host),
            node=self.facts,
            services=self._known_services,
            resize_problem=self._resize_problem,
        )

    def _known_services(self) -> Iterable[Object] | None:
        return self._service_source.list() if self._service_source.synced else None

    # Node

    def _node_seen(self, node: Object) -> None:
        self.node.observe(node)
        cidr = str((node.get("spec") or {}).get("podCIDR") or self.config.pod_cidr)
        if cidr and cidr != self._pod_cidr:
            self._pod_cidr = cidr
            self._cidr_changed.set()

    async def _follow_cidr(self) -> None:
        """Hand the node's range to the runtime; only then pods may have addresses."""
        while True:
            await self._cidr_changed.wait()
            self._cidr_changed.clear()
            try:
                await self.runtime.update_pod_cidr(self._pod_cidr)
            except RuntimeFailure as error:
                _log.warning("pod network of %s: %s", self.config.node_name, error)
                await env.sleep(_RECONNECT_MAX)
                self._cidr_changed.set()
                continue
            self.facts.network_problem = ""
            self.node.changed()
            self._wake_all()

    # Pods

    async def _start_pods(self) -> None:
        await self._pods.wait_synced()
        known = sorted(
            self._pods.list(), key=lambda pod: str(pod["metadata"].get("creationTimestamp", ""))
        )
        for pod in known:
            self._pod_added(pod)
        self._pods.add_handler(
            self._pod_added, lambda _, new: self._pod_updated(new), self._pod_deleted
        )

    def _pod_added(self, pod: Object) -> None:
        uid = uid_of(pod)
        if uid in self._workers:
            self._workers[uid].update(pod)
            return
        assert self._services is not None
        worker = PodWorker(self._services, pod, self._pod_finished)
        phase = (pod.get("status") or {}).get("phase")
        rejection = None
        if phase not in TERMINAL_PHASES and not is_deleting(pod):
            rejection = admit(pod, self._admission_facts())
        self._workers[uid] = worker
        if rejection is not None:
            worker.reject(rejection.reason, rejection.message)
        else:
            worker.update(pod)

    def _admission_facts(self, without: str = "") -> AdmissionFacts:
        others = [
            worker.pod
            for uid, worker in self._workers.items()
            if worker.stage not in ("terminated", "finished") and uid != without
        ]
        return AdmissionFacts(
            node=self.facts.node,
            allocatable=self.facts.allocatable,
            others=others,
            allowed_unsafe_sysctls=self.config.allowed_unsafe_sysctls,
        )

    def _resize_problem(self, pod: Object) -> Pending | None:
        facts = self._admission_facts(without=uid_of(pod))
        return resize_problem(pod, facts)

    def _pod_updated(self, pod: Object) -> None:
        worker = self._workers.get(uid_of(pod))
        if worker is None:
            self._pod_added(pod)
        else:
            worker.update(pod)

    def _pod_deleted(self, pod: Object) -> None:
        worker = self._workers.get(uid_of(pod))
        if worker is not None:
            worker.removed()

    def _pod_finished(self, uid: str) -> None:
        self._workers.pop(uid, None)
        self._prints.pop(uid, None)
        # Room was made: a resize that waited for it may go on.
        for worker in self._workers.values():
            if worker.state.resize_pending is not None:
                worker.wake()

    def _wake_pods(self, uids: Iterable[str]) -> None:
        for uid in uids:
            worker = self._workers.get(uid)
            if worker is not None:
                worker.wake()

    def _wake_all(self) -> None:
        self._wake_pods(tuple(self._workers))

    # Runtime

    async def _follow_runtime(self) -> None:
        """Events for ever; while the engine is away the node is not ready and says so."""
        delay = _RECONNECT_FIRST
        while True:
            try:
                events: Any = self.runtime.events()
                async with aclosing(events):
                    async for event in events:
                        if not event.pod_uid:
                            delay = _RECONNECT_FIRST
                            await self._runtime_is_back()
                        else:
                            self._wake_pods((event.pod_uid,))
            except RuntimeFailure as error:
                self._runtime_is_down(str(error))
            await env.sleep(delay)
            delay = min(delay * 2, _RECONNECT_MAX)

    def _runtime_is_down(self, why: str) -> None:
        if not self.node.runtime_problem:
            _log.warning("container runtime of %s: %s", self.config.node_name, why)
            self.node.runtime_problem = f"container runtime is down: {why}"
            self.node.changed()

    async def _runtime_is_back(self) -> None:
        if self.node.runtime_problem:
            self.node.runtime_problem = ""
            self.node.changed()
        await self._look_at_everything(wake_all=True)

    async def _resync(self) -> None:
        """Events may be lost; a slow comparison finds what nobody told."""
        while True:
            await env.sleep(self.config.resync_seconds * (1 + env.random().random() / 2))
            try:
                await self._look_at_everything(wake_all=False)
            except RuntimeFailure as error:
                self._runtime_is_down(str(error))

    async def _look_at_everything(self, *, wake_all: bool) -> None:
        found: dict[str, list[Sandbox]] = {}
        for sandbox in await self.runtime.list_sandboxes():
            found.setdefault(sandbox.uid, []).append(sandbox)
        for uid, sandboxes in found.items():
            if uid not in self._workers:
                await self._remove_orphan(uid, sandboxes)
        await self._remove_orphan_directories(set(found))
        prints = {uid: _fingerprint(sandboxes) for uid, sandboxes in found.items()}
        for uid in tuple(self._workers):
            if wake_all or prints.get(uid) != self._prints.get(uid):
                self._workers[uid].wake()
        self._prints = prints

    async def _remove_orphan(self, uid: str, sandboxes: list[Sandbox]) -> None:
        """Runs here and is in no list: its pod was deleted while nobody looked."""
        _log.info("removing what is left of pod %s", uid)
        for sandbox in sandboxes:
            for container in sandbox.containers:
                if container.state == "running":
                    await self.runtime.stop_container(container.id, _ORPHAN_GRACE_SECONDS)
            await self.runtime.stop_sandbox(sandbox.id)
            await self.runtime.remove_sandbox(sandbox.id)

    async def _remove_orphan_directories(self, running: set[str]) -> None:
        if not self.config.manage_volumes:
            return
        root = Path(self.config.data_dir) / "pods"

        def present() -> list[Path]:
            return list(root.iterdir()) if root.exists() else []

        # First what is there, then who is known: a pod is known before its directory is made,
        # so that one which arrives in between is never taken for an orphan.
        for directory in await env.in_thread(present):
            if directory.name in running or directory.name in self._workers:
                continue
            try:
                await env.in_thread(remove_pod_directory, directory)
            except OSError as error:
                _log.warning("directory of finished pod %s: %s", directory.name, error)


def _shown(worker: PodWorker) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", **worker.pod, "status": worker.state.status}


def _fingerprint(sandboxes: list[Sandbox]) -> Any:
    return sorted(
        (sandbox.id, sandbox.running, sorted((c.id, c.state) for c in sandbox.containers))
        for sandbox in sandboxes
    )
