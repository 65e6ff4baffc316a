"""Notes every sign of life, and looks at a node when its grace may have run out."""

from dataclasses import dataclass

from kapi import env
from kapi.api.errors import Conflict, NotFound
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.client.client import LEASES, MERGE_PATCH, NODES, PODS, STRATEGIC_MERGE_PATCH
from kapi.client.events import NORMAL, WARNING
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.node_lifecycle.plan import (
    GRACE_SECONDS,
    grace_of,
    heartbeat,
    plan_labels,
    plan_taints,
    ready_status,
    silent_conditions,
    wants_eviction,
)
from kapi.controllers.node_lifecycle.zones import Zones
from kapi.controllers.pods import is_ready, node_of, ready_condition

NAME = "node-controller"
_LEASE_NAMESPACE = "kube-node-lease"
# Seconds after which a zone that may not be tainted at all is looked at again.
_BLOCKED_ZONE = 30.0


@dataclass(slots=True)
class Health:
    """The last sign of life, by our own clock: nodes' clocks may differ."""

    seen_at: float
    heartbeat: str = ""
    renewed: str = ""


def by_node(pod: Object) -> list[str]:
    return [node_of(pod)] if node_of(pod) else []


class NodeLifecycleController:
    """Keys are node names. Leases only move a timer on; they cause no work."""

    def __init__(self, context: ControllerContext, grace: float = GRACE_SECONDS) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._grace = grace
        self._nodes = context.informers.get(NODES)
        self._pods = context.informers.get(PODS)
        self._pods.add_index("node", by_node)
        self._leases = context.informers.get(LEASES, _LEASE_NAMESPACE)
        self._health: dict[str, Health] = {}
        self._zones = Zones()
        self._was_all_down = False
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=8))
        self._nodes.add_handler(self._node_added, self._node_changed, self._node_gone)
        self._leases.add_handler(self._lease, lambda _, new: self._lease(new), lambda _: None)
        self._pods.add_handler(self._pod_added, self._pod_changed, lambda _: None)

    async def run(self) -> None:
        for informer in (self._nodes, self._leases, self._pods):
            await informer.wait_synced()
        await self._loop.run()

    # Events

    def _health_of(self, name: str) -> Health:
        health = self._health.get(name)
        if health is None:
            health = self._health[name] = Health(env.monotonic())
        return health

    def _node_added(self, node: Object) -> None:
        name = name_of(node)
        self._health_of(name).heartbeat = heartbeat(node)
        self._zones.put(node)
        self._report(node, "RegisteredNode", f"Registered Node {name} in Controller")
        self._loop.queue.add(name)

    def _node_changed(self, old: Object, new: Object) -> None:
        name = name_of(new)
        health, beat = self._health_of(name), heartbeat(new)
        if beat != health.heartbeat and ready_status(new) != "Unknown":
            health.heartbeat, health.seen_at = beat, env.monotonic()
        self._zones.put(new)
        if ready_status(old) == "True" and ready_status(new) != "True":
            message = f"Node {name} status is now: NodeNotReady"
            self._recorder.event(new, NORMAL, "NodeNotReady", message)
        self._loop.queue.add(name)

    def _node_gone(self, node: Object) -> None:
        name = name_of(node)
        self._health.pop(name, None)
        self._zones.remove(node)
        self._report(node, "RemovingNode", f"Removing Node {name} from Controller")

    def _report(self, node: Object, reason: str, what: str) -> None:
        message = f"Node {name_of(node)} event: {what}"
        self._recorder.event(node, NORMAL, reason, message)

    def _lease(self, lease: Object) -> None:
        if self._nodes.get(name_of(lease)) is None:
            # Left behind by a node that is gone, or just ahead of one that is coming.
            return
        renewed = (lease.get("spec") or {}).get("renewTime") or ""
        health = self._health_of(name_of(lease))
        if renewed != health.renewed:
            health.renewed, health.seen_at = renewed, env.monotonic()

    def _pod_added(self, pod: Object) -> None:
        node = self._nodes.get(node_of(pod)) if node_of(pod) else None
        if node is not None and ready_status(node) in ("False", "Unknown") and is_ready(pod):
            self._loop.queue.add(name_of(node))

    def _pod_changed(self, old: Object, new: Object) -> None:
        if node_of(old) != node_of(new):
            self._pod_added(new)

    # Reconciling

    async def reconcile(self, name: str) -> float | None:
        node = self._nodes.get(name)
        if node is None:
            self._health.pop(name, None)
            return None
        health = self._health_of(name)
        left = grace_of(node, self._grace) - (env.monotonic() - health.seen_at)
        if left <= 0:
            silent = silent_conditions(node, env.now())
            if silent is not None:
                node = await self._mark_silent(node, silent)
        self._notice_disruption()
        again = await self._taint(node)
        if ready_status(node) in ("False", "Unknown"):
            await self._mark_pods(node)
        if left > 0:
            # A little past the grace, so that one look suffices.
            again = min(again, left + 0.05) if again is not None else left + 0.05
        return again

    def _notice_disruption(self) -> None:
        """All zones down and back again: everybody's silence is forgiven and timed afresh."""
        down = self._zones.all_down
        if down == self._was_all_down:
            return
        self._was_all_down = down
        now = env.monotonic()
        for name, health in self._health.items():
            if not down:
                health.seen_at = now
            self._loop.queue.add(name)

    async def _mark_silent(self, node: Object, conditions: list[Object]) -> Object:
        status = {**(node.get("status") or {}), "conditions": conditions}
        return await self._client.update(
            NODES, "", {**node, "status": status}, subresource="status"
        )

    async def _taint(self, node: Object) -> float | None:
        """Returns when to come again for a taint that has to wait."""
        again: float | None = None
        may_evict = False
        if wants_eviction(node) and not self._zones.all_down:
            wait = self._zones.permit(node)
            may_evict = wait == 0.0
            if not may_evict:
                again = wait if wait is not None else _BLOCKED_ZONE
        taints = plan_taints(
            node, env.now(), may_evict=may_evict, drop_evictions=self._zones.all_down
        )
        labels = plan_labels(node)
        if taints is None and not labels:
            return again
        patch: Object = {"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]}}
        if labels:
            patch["metadata"]["labels"] = labels
        if taints is not None:
            patch["spec"] = {"taints": taints}
        try:
            await self._client.patch(NODES, "", name_of(node), patch, content_type=MERGE_PATCH)
        except NotFound:
            return None
        except Conflict:
            # A newer node is on its way and will be judged on arrival.
            return again
        return again

    async def _mark_pods(self, node: Object) -> None:
        """Nobody can say that they still serve. Only the status of the condition changes."""
        for pod in self._pods.by_index("node", name_of(node)):
            condition = ready_condition(pod)
            if condition is None or condition.get("status") != "True":
                continue
            moment = env.timestamp()
            changed = {"type": "Ready", "status": "False", "lastTransitionTime": moment}
            patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [changed]}}
            self._recorder.event(pod, WARNING, "NodeNotReady", "Node is not ready")
            try:
                await self._client.patch(
                    PODS,
                    namespace_of(pod),
                    name_of(pod),
                    patch,
                    content_type=STRATEGIC_MERGE_PATCH,
                    subresource="status",
                )
            except (NotFound, Conflict):
                continue
