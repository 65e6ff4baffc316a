"""Observes pods and acts on the plan, for ReplicaSets and ReplicationControllers alike."""

from collections.abc import Iterable
from dataclasses import dataclass

from kapi import env
from kapi.api.object import (
    Object,
    controller_of,
    is_deleting,
    name_of,
    namespace_of,
    uid_of,
)
from kapi.api.selectors import LabelSelector, label_selector_from_object, set_selector
from kapi.client.client import (
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    ResourceRef,
)
from kapi.client.events import NORMAL, WARNING
from kapi.client.reconcile import LoopOptions, ReconcileLoop, slow_start
from kapi.controllers.context import ControllerContext
from kapi.controllers.owned_pods import OwnedPods
from kapi.controllers.ownership import by_controller, namespace_terminating
from kapi.controllers.pods import is_terminal, pod_from_template
from kapi.controllers.replicaset.plan import (
    Failure,
    ReplicaPlan,
    next_availability,
    plan_replicas,
    plan_status,
)

_PACE = 0.05


@dataclass(frozen=True, slots=True)
class OwnerKind:
    """Which of the two kinds, and the name its controller acts under."""

    resource: ResourceRef
    controller: str


REPLICA_SET = OwnerKind(REPLICA_SETS, "replicaset-controller")
REPLICATION_CONTROLLER = OwnerKind(REPLICATION_CONTROLLERS, "replication-controller")


class ReplicaSetController:
    """Keeps `spec.replicas` pods for every owner of the kind."""

    def __init__(self, context: ControllerContext, kind: OwnerKind = REPLICA_SET) -> None:
        self._kind = kind
        self._client = context.client
        self._recorder = context.recorder
        self._loop = ReconcileLoop(kind.controller, self.reconcile, LoopOptions(pace=_PACE))
        self._owned = OwnedPods(
            context,
            kind.resource,
            self._loop.queue.add,
            member=lambda _, pod: not is_terminal(pod),
            selector_of=self._selector,
        )
        self._owned.owners.add_index("controller", by_controller)

    async def run(self) -> None:
        await self._owned.wait_synced()
        await self._loop.run()

    # Reconciling

    def _selector(self, owner: Object) -> LabelSelector:
        selector = owner["spec"].get("selector")
        if self._kind is REPLICATION_CONTROLLER:
            return set_selector(selector or {})
        return label_selector_from_object(selector)

    async def reconcile(self, key: str) -> float | None:
        """One round for one owner."""
        owner = self._owned.owners.get(key)
        expectations = self._owned.expectations
        if owner is None:
            expectations.forget(key)
            return None
        may_act = expectations.satisfied(key) and not is_deleting(owner)
        selector = self._selector(owner)
        pods = [] if selector.empty else await self._owned.claimed(owner, selector)
        failure: Failure | None = None
        error: Exception | None = None
        now = env.now()
        if may_act:
            desired = owner["spec"].get("replicas", 1)
            plan = plan_replicas(desired, pods, list(self._related(owner)), now)
            error = await self._act(key, owner, plan)
            if error is not None:
                reason = "FailedCreate" if plan.missing > 0 else "FailedDelete"
                failure = Failure(reason, str(error))
        await self._owned.write_status(owner, plan_status(owner, pods, failure, now))
        if error is not None:
            raise error
        if not expectations.satisfied(key):
            return expectations.remaining(key)
        return next_availability(owner, pods, now)

    def _related(self, owner: Object) -> Iterable[Object]:
        """Pods of all owners that share this one's controller (the ReplicaSets of a Deployment)."""
        controller = controller_of(owner)
        siblings: Iterable[Object] = (owner,)
        if controller is not None:
            siblings = self._owned.owners.by_index("controller", controller["uid"])
        for sibling in siblings:
            yield from self._owned.pods.by_index("controller", uid_of(sibling))

    async def _act(self, key: str, owner: Object, plan: ReplicaPlan) -> Exception | None:
        if plan.create:
            return await self._create(key, owner, plan.create)
        if plan.delete:
            return await self._delete(key, owner, plan.delete)
        return None

    async def _create(self, key: str, owner: Object, count: int) -> Exception | None:
        self._owned.expectations.expect_creations(key, count)
        body = pod_from_template(owner["spec"]["template"], owner)

        async def create(_: int) -> None:
            try:
                pod = await self._client.create(PODS, namespace_of(owner), body)
            except Exception as error:
                if not namespace_terminating(error):
                    self._report(owner, WARNING, "FailedCreate", f"Error creating: {error}")
                raise
            self._report(owner, NORMAL, "SuccessfulCreate", f"Created pod: {name_of(pod)}")

        created, error = await slow_start(count, create)
        # What was not created will never be seen.
        self._owned.expectations.creation_seen(key, count - created)
        return None if error is not None and namespace_terminating(error) else error

    async def _delete(self, key: str, owner: Object, pods: tuple[Object, ...]) -> Exception | None:
        self._owned.expectations.expect_deletions(key, [uid_of(pod) for pod in pods])

        def report(pod: Object, error: Exception | None) -> None:
            if error is None:
                self._report(owner, NORMAL, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
            else:
                self._report(owner, WARNING, "FailedDelete", f"Error deleting: {error}")

        return await self._owned.delete_all(owner, pods, report)

    def _report(self, owner: Object, kind: str, reason: str, message: str) -> None:
        self._recorder.event(owner, kind, reason, message)
