"""From watches to the cache and the queue: every change told as the event that may wake a pod."""

import logging
from collections.abc import Callable, Container

from kapi import env
from kapi.api.object import Object, is_deleting, labels_of, name_of, uid_of
from kapi.client.client import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    ResourceRef,
)
from kapi.client.informers import Informers
from kapi.scheduler.framework import ClusterEvent, EventKind
from kapi.scheduler.pod_info import PodInfo, pod_info
from kapi.scheduler.state import State

_log = logging.getLogger(__name__)

STATEFUL_SETS = ResourceRef("apps", "v1", "statefulsets", "StatefulSet")
STORAGE_CLASSES = ResourceRef(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False
)
BUDGETS = ResourceRef("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")

OPTIONAL = (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    BUDGETS,
)
"""Kinds that a server may not have; without them there is less to consider."""

_TERMINAL = ("Succeeded", "Failed")


class Observer:
    """Changes the state it is given. `wake` is called whenever there may be work."""

    def __init__(
        self,
        scheduler_name: str,
        state: State,
        wake: Callable[[], None],
    ) -> None:
        self._cache = state.cache
        self._queue = state.queue
        self._nominations = state.nominations
        self._workloads = state.workloads
        self._volumes = state.volumes
        self._scheduler_name = scheduler_name
        self._wake = wake

    def connect(self, informers: Informers, served: Container[ResourceRef]) -> None:
        """Follow everything that decides where a pod can go; of `OPTIONAL` only what is served."""
        informers.get(NODES).add_handler(self.node_added, self.node_updated, self.node_deleted)
        informers.get(NAMESPACES).add_handler(
            self._namespace_changed,
            lambda old, new: self._namespace_changed(new),
            lambda namespace: self._cache.remove_namespace(name_of(namespace)),
        )
        services = informers.get(SERVICES)
        services.add_handler(
            self._workloads.set_service,
            lambda old, new: self._workloads.set_service(new),
            self._workloads.remove_service,
        )
        for resource in (REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS):
            if resource in served or resource not in OPTIONAL:
                self._follow_owners(informers, resource)
        volumes = self._volumes
        for resource, put, drop in (
            (PERSISTENT_VOLUME_CLAIMS, volumes.set_claim, volumes.remove_claim),
            (PERSISTENT_VOLUMES, volumes.set_volume, volumes.remove_volume),
            (STORAGE_CLASSES, volumes.set_class, volumes.remove_class),
        ):
            if resource in served:
                self._follow_volumes(informers, resource, put, drop)
        if BUDGETS in served:
            informers.get(BUDGETS)
        informers.get(PODS).add_handler(self.pod_added, self.pod_updated, self.pod_deleted)

    # -- nodes ---------------------------------------------------------------------------------

    def node_added(self, node: Object) -> None:
        self._cache.set_node(node)
        self._node_event(EventKind.NODE_ADD, name_of(node))

    def node_updated(self, old: Object, new: Object) -> None:
        """Heartbeats change nothing that plugins read, and wake nobody."""
        if _scheduling_view(old) == _scheduling_view(new):
            return
        self._cache.set_node(new)
        self._node_event(EventKind.NODE_UPDATE, name_of(new))

    def node_deleted(self, node: Object) -> None:
        self._cache.remove_node(name_of(node))

    def _node_event(self, kind: EventKind, name: str) -> None:
        self._tell(ClusterEvent(kind, node=self._cache.node(name)))

    # -- pods ----------------------------------------------------------------------------------

    def pod_added(self, pod: Object) -> None:
        if (pod.get("status") or {}).get("phase") in _TERMINAL:
            return
        if pod["spec"].get("nodeName"):
            self._assigned(pod, None)
        elif self._is_ours(pod):
            self._pending(pod, None)

    def pod_updated(self, old: Object, new: Object) -> None:
        if (new.get("status") or {}).get("phase") in _TERMINAL:
            self.pod_deleted(new)
        elif new["spec"].get("nodeName"):
            self._assigned(new, old)
        elif self._is_ours(new):
            self._pending(new, old)

    def pod_deleted(self, pod: Object) -> None:
        uid = uid_of(pod)
        self._queue.remove(uid)
        promised = bool(self._nominations.node_of(uid))
        self._nominations.remove(uid)
        info = self._cache.remove_pod(uid)
        if info is None and promised:
            info = pod_info(pod)
        if info is not None:
            self._tell(ClusterEvent(EventKind.ASSIGNED_POD_DELETE, pod=info))

    def _assigned(self, pod: Object, old: Object | None) -> None:
        uid = uid_of(pod)
        info = self._parsed(pod)
        if info is None:
            return
        self._queue.remove(uid)
        self._nominations.remove(uid)
        before = self._cache.find_pod(uid)
        was_here = before is not None and not self._cache.is_assumed(uid)
        if was_here and old is not None and _pod_view(old) == _pod_view(pod):
            return
        self._cache.add_pod(info)
        if was_here:
            event = ClusterEvent(EventKind.ASSIGNED_POD_UPDATE, pod=info, old_pod=before)
        else:
            event = ClusterEvent(EventKind.ASSIGNED_POD_ADD, pod=info)
        self._tell(event)

    def _pending(self, pod: Object, old: Object | None) -> None:
        uid = uid_of(pod)
        if is_deleting(pod):
            self._queue.remove(uid)
            self._nominations.remove(uid)
            return
        if pod["spec"].get("schedulingGates"):
            self._queue.remove(uid)
            return
        if self._cache.has_pod(uid):
            return
        info = self._parsed(pod)
        if info is None:
            return
        nominated = (pod.get("status") or {}).get("nominatedNodeName")
        if nominated:
            self._nominations.set(info, nominated)
        elif old is not None and (old.get("status") or {}).get("nominatedNodeName"):
            self._nominations.remove(uid)
        changed = old is not None and _pod_view(old) != _pod_view(pod)
        self._queue.update(info, may_help=changed, now=env.monotonic())
        self._wake()

    def _is_ours(self, pod: Object) -> bool:
        return bool(pod["spec"].get("schedulerName") == self._scheduler_name)

    def _parsed(self, pod: Object) -> PodInfo | None:
        try:
            return pod_info(pod)
        except (ValueError, KeyError, TypeError):
            _log.exception("pod %s cannot be read and is left out", name_of(pod))
            return None

    # -- the rest ------------------------------------------------------------------------------

    def _namespace_changed(self, namespace: Object) -> None:
        self._cache.set_namespace(namespace)
        self._tell(ClusterEvent(EventKind.NAMESPACE_CHANGE))

    def _follow_owners(self, informers: Informers, resource: ResourceRef) -> None:
        kind = resource.kind
        informers.get(resource).add_handler(
            lambda owner: self._workloads.set_owner(kind, owner),
            lambda old, new: self._workloads.set_owner(kind, new),
            lambda owner: self._workloads.remove_owner(kind, owner),
        )

    def _follow_volumes(
        self,
        informers: Informers,
        resource: ResourceRef,
        put: Callable[[Object], None],
        drop: Callable[[Object], None],
    ) -> None:
        def changed(obj: Object) -> None:
            put(obj)
            self._volume_event()

        def gone(obj: Object) -> None:
            drop(obj)
            self._volume_event()

        informers.get(resource).add_handler(changed, lambda old, new: changed(new), gone)

    def _volume_event(self) -> None:
        # Verdicts remembered for a generation must not outlive a change of volumes.
        self._cache.generation += 1
        self._tell(ClusterEvent(EventKind.VOLUME_CHANGE))

    def _tell(self, event: ClusterEvent) -> None:
        if self._queue.on_event(event, env.monotonic()):
            self._wake()


def _scheduling_view(node: Object) -> tuple[object, ...]:
    """What the scheduler reads of a node."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return (
        labels_of(node),
        spec.get("taints"),
        spec.get("unschedulable"),
        status.get("allocatable"),
        status.get("images"),
    )


def _pod_view(pod: Object) -> tuple[object, ...]:
    """What plugins read of a pod; status only for resizes and terminations."""
    status = pod.get("status") or {}
    resources = [
        (entry.get("name"), entry.get("resources"), entry.get("allocatedResources"))
        for entry in status.get("containerStatuses") or ()
    ]
    preempted = [c for c in status.get("conditions") or () if c.get("type") == "DisruptionTarget"]
    return (
        pod["spec"],
        labels_of(pod),
        is_deleting(pod),
        resources,
        preempted,
        status.get("startTime"),
    )
