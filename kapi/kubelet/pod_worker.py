"""The life of one pod on its node: start, keep, stop, report. Strictly one step at a time.

Upstream: pkg/kubelet/pod_workers.go and kubelet.go SyncPod, SyncTerminatingPod, SyncTerminatedPod.
A worker at rest has no task: something must happen (a change in the API, an event of the runtime, a
probe, a timer) for it to look again.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kapi import env
from kapi.api.errors import ApiError, Conflict, NotFound
from kapi.api.object import Object, is_deleting, name_of, namespace_of
from kapi.client.client import PODS
from kapi.client.events import NORMAL, WARNING
from kapi.kubelet.actions import compute_pod_actions
from kapi.kubelet.config import NETWORK_RETRY_SECONDS, SYNC_RETRY_SECONDS
from kapi.kubelet.pod_resize import PodResizer
from kapi.kubelet.pod_start import Outcome, PodStarter
from kapi.kubelet.pod_state import PodState
from kapi.kubelet.pod_stop import PodStopper, termination_grace
from kapi.kubelet.probes.pod_probes import PodProbes
from kapi.kubelet.runtime.interface import RuntimeFailure, RuntimeUnavailable
from kapi.kubelet.services import PodServices, container_recorder, record_pod
from kapi.kubelet.status import TERMINAL_PHASES, failed_status, rejected_status
from kapi.kubelet.status_sender import StatusSender
from kapi.kubelet.volumes.pod_volumes import MountFailure

_log = logging.getLogger(__name__)
_MOUNT_RETRY_FIRST, _MOUNT_RETRY_MAX = 0.5, 122.0
_DEADLINE_REASON = "DeadlineExceeded"
_DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"

Stage = Literal["syncing", "terminating", "terminated", "finished"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the kubelet ends a pod on its own account."""

    reason: str
    message: str


class PodWorker:
    """`on_finished(uid)` is called once nothing of the pod is left on the node."""

    def __init__(
        self, services: PodServices, pod: Object, on_finished: Callable[[str], None]
    ) -> None:
        self.stage: Stage = "syncing"
        self.state = PodState(services, pod)
        self._services = services
        self._on_finished = on_finished
        self._sender = StatusSender(services.client, pod)
        self._starter = PodStarter(self.state, self._report_now)
        self._stopper = PodStopper(self.state)
        self._resizer = PodResizer(self.state, self._report_now)
        self._probes = PodProbes(
            self.state,
            services.prober,
            lambda name: container_recorder(services, self.state.pod, name),
            self._probe_news,
        )
        self._verdict: Verdict | None = None
        self._gone = False
        self._started = False
        self._grace = 0
        self._mount_delay = _MOUNT_RETRY_FIRST
        self._dirty = False
        self._loop_task: asyncio.Task[None] | None = None
        self._step_task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._scope = env.TaskScope()

    @property
    def pod(self) -> Object:
        return self.state.pod

    # What happens to it

    def update(self, pod: Object) -> None:
        """The API has a new version of the pod."""
        if self.stage == "finished":
            return
        before = self.state.api_pod
        self.state.update(pod)
        self._sender.observe(pod)
        if is_deleting(pod):
            self._terminate()
        if self._started and _same_but_status(before, pod):
            # Mostly the echo of our own report; a condition of somebody else's may matter.
            if self.stage == "syncing":
                self._report_now()
            return
        self._started = True
        self.wake()

    def removed(self) -> None:
        """The API object is gone (force deletion); the containers still get their time."""
        self._gone = True
        self._terminate()
        self.wake()

    def reject(self, reason: str, message: str) -> None:
        """Admission said no: the pod fails without ever having been started."""
        record_pod(self._services, self.pod, WARNING, reason, message)
        self.state.status = rejected_status(self.pod, reason, message, env.timestamp())
        self.stage = "terminated"
        self._sender.send(self.state.status)
        self.wake()

    def end(self, reason: str, message: str) -> None:
        """Stop the pod and report it as failed for this reason."""
        self._verdict = self._verdict or Verdict(reason, message)
        self._terminate()
        self.wake()

    def wake(self) -> None:
        """Look again, soon and once."""
        self._dirty = True
        if self._loop_task is None and self.stage != "finished":
            self._loop_task = self._scope.spawn(self._run(), f"pod {name_of(self.pod)}")

    async def close(self) -> None:
        """Let go without touching containers."""
        self._cancel_timer()
        await self._scope.close()
        await self._probes.close()
        await self._sender.close()

    # The loop

    def _terminate(self) -> None:
        """Begin to stop, or stop faster; whatever is being started is interrupted."""
        grace = termination_grace(self.pod)
        if self.stage == "syncing":
            self.stage, self._grace = "terminating", grace
        elif self.stage == "terminating" and grace < self._grace:
            self._grace = grace
        else:
            return
        if self._step_task is not None:
            self._step_task.cancel()

    async def _run(self) -> None:
        try:
            while self._dirty and self.stage != "finished":
                self._dirty = False
                self._cancel_timer()
                self._step_task = self._scope.spawn(self._step(), f"step of {name_of(self.pod)}")
                await asyncio.wait({self._step_task})
        finally:
            self._loop_task = self._step_task = None
        if self._dirty and self.stage != "finished":
            self.wake()

    async def _step(self) -> None:
        try:
            if self.stage == "syncing":
                await self._sync()
            elif self.stage == "terminating":
                await self._sync_terminating()
            elif self.stage == "terminated":
                await self._sync_terminated()
        except RuntimeUnavailable as error:
            # The node's condition tells; the kubelet wakes everybody when the engine is back.
            _log.info("pod %s waits: %s", name_of(self.pod), error)
            self._wake_in(SYNC_RETRY_SECONDS)
        except RuntimeFailure as error:
            kind = "FailedKillPod" if self.stage == "terminating" else "FailedSync"
            text = "error killing pod" if self.stage == "terminating" else "error syncing pod"
            record_pod(self._services, self.pod, WARNING, kind, f"{text}: {error}")
            self._wake_in(SYNC_RETRY_SECONDS)
        except Exception:
            _log.exception("pod %s/%s", namespace_of(self.pod), name_of(self.pod))
            self._wake_in(SYNC_RETRY_SECONDS)

    def _wake_in(self, seconds: float) -> None:
        """The earliest of several timers wins."""
        seconds = max(seconds, 0.0)
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._timer is not None and self._timer.when() <= when:
            return
        self._cancel_timer()
        self._timer = loop.call_at(when, self.wake)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Keeping it running

    async def _sync(self) -> None:
        state, services = self.state, self._services
        if (self.pod.get("status") or {}).get("phase") in TERMINAL_PHASES:
            self._terminate_from_within()
            return
        await state.observe()
        status = state.compute()
        if status["phase"] in TERMINAL_PHASES:
            self._terminate_from_within()
            return
        self._report(status)
        if self._deadline_passed():
            record_pod(services, self.pod, NORMAL, _DEADLINE_REASON, _DEADLINE_MESSAGE)
            self._verdict = Verdict(_DEADLINE_REASON, _DEADLINE_MESSAGE)
            self._terminate_from_within()
            return
        if services.node.network_problem and not self.pod["spec"].get("hostNetwork"):
            text = f"network is not ready: {services.node.network_problem}"
            record_pod(services, self.pod, WARNING, "NetworkNotReady", text)
            self._wake_in(NETWORK_RETRY_SECONDS * (1 + env.random().random() / 2))
            return
        self._probes.ensure()
        services.objects.register(state.uid, state.object_keys())
        if services.config.manage_volumes and not await self._mount():
            return
        self._resizer.allocate()
        resized = await self._resizer.actuate()
        actions = compute_pod_actions(self.pod, state.view, state.probes, state.actual_resources)
        outcome = Outcome() if actions.nothing else await self._starter.perform(actions)
        outcome.failed = outcome.failed or not resized
        await self._after(outcome)

    async def _after(self, outcome: Outcome) -> None:
        if outcome.changed:
            await self.state.observe()
            self.wake()
        self._report_now()
        self._probes.hurry()
        if outcome.failed:
            self._wake_in(SYNC_RETRY_SECONDS * (1 + env.random().random() / 2))
        if outcome.retry_at is not None:
            self._wake_in(outcome.retry_at - env.now().timestamp() + 0.01)
        refresh = self.state.volumes.next_refresh()
        if refresh is not None:
            self._wake_in((refresh - env.now()).total_seconds())

    async def _mount(self) -> bool:
        """Volumes are there and current; False: tried in vain, with events and a timer."""
        state = self.state
        try:
            await state.volumes.ensure(self.pod, self._services.node.allocatable)
        except MountFailure as failure:
            for failed in failure.failures:
                text = f'MountVolume.SetUp failed for volume "{failed.name}" : {failed.message}'
                record_pod(self._services, self.pod, WARNING, "FailedMount", text)
            self._report_now()
            self._wake_in(self._mount_delay)
            self._mount_delay = min(self._mount_delay * 2, _MOUNT_RETRY_MAX)
            return False
        self._mount_delay = _MOUNT_RETRY_FIRST
        return True

    def _deadline_passed(self) -> bool:
        seconds, started = self.pod["spec"].get("activeDeadlineSeconds"), None
        if seconds is None:
            return False
        started = env.parse_time(self.state.status["startTime"])
        left = float(seconds) - (env.now() - started).total_seconds()
        if left > 0:
            self._wake_in(left)
        return left <= 0

    def _terminate_from_within(self) -> None:
        """The step itself found that the pod is to end: the next step stops it."""
        if self.stage == "syncing":
            self.stage, self._grace = "terminating", termination_grace(self.pod)
        self._dirty = True

    # Reporting

    def _report(self, status: Object) -> None:
        self.state.status = status
        self._sender.send(status)

    def _report_now(self) -> None:
        if not self.state.observed:
            # Without a look at the runtime everything would seem to be lost.
            return
        status = self.state.compute()
        if status["phase"] not in TERMINAL_PHASES:
            self._report(status)

    def _probe_news(self) -> None:
        if self.stage in ("syncing", "terminating"):
            self._report_now()
        if self.stage == "syncing":
            self.wake()

    # Ending it

    async def _sync_terminating(self) -> None:
        state = self.state
        already = (self.pod.get("status") or {}).get("phase") in TERMINAL_PHASES
        await state.observe()
        if not already:
            self._report_now()
        await self._stopper.stop(self._grace)
        await state.observe()
        if not already or state.view.instances:
            status = state.compute(terminal=True)
            if self._verdict is not None and not already:
                status = failed_status(status, self._verdict.reason, self._verdict.message)
            self._report(status)
        await self._probes.close()
        if not self._gone:
            await self._sender.flush()
        if self._services.config.manage_volumes:
            await state.volumes.tear_down()
        self._services.objects.unregister(state.uid)
        self.stage = "terminated"
        self.wake()

    async def _sync_terminated(self) -> None:
        """Nothing runs. Once the API object is to go, let it go, then the remains."""
        if not (self._gone or self._sender.gone or is_deleting(self.pod)):
            return
        if not self._gone:
            await self._sender.flush()
            if not await self._delete():
                self._wake_in(1.0)
                return
        await self.state.observe()
        for sandbox in self.state.view.sandboxes:
            await self._services.runtime.remove_sandbox(sandbox.id)
        self._services.images.forget_pod(self.state.uid)
        self.stage = "finished"
        self._on_finished(self.state.uid)

    async def _delete(self) -> bool:
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.state.uid},
        }
        namespace, name = namespace_of(self.pod), name_of(self.pod)
        try:
            await self._services.client.delete(PODS, namespace, name, options=options)
        except (NotFound, Conflict):
            # Gone, or another pod has the name by now.
            pass
        except (ApiError, ConnectionError, TimeoutError) as error:
            _log.warning("deleting pod %s/%s: %s", namespace, name, error)
            return False
        return True


def _same_but_status(before: Object, after: Object) -> bool:
    """Whether nothing changed that a pod's containers could depend on."""
    ignored = ("resourceVersion", "managedFields")
    metadata = [
        {name: value for name, value in pod["metadata"].items() if name not in ignored}
        for pod in (before, after)
    ]
    return before["spec"] == after["spec"] and metadata[0] == metadata[1]
