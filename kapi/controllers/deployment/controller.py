"""Observes deployments, their ReplicaSets and pods, and acts on the plan."""

from kapi import env
from kapi.api.errors import AlreadyExists, ApiError, Invalid, NotFound
from kapi.api.object import (
    Object,
    condition_of,
    controller_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from kapi.api.selectors import label_selector_from_object
from kapi.client.client import DEPLOYMENTS, PODS, REPLICA_SETS, STRATEGIC_MERGE_PATCH
from kapi.client.events import WARNING
from kapi.client.informer import key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.deployment.limits import deadline_seconds
from kapi.controllers.deployment.plan import Observed, Plan, Write, plan
from kapi.controllers.deployment.revisions import same_template
from kapi.controllers.deployment.status import new_condition, set_condition
from kapi.controllers.ownership import (
    NO_CONTROLLER,
    adoption_patch,
    by_controller,
    claim,
    namespace_terminating,
    release_patch,
)

NAME = "deployment-controller"
# Upstream gives up after 15 retries until something changes.
_OPTIONS = LoopOptions(workers=5, max_retries=15, pace=0.05)


class DeploymentController:
    """One key per deployment."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._deployments = context.informers.get(DEPLOYMENTS)
        self._replica_sets = context.informers.get(REPLICA_SETS)
        self._pods = context.informers.get(PODS)
        for informer in (self._replica_sets, self._pods):
            informer.add_index("controller", by_controller)
        self._loop = ReconcileLoop(NAME, self.reconcile, _OPTIONS)
        self._deployments.add_handler(
            self._enqueue, lambda _, new: self._enqueue(new), self._enqueue
        )
        self._replica_sets.add_handler(self._owned_added, self._owned_changed, self._owned_gone)
        self._pods.add_handler(lambda _: None, lambda _, __: None, self._pod_gone)

    async def run(self) -> None:
        for informer in (self._deployments, self._replica_sets, self._pods):
            await informer.wait_synced()
        await self._loop.run()

    # Events

    def _enqueue(self, deployment: Object) -> None:
        self._loop.queue.add(key_of(deployment))

    def _owner_of(self, replica_set: Object) -> Object | None:
        reference = controller_of(replica_set)
        if reference is None or reference.get("kind") != "Deployment":
            return None
        owner = self._deployments.get(f"{namespace_of(replica_set)}/{reference['name']}")
        return owner if owner is not None and uid_of(owner) == reference["uid"] else None

    def _enqueue_owner(self, replica_set: Object) -> None:
        if (owner := self._owner_of(replica_set)) is not None:
            self._enqueue(owner)

    def _enqueue_matching(self, replica_set: Object) -> None:
        for deployment in self._deployments.in_namespace(namespace_of(replica_set)):
            selector = label_selector_from_object(deployment["spec"].get("selector"))
            if not selector.empty and selector.matches(labels_of(replica_set)):
                self._enqueue(deployment)

    def _owned_added(self, replica_set: Object) -> None:
        if is_deleting(replica_set) or controller_of(replica_set) is not None:
            self._enqueue_owner(replica_set)
        else:
            self._enqueue_matching(replica_set)

    def _owned_changed(self, old: Object, new: Object) -> None:
        if controller_of(old) != controller_of(new):
            self._enqueue_owner(old)
        if controller_of(new) is not None:
            self._enqueue_owner(new)
        elif labels_of(old) != labels_of(new) or controller_of(old) is not None:
            self._enqueue_matching(new)

    def _owned_gone(self, replica_set: Object) -> None:
        self._enqueue_owner(replica_set)

    def _pod_gone(self, pod: Object) -> None:
        """Recreate waits for the last old pod; no other strategy cares."""
        reference = controller_of(pod)
        if reference is None or reference.get("kind") != "ReplicaSet":
            return
        replica_set = self._replica_sets.get(f"{namespace_of(pod)}/{reference['name']}")
        owner = self._owner_of(replica_set) if replica_set is not None else None
        if owner is None or (owner["spec"].get("strategy") or {}).get("type") != "Recreate":
            return
        if not any(True for _ in self._pods.by_index("controller", reference["uid"])):
            self._enqueue(owner)

    # Reconciling

    async def reconcile(self, key: str) -> float | None:
        """One step for one deployment."""
        deployment = self._deployments.get(key)
        if deployment is None:
            return None
        replica_sets = await self._claimed(deployment)
        pods = {
            uid_of(rs): tuple(self._pods.by_index("controller", uid_of(rs))) for rs in replica_sets
        }
        decided = plan(Observed(deployment, tuple(replica_sets), pods, env.now()))
        return await self._act(deployment, decided)

    async def _claimed(self, deployment: Object) -> list[Object]:
        selector = label_selector_from_object(deployment["spec"].get("selector"))
        if selector.empty:
            return []
        candidates = [
            rs
            for value in (uid_of(deployment), NO_CONTROLLER + namespace_of(deployment))
            for rs in self._replica_sets.by_index("controller", value)
        ]
        claimed = claim(deployment, selector, candidates)
        owned = list(claimed.kept)
        if claimed.adopt and await self._still_there(deployment):
            for replica_set in claimed.adopt:
                patched = await self._patch(replica_set, adoption_patch(deployment, replica_set))
                if patched is not None:
                    owned.append(patched)
        for replica_set in claimed.release:
            await self._patch(replica_set, release_patch(deployment, replica_set))
        return owned

    async def _still_there(self, deployment: Object) -> bool:
        try:
            live = await self._client.get(
                DEPLOYMENTS, namespace_of(deployment), name_of(deployment)
            )
        except NotFound:
            return False
        return uid_of(live) == uid_of(deployment) and not is_deleting(live)

    async def _patch(self, replica_set: Object, patch: Object) -> Object | None:
        try:
            return await self._client.patch(
                REPLICA_SETS,
                namespace_of(replica_set),
                name_of(replica_set),
                patch,
                content_type=STRATEGIC_MERGE_PATCH,
            )
        except (NotFound, Invalid):
            return None

    async def _act(self, deployment: Object, decided: Plan) -> float | None:
        for write in decided.writes:
            if not await self._write(deployment, write):
                return None
        for note in decided.notes:
            self._recorder.event(deployment, note.kind, note.reason, note.message)
        namespace = namespace_of(deployment)
        if decided.update_spec:
            await self._client.update(DEPLOYMENTS, namespace, decided.deployment)
        elif decided.deployment != deployment and _differs(deployment, decided.deployment):
            # The revision annotation travels with the status: /status keeps annotations.
            await self._client.update(
                DEPLOYMENTS, namespace, decided.deployment, subresource="status"
            )
        return decided.revisit_in

    async def _write(self, deployment: Object, write: Write) -> bool:
        """False: nothing more is to be done in this round."""
        replica_set = write.replica_set
        namespace = namespace_of(replica_set)
        if write.verb == "update":
            await self._client.update(REPLICA_SETS, namespace, replica_set)
        elif write.verb == "delete":
            metadata = replica_set["metadata"]
            preconditions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
            options = {"preconditions": preconditions, "propagationPolicy": "Background"}
            try:
                await self._client.delete(
                    REPLICA_SETS, namespace, name_of(replica_set), options=options
                )
            except NotFound:
                pass
        else:
            return await self._create(deployment, replica_set)
        return True

    async def _create(self, deployment: Object, replica_set: Object) -> bool:
        try:
            await self._client.create(REPLICA_SETS, namespace_of(deployment), replica_set)
        except AlreadyExists:
            await self._settle_name_clash(deployment, replica_set)
            return False
        except ApiError as error:
            if namespace_terminating(error):
                return False
            await self._report_failed_create(deployment, replica_set, error)
            raise
        return True

    async def _settle_name_clash(self, deployment: Object, replica_set: Object) -> None:
        """Ours from a round that our copy has not seen: fine. Otherwise try another name."""
        namespace, name = namespace_of(deployment), name_of(replica_set)
        live = await self._client.get(REPLICA_SETS, namespace, name)
        controller = controller_of(live)
        mine = controller is not None and controller.get("uid") == uid_of(deployment)
        if mine and same_template(live["spec"]["template"], deployment["spec"]["template"]):
            return
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        await self._client.update(
            DEPLOYMENTS, namespace, {**deployment, "status": status}, subresource="status"
        )

    async def _report_failed_create(
        self, deployment: Object, replica_set: Object, error: ApiError
    ) -> None:
        message = f'Failed to create new replica set "{name_of(replica_set)}": {error}'
        self._recorder.event(deployment, WARNING, "ReplicaSetCreateError", message)
        if deadline_seconds(deployment) is None:
            return
        status = dict(deployment.get("status") or {})
        condition = new_condition(
            "Progressing", "False", "ReplicaSetCreateError", message, env.now()
        )
        set_condition(status, condition)
        known = condition_of((deployment.get("status") or {}).get("conditions"), "Progressing")
        if known is None or known.get("reason") != "ReplicaSetCreateError":
            await self._client.update(
                DEPLOYMENTS,
                namespace_of(deployment),
                {**deployment, "status": status},
                subresource="status",
            )


def _differs(old: Object, new: Object) -> bool:
    """Would the write change anything? Absent counters are zero, absent lists empty."""
    if old["metadata"] != new["metadata"]:
        return True
    before, after = old.get("status") or {}, new.get("status") or {}
    names = {*before, *after}
    return any((before.get(name) or 0) != (after.get(name) or 0) for name in names)
