"""Keeps a Node object alive: registration, status, Lease, CSINode.

Upstream: pkg/kubelet/kubelet_node_status.go, k8s.io/component-helpers/apimachinery/lease.
"""

import asyncio
import logging
from typing import Any

from kapi import env
from kapi.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kapi.api.object import Object, condition_of, uid_of
from kapi.api.quantity import parse_quantity
from kapi.client.client import LEASES, NODES, STRATEGIC_MERGE_PATCH, Client, ResourceRef
from kapi.client.events import NORMAL, EventRecorder
from kapi.kubelet.config import LEASE_DURATION_SECONDS, KubeletConfig
from kapi.kubelet.machine import MachineFacts, read_machine
from kapi.kubelet.node_status import (
    NodeObservation,
    allocatable_of,
    new_node,
    node_status,
    without_heartbeats,
)
from kapi.kubelet.runtime.interface import Image, Runtime, RuntimeFailure, RuntimeUnavailable
from kapi.kubelet.services import NodeFacts

_log = logging.getLogger(__name__)
_CSI_NODES = ResourceRef("storage.k8s.io", "v1", "csinodes", "CSINode", namespaced=False)
_LEASE_NAMESPACE = "kube-node-lease"
_FIRST_DELAY, _LAST_DELAY = 0.1, 7.0
_JITTER = 0.04
_RUNTIME_ANSWER_SECONDS = 30.0
_CONDITION_EVENTS = ("MemoryPressure", "DiskPressure", "PIDPressure")


class NodeAgent:
    """`facts` is filled in before `register` returns; `runtime_problem` is the kubelet's to set
    as soon as it notices, and is judged again with each status."""

    def __init__(
        self,
        client: Client,
        config: KubeletConfig,
        runtime: Runtime,
        recorder: EventRecorder,
        facts: NodeFacts,
    ) -> None:
        self.runtime_problem = ""
        self._client = client
        self._config = config
        self._runtime = runtime
        self._recorder = recorder
        self._facts = facts
        self._changed = asyncio.Event()
        self._machine = MachineFacts()
        self._runtime_version = ""
        self._images: tuple[Image, ...] = ()
        self._node: Object = {}
        self._posted_at = float("-inf")
        self._lease: Object | None = None

    def changed(self) -> None:
        """Something the status tells has changed: post it now."""
        self._changed.set()

    def observe(self, node: Object) -> None:
        """The API's newest copy of our Node."""
        before = (self._node.get("spec") or {}).get("unschedulable") if self._node else None
        after = (node.get("spec") or {}).get("unschedulable")
        if self._node and bool(before) != bool(after):
            self._node_event("NodeNotSchedulable" if after else "NodeSchedulable")
        self._node = node
        self._facts.node = node

    async def register(self) -> Object:
        """Create the Node, or take over the one of that name; retries until it works."""
        if self._config.capacity:
            self._machine = MachineFacts(capacity=self._config.capacity)
        else:
            env.make_dir(self._config.data_dir, 0o750)
            self._machine = await env.in_thread(
                read_machine, self._config.data_dir, self._config.max_pods
            )
        capacity = self._config.capacity or self._machine.capacity
        self._facts.allocatable = allocatable_of(capacity)
        self._facts.memory_bytes = int(parse_quantity(capacity.get("memory", "0")))
        delay = _FIRST_DELAY
        while True:
            try:
                self.observe(await self._create_or_adopt())
                return self._node
            except (ApiError, ConnectionError, TimeoutError) as error:
                _log.info("registering node %s: %s", self._config.node_name, error)
            await env.sleep(delay)
            delay = min(delay * 2, _LAST_DELAY)

    async def _create_or_adopt(self) -> Object:
        name = self._config.node_name
        wanted = new_node(self._config, self._machine)
        if not self._config.register_node:
            return await self._client.get(NODES, "", name)
        await self._look_at_runtime()
        wanted["status"] = self._status({})
        try:
            node = await self._client.create(NODES, "", wanted)
        except AlreadyExists:
            node = await self._client.get(NODES, "", name)
            patch = {
                "metadata": {
                    "labels": wanted["metadata"]["labels"],
                    "annotations": wanted["metadata"]["annotations"],
                }
            }
            node = await self._client.patch(
                NODES, "", name, patch, content_type=STRATEGIC_MERGE_PATCH
            )
        else:
            self._tell_conditions({}, node)
        return node

    # Status

    async def run_status(self) -> None:
        """Post when something changed, and as a sign of life now and then."""
        self._event("Starting", "Starting kubelet.")
        while True:
            self._changed.clear()
            try:
                await self._post_if_needed()
            except (ApiError, ConnectionError, TimeoutError) as error:
                _log.warning("node status of %s: %s", self._config.node_name, error)
            wait = self._config.status_seconds * (1 + _JITTER * (env.random().random() * 2 - 1))
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _look_at_runtime(self) -> None:
        """Version and images; whether it answers at all decides about the node's readiness."""
        try:
            async with asyncio.timeout(_RUNTIME_ANSWER_SECONDS):
                version = await self._runtime.version()
                images = await self._runtime.list_images()
        except TimeoutError:
            text = f"no answer within {_RUNTIME_ANSWER_SECONDS:g}s"
            self.runtime_problem = f"container runtime is down: {text}"
        except RuntimeUnavailable as error:
            self.runtime_problem = self.runtime_problem or f"container runtime is down: {error}"
        except RuntimeFailure as error:
            _log.warning("container runtime of %s: %s", self._config.node_name, error)
        else:
            self.runtime_problem = ""
            self._runtime_version = f"{self._runtime.name}://{version}"
            self._images = tuple(images)

    async def _post_if_needed(self) -> None:
        await self._look_at_runtime()
        status = self._status(self._node.get("status") or {})
        before = self._node.get("status") or {}
        # An empty list is stored as none at all.
        shown = without_heartbeats(before)
        unchanged = all(
            (shown.get(name) or None) == (value or None)
            for name, value in without_heartbeats(status).items()
        )
        recent = env.monotonic() - self._posted_at < self._config.status_report_seconds
        if unchanged and recent:
            return
        patch: dict[str, Any] = dict(status)
        if before.get("addresses") and before["addresses"] != status["addresses"]:
            patch["addresses"] = [{"$patch": "replace"}, *status["addresses"]]
        node = await self._client.patch(
            NODES,
            "",
            self._config.node_name,
            {"status": patch},
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="status",
        )
        self._posted_at = env.monotonic()
        self._tell_conditions(before, node)
        self.observe(node)

    def _status(self, old: Object) -> Object:
        problems = [self.runtime_problem] if self.runtime_problem else []
        if self._facts.network_problem:
            problems.append(
                "container runtime network not ready: NetworkReady=false "
                f"{self._facts.network_problem}"
            )
        seen = NodeObservation(
            machine=self._machine,
            runtime_version=self._runtime_version,
            images=self._images,
            problems=problems,
            now=env.timestamp(),
        )
        status = node_status(self._config, old, seen)
        self._facts.allocatable = status["allocatable"]
        return status

    def _tell_conditions(self, before: Object, node: Object) -> None:
        """Events for conditions that are new or have turned."""
        after = node.get("status") or {}
        for kind in (*_CONDITION_EVENTS, "Ready"):
            old = condition_of(before.get("conditions"), kind)
            new = condition_of(after.get("conditions"), kind)
            if new is None or (old is not None and old["status"] == new["status"]):
                continue
            if kind != "Ready":
                self._node_event(new["reason"].replace("Kubelet", "Node", 1))
            elif old is not None:
                self._node_event("NodeReady" if new["status"] == "True" else "NodeNotReady")

    def _node_event(self, reason: str) -> None:
        self._event(reason, f"Node {self._config.node_name} status is now: {reason}")

    def _event(self, reason: str, message: str) -> None:
        reference = {"apiVersion": "v1", "kind": "Node", "name": self._config.node_name}
        self._recorder.event_for(reference, NORMAL, reason, message)

    # Lease

    async def run_lease(self) -> None:
        """Renew each ten seconds; trouble is retried sooner."""
        await self._create_csi_node()
        delay = 0.2
        while True:
            try:
                await self._renew()
                wait, delay = self._config.lease_seconds, 0.2
                wait *= 1 + _JITTER * env.random().random()
            except (ApiError, ConnectionError, TimeoutError) as error:
                if not isinstance(error, (Conflict, NotFound)):
                    _log.info("lease of %s: %s", self._config.node_name, error)
                self._lease = None
                wait = delay
                delay = min(delay * 2, _LAST_DELAY)
            await env.sleep(wait)

    async def _renew(self) -> None:
        name = self._config.node_name
        if self._lease is None:
            try:
                self._lease = await self._client.get(LEASES, _LEASE_NAMESPACE, name)
            except NotFound:
                lease = self._renewed(
                    {
                        "apiVersion": "coordination.k8s.io/v1",
                        "kind": "Lease",
                        "metadata": {"name": name, "namespace": _LEASE_NAMESPACE},
                        "spec": {},
                    }
                )
                self._lease = await self._client.create(LEASES, _LEASE_NAMESPACE, lease)
                return
        self._lease = await self._client.update(
            LEASES, _LEASE_NAMESPACE, self._renewed(self._lease)
        )

    def _renewed(self, lease: Object) -> Object:
        name = self._config.node_name
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(self._node)}
        spec = {
            **(lease.get("spec") or {}),
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_DURATION_SECONDS,
            "renewTime": env.micro_timestamp(),
        }
        return {
            **lease,
            "metadata": {**lease["metadata"], "ownerReferences": [owner]},
            "spec": spec,
        }

    async def _create_csi_node(self) -> None:
        """Schedulers look for it; no driver is ever listed."""
        name = self._config.node_name
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(self._node)}
        obj = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": name, "ownerReferences": [owner]},
            "spec": {"drivers": []},
        }
        try:
            await self._client.create(_CSI_NODES, "", obj)
        except (ApiError, ConnectionError, TimeoutError) as error:
            if not isinstance(error, AlreadyExists):
                _log.info("CSINode %s: %s", name, error)
