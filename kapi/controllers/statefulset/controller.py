"""Observes StatefulSets, their pods, claims and revisions, and acts on the plan."""

from kapi import env
from kapi.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kapi.api.object import Object, is_deleting, labels_of, name_of, namespace_of, uid_of
from kapi.api.selectors import label_selector_from_object
from kapi.client.client import (
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
)
from kapi.client.events import NORMAL, WARNING
from kapi.client.informer import key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop, slow_start
from kapi.controllers.context import ControllerContext
from kapi.controllers.history.plan import new_revision, oldest_unused
from kapi.controllers.history.revisions import Revisions
from kapi.controllers.owned_pods import OwnedPods
from kapi.controllers.ownership import namespace_terminating
from kapi.controllers.statefulset.claims import (
    FindClaim,
    claim_names,
    has_foreign_controller,
    leaving_claim,
    missing_claims,
    with_owner,
)
from kapi.controllers.statefulset.identity import (
    REVISION_HASH_LABEL,
    identity_labels,
    is_member,
    ordinal_of,
    revision_hash,
    revision_of,
)
from kapi.controllers.statefulset.plan import (
    Observed,
    Plan,
    next_availability,
    plan,
    plan_status,
)

NAME = "statefulset-controller"
_PACE = 0.05
# How soon to look again at a claim that has to go first, should the news of its end be missed.
_CLAIM_PATIENCE_SECONDS = 30.0


class StatefulSetController:
    """One key per set."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(pace=_PACE))
        self._revisions = Revisions(context.client, context.informers, STATEFUL_SETS)
        self._claims = context.informers.get(PERSISTENT_VOLUME_CLAIMS)
        self._owned = OwnedPods(context, STATEFUL_SETS, self._loop.queue.add, member=is_member)
        self._claims.add_handler(lambda _: None, lambda _, __: None, self._claim_gone)

    async def run(self) -> None:
        await self._owned.wait_synced()
        await self._revisions.informer.wait_synced()
        await self._claims.wait_synced()
        await self._loop.run()

    def _claim_gone(self, claim: Object) -> None:
        """A pod may be waiting for the name."""
        for stateful_set in self._owned.owners.in_namespace(namespace_of(claim)):
            templates = stateful_set["spec"].get("volumeClaimTemplates") or ()
            ends = [f"{name_of(each)}-{name_of(stateful_set)}" for each in templates]
            if any(ordinal_of(each, name_of(claim)) is not None for each in ends):
                self._loop.queue.add(key_of(stateful_set))

    # Reconciling

    async def reconcile(self, key: str) -> float | None:
        """One step for one set."""
        stateful_set = self._owned.owners.get(key)
        if stateful_set is None:
            self._owned.expectations.forget(key)
            return None
        selector = label_selector_from_object(stateful_set["spec"].get("selector"))
        if selector.empty:
            return None
        revisions = await self._revisions.claimed(stateful_set, selector)
        pods = await self._owned.claimed(stateful_set, selector)
        current, update, collisions = await self._settle(stateful_set, revisions)
        if current is None or update is None:
            return None
        observed = Observed(stateful_set, tuple(pods), current, update, env.now())
        may_act = self._owned.expectations.satisfied(key)
        decided = plan(observed) if may_act else Plan()
        again, error = await self._act(key, stateful_set, decided)
        status = plan_status(observed, decided, collisions)
        await self._owned.write_status(stateful_set, status)
        if error is not None:
            raise error
        if may_act:
            await self._truncate(observed, revisions)
        if not self._owned.expectations.satisfied(key):
            return self._owned.expectations.remaining(key)
        waits = [each for each in (again, next_availability(observed)) if each is not None]
        return min(waits, default=None)

    async def _settle(
        self, stateful_set: Object, revisions: list[Object]
    ) -> tuple[Object | None, Object | None, int]:
        """The current and the update revision, and the collision count. A set on its way out
        records no more."""
        status = stateful_set.get("status") or {}
        collisions: int | None = int(status.get("collisionCount") or 0)
        by_name = {name_of(revision): revision for revision in revisions}
        if is_deleting(stateful_set):
            update = by_name.get(status.get("updateRevision", ""))
        else:
            update, collisions = await self._revisions.settle(
                stateful_set,
                revisions,
                lambda number, count: new_revision(
                    stateful_set, number, revision_hash(stateful_set, count), REVISION_HASH_LABEL
                ),
                collisions,
            )
        current = by_name.get(status.get("currentRevision", ""), update)
        return current, update, collisions or 0

    async def _truncate(self, observed: Observed, revisions: list[Object]) -> None:
        """Forget what is neither in use nor within the limit; a negative limit keeps all."""
        limit = int(observed.stateful_set["spec"].get("revisionHistoryLimit", 10))
        live = {name_of(observed.current), name_of(observed.update)}
        live |= {revision_of(pod) for pod in observed.pods}
        unused = sum(name_of(revision) not in live for revision in revisions)
        if limit < 0 or is_deleting(observed.stateful_set):
            return
        for revision in oldest_unused(revisions, unused - limit, live):
            await self._revisions.delete(revision)

    # Acting

    async def _act(
        self, key: str, stateful_set: Object, decided: Plan
    ) -> tuple[float | None, Exception | None]:
        """When to come again without an event, and the first error, which ends the round."""
        find = self._finder(stateful_set)
        set_name = name_of(stateful_set)
        ready = []
        for pod in decided.create:
            ordinal = ordinal_of(set_name, name_of(pod))
            if ordinal is not None and leaving_claim(stateful_set, ordinal, find) is None:
                ready.append(pod)
        again = None if len(ready) == len(decided.create) else _CLAIM_PATIENCE_SECONDS
        if ready or decided.delete:
            leaving = [uid_of(pod) for pod in decided.delete]
            self._owned.expectations.expect(key, len(ready), leaving)
        created, error = await slow_start(
            len(ready), lambda index: self._create(stateful_set, ready[index], find)
        )
        # What was not created will never be seen.
        self._owned.expectations.creation_seen(key, len(ready) - created)
        if error is None:
            error = await self._tend(stateful_set, decided, find)
        if error is not None:
            for pod in decided.delete:
                self._owned.expectations.deletion_seen(key, uid_of(pod))
            return again, None if namespace_terminating(error) else error
        error = await self._owned.delete_all(
            stateful_set,
            tuple(decided.delete),
            lambda pod, failed: self._report_pod(stateful_set, "Delete", pod, failed),
        )
        return again, error

    def _finder(self, stateful_set: Object) -> FindClaim:
        namespace = namespace_of(stateful_set)
        return lambda name: self._claims.get(f"{namespace}/{name}")

    async def _create(self, stateful_set: Object, pod: Object, find: FindClaim) -> None:
        try:
            await self._create_claims(stateful_set, pod, find)
            await self._client.create(PODS, namespace_of(stateful_set), pod)
        except AlreadyExists:
            # Ours, not seen yet, or somebody else's: either way to be looked at again.
            raise
        except Exception as error:
            if not namespace_terminating(error):
                self._report_pod(stateful_set, "Create", pod, error)
            raise
        self._report_pod(stateful_set, "Create", pod, None)

    async def _create_claims(self, stateful_set: Object, pod: Object, find: FindClaim) -> None:
        ordinal = ordinal_of(name_of(stateful_set), name_of(pod))
        if ordinal is None:
            return
        for claim in missing_claims(stateful_set, ordinal, find):
            about = f"Claim {name_of(claim)} Pod {name_of(pod)} in StatefulSet"
            set_name = name_of(stateful_set)
            try:
                await self._client.create(
                    PERSISTENT_VOLUME_CLAIMS, namespace_of(stateful_set), claim
                )
            except AlreadyExists:
                continue
            except ApiError as error:
                if not namespace_terminating(error):
                    message = f"Create {about} {set_name} failed error: {error}"
                    self._recorder.event(stateful_set, WARNING, "FailedCreate", message)
                raise
            message = f"Create {about} {set_name} success"
            self._recorder.event(stateful_set, NORMAL, "SuccessfulCreate", message)

    async def _tend(self, stateful_set: Object, decided: Plan, find: FindClaim) -> Exception | None:
        """What pods that exist still lack, before any of them is deleted."""
        try:
            for pod in decided.claim:
                await self._create_claims(stateful_set, pod, find)
            for pod in decided.relabel:
                await self._relabel(stateful_set, pod)
            for pod in decided.retain:
                await self._retain(stateful_set, pod, find)
        except (ApiError, ConnectionError) as error:
            return error
        return None

    async def _relabel(self, stateful_set: Object, pod: Object) -> None:
        ordinal = ordinal_of(name_of(stateful_set), name_of(pod))
        labels = {**labels_of(pod), **identity_labels(name_of(pod), ordinal or 0)}
        patch = {"metadata": {"uid": uid_of(pod), "labels": labels}}
        if await self._owned.patch(pod, patch):
            self._report_pod(stateful_set, "Update", pod, None)

    async def _retain(self, stateful_set: Object, pod: Object, find: FindClaim) -> None:
        ordinal = ordinal_of(name_of(stateful_set), name_of(pod))
        if ordinal is None:
            return
        for name in claim_names(stateful_set, ordinal):
            claim = find(name)
            if claim is None:
                continue
            wanted = with_owner(stateful_set, pod, claim)
            if wanted is None:
                continue
            if has_foreign_controller(stateful_set, pod, claim):
                message = (
                    f"PersistentVolumeClaim {name} has another controller; the retention policy "
                    "is ignored for this claim"
                )
                self._recorder.event(stateful_set, WARNING, "ConflictingController", message)
                continue
            try:
                await self._client.update(
                    PERSISTENT_VOLUME_CLAIMS, namespace_of(stateful_set), wanted
                )
            except NotFound:
                continue

    def _report_pod(
        self, stateful_set: Object, verb: str, pod: Object, error: Exception | None
    ) -> None:
        about = f"{verb} Pod {name_of(pod)} in StatefulSet {name_of(stateful_set)}"
        if error is None:
            reason = f"Successful{verb}"
            self._recorder.event(stateful_set, NORMAL, reason, f"{about} successful")
        elif not isinstance(error, Conflict):
            message = f"{about} failed error: {error}"
            self._recorder.event(stateful_set, WARNING, f"Failed{verb}", message)
