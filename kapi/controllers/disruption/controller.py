"""Observes budgets and the pods they select, writes statuses, and resets stale conditions."""

import asyncio

from kapi import env
from kapi.api.errors import BadRequest, NotFound
from kapi.api.object import (
    Object,
    controller_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
)
from kapi.client.client import POD_DISRUPTION_BUDGETS, PODS
from kapi.client.events import NORMAL, WARNING
from kapi.client.informer import key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.disruption.plan import (
    ControllerScale,
    Observed,
    Plan,
    SyncFailed,
    failed_status,
    needs_scale,
    plan,
    seconds_until_stale,
    selector_in_words,
    selects,
    unmanaged,
    without_disruption,
)
from kapi.controllers.disruption.scales import ScaleFinder

NAME = "disruption-controller"
EVENT_SOURCE = "controllermanager"
_ASK_AGAIN_SECONDS = 5.0


class DisruptionController:
    """Two loops: one keyed by budget, one by pod with a DisruptionTarget condition."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._budgets = context.informers.get(POD_DISRUPTION_BUDGETS)
        self._pods = context.informers.get(PODS)
        self._scales = ScaleFinder(context.client, context.informers)
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=2, pace=0.05))
        self._stale = ReconcileLoop(f"{NAME} stale pods", self.reset, LoopOptions(workers=1))
        self._budgets.add_handler(self._enqueue, lambda _, new: self._enqueue(new), lambda _: None)
        self._pods.add_handler(self._pod_seen, self._pod_changed, self._pod_gone)
        for informer in self._scales.informers.values():
            informer.add_handler(self._scaled, self._scale_changed, lambda _: None)

    async def run(self) -> None:
        for informer in (self._budgets, self._pods, *self._scales.informers.values()):
            await informer.wait_synced()
        scope = env.TaskScope()
        try:
            loops = [scope.spawn(loop.run(), loop.name) for loop in (self._loop, self._stale)]
            await asyncio.gather(*loops)
        finally:
            await scope.close()

    # Events

    def _enqueue(self, budget: Object) -> None:
        self._loop.queue.add(key_of(budget))

    def _budgets_of(self, pod: Object) -> list[Object]:
        found = self._budgets.in_namespace(namespace_of(pod))
        return [budget for budget in found if _selects(budget, pod)]

    def _pod_gone(self, pod: Object) -> None:
        for budget in self._budgets_of(pod):
            self._enqueue(budget)

    def _pod_seen(self, pod: Object) -> None:
        budgets = self._budgets_of(pod)
        for budget in budgets:
            self._enqueue(budget)
        if len(budgets) > 1:
            message = (
                f'Pod "{namespace_of(pod)}"/"{name_of(pod)}" matches multiple '
                f'PodDisruptionBudgets.  Chose "{name_of(budgets[0])}" arbitrarily.'
            )
            self._recorder.event(pod, WARNING, "MultiplePodDisruptionBudgets", message)
        wait = seconds_until_stale(pod, env.now())
        if wait is not None:
            self._stale.queue.add_after(key_of(pod), wait)

    def _pod_changed(self, old: Object, new: Object) -> None:
        if labels_of(old) != labels_of(new):
            self._pod_gone(old)
        self._pod_seen(new)

    def _scaled(self, workload: Object) -> None:
        """Its pods may have been seen before it, or before its new scale."""
        for budget in self._budgets.in_namespace(namespace_of(workload)):
            if needs_scale(budget):
                self._enqueue(budget)

    def _scale_changed(self, old: Object, new: Object) -> None:
        before, after = old.get("spec") or {}, new.get("spec") or {}
        if before.get("replicas") != after.get("replicas"):
            self._scaled(new)

    # Budgets

    async def reconcile(self, key: str) -> float | None:
        """Bring one budget's status up to date; returns when an approved eviction lapses."""
        budget = self._budgets.get(key)
        if budget is None or is_deleting(budget):
            return None
        try:
            decided = await self._decide(budget)
        except SyncFailed as error:
            await self._write(budget, failed_status(budget, str(error), env.now()))
            return _ASK_AGAIN_SECONDS if error.transient else None
        for pod in decided.not_deleted:
            message = f"Pod was expected by PDB {key} to be deleted but it wasn't"
            self._recorder.event(pod, WARNING, "NotDeleted", message)
        await self._write(budget, decided.status)
        return decided.recheck_in

    async def _decide(self, budget: Object) -> Plan:
        try:
            namespace = self._pods.in_namespace(namespace_of(budget))
            pods = [pod for pod in namespace if selects(budget, pod)]
        except BadRequest as error:
            self._report(budget, WARNING, "NoPods", f"Failed to get pods: {error}")
            raise SyncFailed(str(error)) from error
        if not pods:
            self._report(budget, NORMAL, "NoPods", "No matching pods found")
        try:
            scales = await self._scales_of(budget, pods) if needs_scale(budget) else {}
            decided = plan(Observed(budget, pods, scales, env.now()))
        except SyncFailed as error:
            message = f"Failed to calculate the number of expected pods: {error}"
            self._report(budget, WARNING, "CalculateExpectedPodCountFailed", message)
            raise
        if needs_scale(budget) and unmanaged(pods):
            selector = selector_in_words(budget["spec"].get("selector"))
            message = (
                f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to "
                "be unmanaged. As a result, the status of the PDB cannot be calculated correctly, "
                "which may result in undefined behavior. To account for these pods please set "
                '".spec.minAvailable" field of the PDB to an integer value.'
            )
            self._report(budget, WARNING, "UnmanagedPods", message)
        return decided

    async def _scales_of(self, budget: Object, pods: list[Object]) -> dict[str, ControllerScale]:
        """By the uid of the pods' controllers; those that are gone are left out."""
        scales: dict[str, ControllerScale] = {}
        for pod in pods:
            reference = controller_of(pod)
            if reference is None or reference.get("uid") in scales:
                continue
            scale = await self._scales.find(reference, namespace_of(budget))
            if scale is not None:
                scales[str(reference.get("uid"))] = scale
        return scales

    async def _write(self, budget: Object, status: Object | None) -> None:
        """Raises Conflict if the budget has changed, by an eviction perhaps."""
        if status is None:
            return
        new = {**budget, "status": status}
        try:
            await self._client.update(
                POD_DISRUPTION_BUDGETS, namespace_of(budget), new, subresource="status"
            )
        except NotFound:
            return

    def _report(self, budget: Object, kind: str, reason: str, message: str) -> None:
        self._recorder.event(budget, kind, reason, message)

    # Pods

    async def reset(self, key: str) -> float | None:
        """Take DisruptionTarget back from a pod that was not deleted in time."""
        pod = self._pods.get(key)
        wait = seconds_until_stale(pod, env.now()) if pod is not None else None
        if pod is None or wait is None:
            return None
        if wait > 0:
            return wait
        try:
            new = without_disruption(pod, env.now())
            await self._client.update(PODS, namespace_of(pod), new, subresource="status")
        except NotFound:
            return None
        return None


def _selects(budget: Object, pod: Object) -> bool:
    """A selector that cannot be read selects no pod; its own reconciliation reports it."""
    try:
        return selects(budget, pod)
    except BadRequest:
        return False
