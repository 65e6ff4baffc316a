"""Observes pods and acts on the plan, for ReplicaSets and ReplicationControllers alike."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from kapi import env
from kapi.api.errors import ApiError, Invalid, NotFound
from kapi.api.object import (
    Object,
    controller_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from kapi.api.selectors import LabelSelector, label_selector_from_object, set_selector
from kapi.client.client import (
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STRATEGIC_MERGE_PATCH,
    ResourceRef,
)
from kapi.client.events import NORMAL, WARNING
from kapi.client.informer import key_of, split_key
from kapi.client.reconcile import Expectations, LoopOptions, ReconcileLoop, slow_start
from kapi.controllers.context import ControllerContext
from kapi.controllers.ownership import (
    NO_CONTROLLER,
    adoption_patch,
    by_controller,
    claim,
    namespace_terminating,
    release_patch,
)
from kapi.controllers.pods import is_terminal, pod_from_template
from kapi.controllers.replicaset.plan import (
    Failure,
    ReplicaPlan,
    next_availability,
    plan_replicas,
    plan_status,
    same_status,
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
        self._owners = context.informers.get(kind.resource)
        self._pods = context.informers.get(PODS)
        self._pods.add_index("controller", by_controller)
        self._owners.add_index("controller", by_controller)
        self._expectations = Expectations()
        self._loop = ReconcileLoop(kind.controller, self.reconcile, LoopOptions(pace=_PACE))
        self._owners.add_handler(self._enqueue, self._owner_changed, self._owner_gone)
        self._pods.add_handler(self._pod_added, self._pod_changed, self._pod_gone)

    @property
    def queue_idle(self) -> bool:
        return self._loop.queue.idle

    async def run(self) -> None:
        await self._owners.wait_synced()
        await self._pods.wait_synced()
        await self._loop.run()

    # Events

    def _enqueue(self, owner: Object) -> None:
        self._loop.queue.add(key_of(owner))

    def _owner_changed(self, old: Object, new: Object) -> None:
        self._enqueue(new)

    def _owner_gone(self, owner: Object) -> None:
        self._expectations.forget(key_of(owner))
        self._enqueue(owner)

    def _owner_of(self, pod: Object) -> Object | None:
        reference = controller_of(pod)
        if reference is None or reference.get("kind") != self._kind.resource.kind:
            return None
        owner = self._owners.get(f"{namespace_of(pod)}/{reference['name']}")
        return owner if owner is not None and uid_of(owner) == reference["uid"] else None

    def _enqueue_matching(self, pod: Object) -> None:
        """An orphan may be adopted by any owner that selects it."""
        labels = labels_of(pod)
        if not labels:
            return
        for owner in self._owners.in_namespace(namespace_of(pod)):
            selector = self._selector(owner)
            if not selector.empty and selector.matches(labels):
                self._enqueue(owner)

    def _pod_added(self, pod: Object) -> None:
        if is_deleting(pod):
            self._pod_gone(pod)
        elif controller_of(pod) is None:
            self._enqueue_matching(pod)
        elif (owner := self._owner_of(pod)) is not None:
            self._expectations.creation_seen(key_of(owner))
            self._enqueue(owner)

    def _pod_changed(self, old: Object, new: Object) -> None:
        if is_deleting(new) and not is_deleting(old):
            self._pod_gone(new)
        moved = controller_of(old) != controller_of(new)
        if moved and (before := self._owner_of(old)) is not None:
            self._enqueue(before)
        if (owner := self._owner_of(new)) is not None:
            self._enqueue(owner)
        elif controller_of(new) is None and (
            labels_of(old) != labels_of(new) or controller_of(old) is not None
        ):
            self._enqueue_matching(new)

    def _pod_gone(self, pod: Object) -> None:
        if (owner := self._owner_of(pod)) is not None:
            self._expectations.deletion_seen(key_of(owner), uid_of(pod))
            self._enqueue(owner)

    # Reconciling

    def _selector(self, owner: Object) -> LabelSelector:
        selector = owner["spec"].get("selector")
        if self._kind is REPLICATION_CONTROLLER:
            return set_selector(selector or {})
        return label_selector_from_object(selector)

    async def reconcile(self, key: str) -> float | None:
        """One round for one owner."""
        owner = self._owners.get(key)
        if owner is None:
            self._expectations.forget(key)
            return None
        may_act = self._expectations.satisfied(key) and not is_deleting(owner)
        pods = await self._claimed_pods(owner)
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
        await self._write_status(owner, plan_status(owner, pods, failure, now))
        if error is not None:
            raise error
        if not self._expectations.satisfied(key):
            return self._expectations.remaining(key)
        return next_availability(owner, pods, now)

    async def _claimed_pods(self, owner: Object) -> list[Object]:
        """Owned pods that have not finished, after adopting and releasing."""
        candidates = [
            pod
            for value in (uid_of(owner), NO_CONTROLLER + namespace_of(owner))
            for pod in self._pods.by_index("controller", value)
            if not is_terminal(pod)
        ]
        selector = self._selector(owner)
        if selector.empty:
            return []
        claimed = claim(owner, selector, candidates)
        pods = list(claimed.kept)
        if claimed.adopt and await self._still_there(owner):
            for pod in claimed.adopt:
                if await self._patch_owner(pod, adoption_patch(owner, pod)):
                    pods.append(pod)
        for pod in claimed.release:
            await self._patch_owner(pod, release_patch(owner, pod))
        return pods

    async def _still_there(self, owner: Object) -> bool:
        """Adopting on behalf of a deleted owner would hand pods to the garbage collector."""
        try:
            live = await self._client.get(self._kind.resource, namespace_of(owner), name_of(owner))
        except NotFound:
            return False
        return uid_of(live) == uid_of(owner) and not is_deleting(live)

    async def _patch_owner(self, pod: Object, patch: Object) -> bool:
        try:
            await self._client.patch(
                PODS, namespace_of(pod), name_of(pod), patch, content_type=STRATEGIC_MERGE_PATCH
            )
        except (NotFound, Invalid):
            # Gone, or another pod under the name by now.
            return False
        return True

    def _related(self, owner: Object) -> Iterable[Object]:
        """Pods of all owners that share this one's controller (the ReplicaSets of a Deployment)."""
        controller = controller_of(owner)
        siblings: Iterable[Object] = (owner,)
        if controller is not None:
            siblings = self._owners.by_index("controller", controller["uid"])
        for sibling in siblings:
            yield from self._pods.by_index("controller", uid_of(sibling))

    async def _act(self, key: str, owner: Object, plan: ReplicaPlan) -> Exception | None:
        if plan.create:
            return await self._create(key, owner, plan.create)
        if plan.delete:
            return await self._delete(key, owner, plan.delete)
        return None

    async def _create(self, key: str, owner: Object, count: int) -> Exception | None:
        self._expectations.expect_creations(key, count)
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
        self._expectations.creation_seen(key, count - created)
        return None if error is not None and namespace_terminating(error) else error

    async def _delete(self, key: str, owner: Object, pods: tuple[Object, ...]) -> Exception | None:
        self._expectations.expect_deletions(key, [uid_of(pod) for pod in pods])
        results = await asyncio.gather(*(self._delete_one(key, owner, pod) for pod in pods))
        return next((error for error in results if error is not None), None)

    async def _delete_one(self, key: str, owner: Object, pod: Object) -> Exception | None:
        options = {"preconditions": {"uid": uid_of(pod)}}
        try:
            await self._client.delete(PODS, namespace_of(pod), name_of(pod), options=options)
        except NotFound:
            self._expectations.deletion_seen(key, uid_of(pod))
        except (ApiError, ConnectionError) as error:
            self._expectations.deletion_seen(key, uid_of(pod))
            self._report(owner, WARNING, "FailedDelete", f"Error deleting: {error}")
            return error
        else:
            self._report(owner, NORMAL, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        return None

    def _report(self, owner: Object, kind: str, reason: str, message: str) -> None:
        self._recorder.event(owner, kind, reason, message)

    async def _write_status(self, owner: Object, status: Object) -> None:
        if same_status(owner.get("status") or {}, status):
            return
        namespace, name = split_key(key_of(owner))
        try:
            await self._client.update(
                self._kind.resource, namespace, {**owner, "status": status}, subresource="status"
            )
        except NotFound:
            return
        except ApiError:
            # Once more on the live object; after that the next event brings us back.
            live = await self._client.get(self._kind.resource, namespace, name)
            if uid_of(live) != uid_of(owner):
                return
            await self._client.update(
                self._kind.resource, namespace, {**live, "status": status}, subresource="status"
            )
