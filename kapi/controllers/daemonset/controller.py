"""Observes DaemonSets, nodes, pods and revisions, and acts on the plan."""

from kapi import env
from kapi.api.object import (
    Object,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from kapi.api.selectors import LabelSelector, label_selector_from_object
from kapi.client.client import DAEMON_SETS, NODES, PODS
from kapi.client.events import NORMAL, WARNING
from kapi.client.informer import key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop, slow_start
from kapi.controllers.context import ControllerContext
from kapi.controllers.daemonset.backoff import FailedPodBackoff
from kapi.controllers.daemonset.placement import fit, new_pod
from kapi.controllers.daemonset.plan import (
    Observed,
    Plan,
    next_moment,
    plan,
    plan_status,
)
from kapi.controllers.deployment.revisions import template_hash
from kapi.controllers.history.plan import (
    POD_REVISION,
    find_current,
    new_revision,
    oldest_unused,
    snapshot,
)
from kapi.controllers.history.revisions import Revisions
from kapi.controllers.owned_pods import OwnedPods
from kapi.controllers.ownership import namespace_terminating
from kapi.controllers.pods import phase_of

NAME = "daemon-set-controller"
EVENT_SOURCE = "daemonset-controller"
_PACE = 0.05


class DaemonSetController:
    """One key per daemon set."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=2, pace=_PACE))
        self._backoff = FailedPodBackoff()
        self._revisions = Revisions(context.client, context.informers, DAEMON_SETS)
        self._owned = OwnedPods(context, DAEMON_SETS, self._loop.queue.add)
        self._nodes = context.informers.get(NODES)
        self._nodes.add_handler(self._node_seen, self._node_changed, self._node_seen)
        self._revisions.informer.add_handler(
            lambda _: None, lambda _, __: None, self._revision_gone
        )

    async def run(self) -> None:
        await self._owned.wait_synced()
        await self._nodes.wait_synced()
        await self._revisions.informer.wait_synced()
        await self._loop.run()

    def _node_seen(self, node: Object) -> None:
        for daemon_set in self._owned.owners.list():
            if fit(daemon_set, node)[0]:
                self._loop.queue.add(key_of(daemon_set))

    def _node_changed(self, old: Object, new: Object) -> None:
        """Most changes are heartbeats, which move no pod."""
        taints = [(node.get("spec") or {}).get("taints") for node in (old, new)]
        if labels_of(old) == labels_of(new) and taints[0] == taints[1]:
            return
        for daemon_set in self._owned.owners.list():
            if fit(daemon_set, old) != fit(daemon_set, new):
                self._loop.queue.add(key_of(daemon_set))

    def _revision_gone(self, revision: Object) -> None:
        """It may have been the present one, which is then to be recorded anew."""
        if (owner := self._owned.owner_of(revision)) is not None:
            self._loop.queue.add(key_of(owner))

    # Reconciling

    async def reconcile(self, key: str) -> float | None:
        """One round for one daemon set."""
        daemon_set = self._owned.owners.get(key)
        if daemon_set is None:
            self._owned.expectations.forget(key)
            self._backoff.forget(key)
            return None
        selector = label_selector_from_object(daemon_set["spec"].get("selector"))
        if selector.empty:
            message = "This daemon set is selecting all pods. A non-empty selector is required."
            self._recorder.event(daemon_set, WARNING, "SelectingAll", message)
            return None
        if is_deleting(daemon_set):
            return None
        pods = await self._owned.claimed(daemon_set, selector)
        revisions, current, collisions = await self._settle(daemon_set, selector, pods)
        observed = Observed(
            daemon_set,
            tuple(self._nodes.list()),
            tuple(pods),
            labels_of(current).get(POD_REVISION, ""),
            env.now(),
            self._backoff.resting(key),
        )
        may_act = self._owned.expectations.satisfied(key)
        error = await self._act(key, observed, plan(observed)) if may_act else None
        status = plan_status(observed, caught_up=may_act, collision_count=collisions)
        await self._owned.write_status(daemon_set, status)
        if error is not None:
            raise error
        if may_act:
            await self._truncate(daemon_set, revisions, current, pods)
        if not self._owned.expectations.satisfied(key):
            return self._owned.expectations.remaining(key)
        return next_moment(observed)

    async def _settle(
        self, daemon_set: Object, selector: LabelSelector, pods: list[Object]
    ) -> tuple[list[Object], Object, int | None]:
        """All revisions, the one of the present template, and the collision count."""
        revisions = await self._revisions.claimed(daemon_set, selector)
        template = daemon_set["spec"]["template"]
        current, collisions = await self._revisions.settle(
            daemon_set,
            revisions,
            lambda number, count: new_revision(
                daemon_set, number, template_hash(template, count), POD_REVISION
            ),
            (daemon_set.get("status") or {}).get("collisionCount"),
        )
        duplicates = find_current(revisions, snapshot(daemon_set)).duplicates
        for duplicate in duplicates:
            await self._merge(duplicate, current, pods)
        kept = [revision for revision in revisions if revision not in duplicates]
        return kept, current, collisions

    async def _merge(self, duplicate: Object, current: Object, pods: list[Object]) -> None:
        """One template, two revisions: the pods of the older one become the newer one's, also in
        `pods`, so that this round does not take them for outdated."""
        old, new = (labels_of(each).get(POD_REVISION, "") for each in (duplicate, current))
        for index, pod in enumerate(pods):
            if labels_of(pod).get(POD_REVISION) == old != new:
                patch = {"metadata": {"uid": uid_of(pod), "labels": {POD_REVISION: new}}}
                await self._owned.patch(pod, patch)
                labels = {**labels_of(pod), POD_REVISION: new}
                pods[index] = {**pod, "metadata": {**pod["metadata"], "labels": labels}}
        await self._revisions.delete(duplicate)

    async def _truncate(
        self, daemon_set: Object, revisions: list[Object], current: Object, pods: list[Object]
    ) -> None:
        """Keep as many old revisions as the limit says, and those that pods are made from."""
        old = [revision for revision in revisions if name_of(revision) != name_of(current)]
        hashes = {labels_of(pod).get(POD_REVISION) for pod in pods}
        live = {name_of(each) for each in old if labels_of(each).get(POD_REVISION) in hashes}
        limit = int(daemon_set["spec"].get("revisionHistoryLimit", 10))
        for revision in oldest_unused(old, len(old) - limit, live):
            await self._revisions.delete(revision)

    # Acting

    async def _act(self, key: str, observed: Observed, decided: Plan) -> Exception | None:
        daemon_set = observed.daemon_set
        if not decided.create and not decided.delete:
            return None
        for node, pod in decided.finished:
            self._report_finished(key, daemon_set, node, pod)
        leaving = [uid_of(pod) for pod in decided.delete]
        self._owned.expectations.expect(key, len(decided.create), leaving)

        async def create(index: int) -> None:
            body = new_pod(daemon_set, decided.create[index], observed.revision_hash)
            await self._create(daemon_set, body)

        created, create_error = await slow_start(len(decided.create), create)
        # What was not created will never be seen.
        self._owned.expectations.creation_seen(key, len(decided.create) - created)
        if create_error is not None and namespace_terminating(create_error):
            create_error = None
        delete_error = await self._owned.delete_all(
            daemon_set,
            tuple(decided.delete),
            lambda pod, error: self._report_deleted(daemon_set, pod, error),
        )
        return create_error or delete_error

    async def _create(self, daemon_set: Object, body: Object) -> None:
        try:
            pod = await self._client.create(PODS, namespace_of(daemon_set), body)
        except Exception as error:
            if not namespace_terminating(error):
                message = f"Error creating: {error}"
                self._recorder.event(daemon_set, WARNING, "FailedCreate", message)
            raise
        message = f"Created pod: {name_of(pod)}"
        self._recorder.event(daemon_set, NORMAL, "SuccessfulCreate", message)

    def _report_finished(self, key: str, daemon_set: Object, node: str, pod: Object) -> None:
        name = f"{namespace_of(pod)}/{name_of(pod)}"
        if phase_of(pod) == "Failed":
            self._backoff.failed(key, node)
            message = f"Found failed daemon pod {name} on node {node}, will try to kill it"
            self._recorder.event(daemon_set, WARNING, "FailedDaemonPod", message)
        else:
            message = f"Found succeeded daemon pod {name} on node {node}, will try to delete it"
            self._recorder.event(daemon_set, NORMAL, "SucceededDaemonPod", message)

    def _report_deleted(self, daemon_set: Object, pod: Object, error: Exception | None) -> None:
        if error is None:
            message = f"Deleted pod: {name_of(pod)}"
            self._recorder.event(daemon_set, NORMAL, "SuccessfulDelete", message)
        else:
            message = f"Error deleting: {error}"
            self._recorder.event(daemon_set, WARNING, "FailedDelete", message)
