"""Runs all controllers over one set of informers, each under its own identity."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kapi import env
from kapi.client.client import Client
from kapi.client.events import EventRecorder
from kapi.client.informers import Informers
from kapi.client.leader_election import LeaderElection, LeaderElectionConfig
from kapi.controllers.cluster_role_aggregation.controller import NAME as CLUSTER_ROLE_AGGREGATION
from kapi.controllers.cluster_role_aggregation.controller import (
    ClusterRoleAggregationController,
)
from kapi.controllers.context import Controller, ControllerContext
from kapi.controllers.cronjob.controller import NAME as CRON_JOB
from kapi.controllers.cronjob.controller import CronJobController
from kapi.controllers.daemonset.controller import EVENT_SOURCE as DAEMON_SET_EVENTS
from kapi.controllers.daemonset.controller import NAME as DAEMON_SET
from kapi.controllers.daemonset.controller import DaemonSetController
from kapi.controllers.deployment.controller import NAME as DEPLOYMENT
from kapi.controllers.deployment.controller import DeploymentController
from kapi.controllers.disruption.controller import EVENT_SOURCE as DISRUPTION_EVENTS
from kapi.controllers.disruption.controller import NAME as DISRUPTION
from kapi.controllers.disruption.controller import DisruptionController
from kapi.controllers.endpoints.controller import NAME as ENDPOINTS
from kapi.controllers.endpoints.controller import EndpointsController
from kapi.controllers.endpointslice.controller import NAME as ENDPOINT_SLICE
from kapi.controllers.endpointslice.controller import EndpointSliceController
from kapi.controllers.endpointslice.mirroring import NAME as MIRRORING
from kapi.controllers.endpointslice.mirroring import EndpointSliceMirroringController
from kapi.controllers.garbage_collector.controller import NAME as GARBAGE_COLLECTOR
from kapi.controllers.garbage_collector.controller import GarbageCollector
from kapi.controllers.job.controller import NAME as JOB
from kapi.controllers.job.controller import JobController
from kapi.controllers.job.orphans import OrphanPods
from kapi.controllers.namespace.controller import NAME as NAMESPACE
from kapi.controllers.namespace.controller import NamespaceController
from kapi.controllers.node_ipam.controller import NodeIpamController
from kapi.controllers.node_ipam.plan import DEFAULT_CLUSTER_CIDR, DEFAULT_MASK, Blocks
from kapi.controllers.node_lifecycle.controller import NAME as NODE
from kapi.controllers.node_lifecycle.controller import NodeLifecycleController
from kapi.controllers.node_lifecycle.plan import GRACE_SECONDS
from kapi.controllers.pod_gc.controller import NAME as POD_GC
from kapi.controllers.pod_gc.controller import PodGarbageCollector
from kapi.controllers.pod_gc.plan import TERMINATED_THRESHOLD
from kapi.controllers.replicaset.controller import (
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    ReplicaSetController,
)
from kapi.controllers.resource_quota.controller import NAME as RESOURCE_QUOTA
from kapi.controllers.resource_quota.controller import ResourceQuotaController
from kapi.controllers.root_ca.controller import NAME as ROOT_CA
from kapi.controllers.root_ca.controller import RootCaPublisher
from kapi.controllers.service_account.controller import NAME as SERVICE_ACCOUNT
from kapi.controllers.service_account.controller import ServiceAccountController
from kapi.controllers.statefulset.controller import NAME as STATEFUL_SET
from kapi.controllers.statefulset.controller import StatefulSetController
from kapi.controllers.storage_protection import controller as storage_protection
from kapi.controllers.taint_eviction.controller import NAME as TAINT_EVICTION
from kapi.controllers.taint_eviction.controller import TaintEvictionController
from kapi.controllers.ttl_after_finished.controller import NAME as TTL_AFTER_FINISHED
from kapi.controllers.ttl_after_finished.controller import TtlAfterFinishedController

MANAGER = "kube-controller-manager"


@dataclass(frozen=True, slots=True)
class ControllerManagerOptions:
    """`ca_pem` is published to every namespace; empty publishes nothing. Times in seconds."""

    ca_pem: str = ""
    cluster_cidr: str = DEFAULT_CLUSTER_CIDR
    node_cidr_mask: int = DEFAULT_MASK
    service_cidr: str = "10.96.0.0/16"
    allocate_node_cidrs: bool = True
    node_monitor_grace_seconds: float = GRACE_SECONDS
    terminated_pod_threshold: int = TERMINATED_THRESHOLD
    leader_elect: bool = False
    identity: str = "localhost"
    """Of this process in leader election."""


class ControllerManager:
    """`client_for(name)` gives a client that acts as the controller `name`.

    As upstream with per-controller credentials, that is the user
    `system:serviceaccount:kube-system:<name>`; for `kube-controller-manager`, whose client follows
    all resources and holds the lease, it is the user `system:kube-controller-manager`.
    """

    def __init__(
        self,
        client_for: Callable[[str], Client],
        options: ControllerManagerOptions | None = None,
    ) -> None:
        self._client_for = client_for
        self._options = options or ControllerManagerOptions()
        self._client = client_for(MANAGER)
        self.informers = Informers(self._client)
        self._recorders: list[EventRecorder] = []

    async def run(self) -> None:
        """Work until cancelled. Raises what a controller raises, or LeadershipLost."""
        if not self._options.leader_elect:
            await self._lead()
            return
        config = LeaderElectionConfig(name=MANAGER, identity=self._options.identity)
        recorder = EventRecorder(self._client, MANAGER)
        try:
            await LeaderElection(self._client, config, recorder).run(self._lead)
        finally:
            await recorder.close()

    async def _lead(self) -> None:
        scope = env.TaskScope()
        try:
            tasks = [
                scope.spawn(controller.run(), f"controller {type(controller).__name__}")
                for controller in self._controllers()
            ]
            self.informers.start()
            await asyncio.gather(*tasks)
        finally:
            await scope.close()
            await self.informers.close()
            for recorder in self._recorders:
                await recorder.close()

    def _context(self, name: str, component: str = "") -> ControllerContext:
        """`component` is the events' source where upstream's differs from the identity."""
        client = self._client_for(name)
        recorder = EventRecorder(client, component or name)
        self._recorders.append(recorder)
        return ControllerContext(client, self.informers, recorder)

    def _controllers(self) -> Iterable[Controller]:
        options = self._options
        yield DeploymentController(self._context(DEPLOYMENT))
        for kind in (REPLICA_SET, REPLICATION_CONTROLLER):
            yield ReplicaSetController(self._context(kind.controller), kind)
        yield StatefulSetController(self._context(STATEFUL_SET))
        yield DaemonSetController(self._context(DAEMON_SET, DAEMON_SET_EVENTS))
        job = self._context(JOB)
        yield JobController(job)
        yield OrphanPods(job)
        yield CronJobController(self._context(CRON_JOB))
        yield TtlAfterFinishedController(self._context(TTL_AFTER_FINISHED))
        yield ServiceAccountController(self._context(SERVICE_ACCOUNT))
        yield ClusterRoleAggregationController(self._context(CLUSTER_ROLE_AGGREGATION))
        if options.ca_pem:
            yield RootCaPublisher(self._context(ROOT_CA), options.ca_pem)
        yield DisruptionController(self._context(DISRUPTION, DISRUPTION_EVENTS))
        yield EndpointsController(self._context(ENDPOINTS))
        yield EndpointSliceController(self._context(ENDPOINT_SLICE))
        yield EndpointSliceMirroringController(self._context(MIRRORING))
        yield NamespaceController(self._context(NAMESPACE))
        yield GarbageCollector(self._context(GARBAGE_COLLECTOR), self._client)
        yield ResourceQuotaController(self._context(RESOURCE_QUOTA), self._client)
        for protection in (
            storage_protection.ClaimProtection,
            storage_protection.VolumeProtection,
            storage_protection.AttributesClassProtection,
        ):
            yield protection(self._context(protection.name))
        node = self._context(NODE)
        yield NodeLifecycleController(node, options.node_monitor_grace_seconds)
        # Upstream's taint eviction acts as the node controller and signs events by its own name.
        yield TaintEvictionController(self._context(NODE, TAINT_EVICTION))
        yield PodGarbageCollector(self._context(POD_GC), options.terminated_pod_threshold)
        if options.allocate_node_cidrs:
            blocks = Blocks(options.cluster_cidr, options.node_cidr_mask)
            yield NodeIpamController(node, blocks, options.service_cidr)
