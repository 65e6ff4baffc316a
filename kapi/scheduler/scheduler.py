"""The scheduling loop: one decision at a time, many writes in flight.

Deciding is synchronous, from taking a pod out of the queue to assuming it on a node or putting it
back with its verdict; so no event can slip in between. Writing (bindings, conditions,
evictions) happens in tasks of which a bounded number run at once.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from kapi import env
from kapi.api.errors import ApiError
from kapi.api.object import is_deleting, uid_of
from kapi.client.client import PODS, Client, ResourceRef
from kapi.client.events import EventRecorder
from kapi.client.informers import Informers
from kapi.scheduler.algorithm import Algorithm
from kapi.scheduler.binder import Failure, VolumesNotBound, Writer, describe_error
from kapi.scheduler.framework import FitError, Placement
from kapi.scheduler.messages import fit_error_text
from kapi.scheduler.observer import BUDGETS, OPTIONAL, Observer
from kapi.scheduler.plugins.volume_binding import VolumeBinding
from kapi.scheduler.pod_info import PodInfo, pod_info
from kapi.scheduler.preemption import PLUGIN as PREEMPTION
from kapi.scheduler.preemption import Planner, Preemption
from kapi.scheduler.queue import QueuedPod
from kapi.scheduler.served import served_resources
from kapi.scheduler.state import State
from kapi.scheduler.volumes import VolumeDecision

_log = logging.getLogger(__name__)

DEFAULT_SCHEDULER = "default-scheduler"
WRITES_IN_FLIGHT = 32
_REMEMBERED_REFUSALS = 256

_Work = Coroutine[Any, Any, None]


class Scheduler:
    """`run` until cancelled. Pods whose `schedulerName` is another are left alone.

    With `informers` the watches are shared with other components, and started by their owner.
    """

    def __init__(
        self,
        client: Client,
        recorder: EventRecorder | None = None,
        *,
        name: str = DEFAULT_SCHEDULER,
        informers: Informers | None = None,
    ) -> None:
        self.name = name
        self.state = State()
        self._client = client
        self._served: frozenset[ResourceRef] = frozenset()
        self._own_informers = informers is None
        self._informers = informers or Informers(client)
        self._own_recorder = recorder is None
        self._recorder = recorder or EventRecorder(client, name)
        self._wakeup = asyncio.Event()
        self._observer = Observer(name, self.state, self._wakeup.set)
        self._volume_binding = VolumeBinding(self.state.volumes)
        self._algorithm = Algorithm(self.state.cache, self.state.plugins, self.state.nominations)
        self._planner = Planner(self.state.cache, self._algorithm)
        self._writer = Writer(client, self._recorder, name, self.state.volumes.claim)
        self._tasks = env.TaskScope()
        self._slots = asyncio.Semaphore(WRITES_IN_FLIGHT)
        self._verdicts: dict[str, FitError] = {}
        self._refusals: dict[bytes, tuple[tuple[int, int], FitError, Preemption]] = {}

    async def run(self) -> None:
        """Schedule until cancelled; nothing is left running afterwards."""
        self._served = await served_resources(self._client, OPTIONAL)
        self._observer.connect(self._informers, self._served)
        self._informers.get(PODS).add_handler(
            lambda _: None, lambda _, __: None, lambda pod: self._forget(uid_of(pod))
        )
        if self._own_informers:
            self._informers.start()
        try:
            await self._informers.wait_synced()
            while True:
                await self._turn()
        finally:
            await self._tasks.close()
            if self._own_informers:
                await self._informers.close()
            if self._own_recorder:
                await self._recorder.close()

    def _forget(self, uid: str) -> None:
        """The pod is gone: nobody will ask why it waited."""
        self._verdicts.pop(uid, None)

    def explain(self, uid: str) -> dict[str, tuple[str, ...]]:
        """Why the pod is pending: for each node the reasons of the plugin that refused it."""
        error = self._verdicts.get(uid)
        if error is None:
            return {}
        return {
            node.name: verdict.reasons
            for node in self.state.cache.nodes()
            if (verdict := error.verdict(node.name)) is not None
        }

    # -- the loop ------------------------------------------------------------------------------

    async def _turn(self) -> None:
        await self._slots.acquire()
        queue = self.state.queue
        now = env.monotonic()
        queue.wake_stale(now)
        queued = queue.pop(now)
        if queued is not None:
            work = self._decide(queued)
            self._tasks.spawn(self._in_slot(work), f"scheduling {queued.info.key}")
            return
        self._slots.release()
        self._wakeup.clear()
        deadline = queue.next_deadline(now)
        try:
            async with asyncio.timeout(deadline):
                await self._wakeup.wait()
        except TimeoutError:
            pass

    async def _in_slot(self, work: _Work) -> None:
        try:
            await work
        finally:
            self._slots.release()

    def _decide(self, queued: QueuedPod) -> _Work:
        """Decide now; the answer is what remains to be written."""
        pod = queued.info
        try:
            known = self._known_refusal(pod)
            outcome = known[0] if known else self._algorithm.schedule(pod)
            if isinstance(outcome, Placement):
                return self._assume(queued, outcome)
            return self._refuse(queued, outcome, known[1] if known else None)
        except Exception as error:
            # A fault in one pod's evaluation must not stop the scheduling of all others.
            _log.exception("scheduling %s", pod.key)
            return self._give_up(queued, f"internal error: {type(error).__name__}")

    # -- success -------------------------------------------------------------------------------

    def _assume(self, queued: QueuedPod, placement: Placement) -> _Work:
        pod, state = queued.info, self.state
        node = state.cache.node(placement.node)
        assert node is not None, "the algorithm chose among known nodes"
        decision = self._volume_binding.decide(pod, node)
        if decision is not None:
            state.volumes.reserve(decision)
        state.cache.assume(pod, placement.node)
        state.nominations.remove(pod.uid)
        self._verdicts.pop(pod.uid, None)
        return self._bind(queued, placement.node, decision)

    async def _bind(self, queued: QueuedPod, node: str, decision: VolumeDecision | None) -> None:
        pod = queued.info
        try:
            if decision is not None:
                await self._bind_volumes(decision, node)
            await self._writer.bind(pod, node)
        except (ApiError, ConnectionError, TimeoutError, VolumesNotBound) as error:
            _log.info("binding %s to %s: %s", pod.key, node, error)
            await self._undo(queued, describe_error(error))
        finally:
            if decision is not None:
                self.state.volumes.release(decision)

    async def _bind_volumes(self, decision: VolumeDecision, node: str) -> None:
        """May take minutes, so it must not keep a slot from others."""
        self._slots.release()
        try:
            await self._writer.bind_volumes(decision, node)
        finally:
            await self._slots.acquire()

    async def _undo(self, queued: QueuedPod, why: str) -> None:
        """The pod is not on the node after all, unless the watch says that it is."""
        cache, pod = self.state.cache, queued.info
        current = self._informers.get(PODS).get(pod.key)
        if not cache.is_assumed(pod.uid):
            return
        cache.forget(pod.uid)
        if current is None or uid_of(current) != pod.uid or is_deleting(current):
            return
        queued.info = pod_info(current)
        await self._give_up(queued, why)

    # -- failure -------------------------------------------------------------------------------

    def _known_refusal(self, pod: PodInfo) -> tuple[FitError, Preemption] | None:
        """What the last pod of the same class was told, if nothing has changed since."""
        if self.state.nominations.node_of(pod.uid):
            return None
        remembered = self._refusals.get(pod.class_key())
        if remembered is None or remembered[0] != self.state.generation():
            return None
        return remembered[1], remembered[2]

    def _refuse(self, queued: QueuedPod, error: FitError, known: Preemption | None) -> _Work:
        pod, now = queued.info, env.monotonic()
        self._verdicts[pod.uid] = error
        if error.total_nodes == 0:
            self.state.queue.refuse(queued, frozenset({"NodeName"}), now)
            return self._report(pod, Failure("Unschedulable", fit_error_text(error)))
        preemption = known or self._plan_preemption(pod, error)
        self.state.queue.refuse(queued, error.plugins(), now)
        if preemption.candidate is not None:
            return self._preempt(queued, error, preemption)
        self._remember_refusal(pod, error, preemption)
        nominated = None
        if preemption.gives_up_nomination and self.state.nominations.node_of(pod.uid):
            self.state.nominations.remove(pod.uid)
            nominated = ""
        text = fit_error_text(error, preemption.text)
        return self._report(pod, Failure("Unschedulable", text, nominated))

    def _plan_preemption(self, pod: PodInfo, error: FitError) -> Preemption:
        nodes = max(len(self.state.cache.nodes()), 1)
        return self._planner.plan(
            pod,
            error,
            list(self._informers.get(BUDGETS).list()) if BUDGETS in self._served else [],
            nominated=self.state.nominations.node_of(pod.uid),
            offset=env.random().randrange(nodes),
        )

    def _remember_refusal(self, pod: PodInfo, error: FitError, preemption: Preemption) -> None:
        if self.state.nominations.node_of(pod.uid):
            return
        if len(self._refusals) >= _REMEMBERED_REFUSALS:
            del self._refusals[next(iter(self._refusals))]
        self._refusals[pod.class_key()] = (self.state.generation(), error, preemption)

    async def _report(self, pod: PodInfo, failure: Failure) -> None:
        try:
            await self._writer.report_failure(pod, failure)
        except (ApiError, ConnectionError, TimeoutError) as error:
            _log.info("status of %s not written: %s", pod.key, error)

    def _give_up(self, queued: QueuedPod, why: str) -> _Work:
        """Not the pod's fault: try again after a while."""
        self.state.queue.fail(queued, env.monotonic())
        self._wakeup.set()
        return self._report(queued.info, Failure("SchedulerError", why))

    # -- preemption ----------------------------------------------------------------------------

    def _preempt(self, queued: QueuedPod, error: FitError, preemption: Preemption) -> _Work:
        """Promise the node now, so that nobody lesser takes it while the victims go."""
        pod, candidate = queued.info, preemption.candidate
        assert candidate is not None, "only called with a candidate"
        nominations = self.state.nominations
        lesser = [p for p in nominations.on(candidate.node) if p.priority < pod.priority]
        for other in lesser:
            nominations.remove(other.uid)
        nominations.set(pod, candidate.node)
        queued.held = True
        failure = Failure("Unschedulable", fit_error_text(error), candidate.node)

        async def act() -> None:
            try:
                await self._report(pod, failure)
                await self._writer.preempt(pod, candidate, lesser)
            except (ApiError, ConnectionError, TimeoutError) as problem:
                _log.info("%s for %s: %s", PREEMPTION, pod.key, problem)
                nominations.remove(pod.uid)
                queued.missed_event = True
            finally:
                self.state.queue.release(pod.uid, env.monotonic())
                self._wakeup.set()

        return act()
