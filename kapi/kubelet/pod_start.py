"""Carrying out a pod's planned actions: sandbox, then containers one after another.

Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go SyncPod, kuberuntime_container.go
startContainer.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from kapi import env
from kapi.api.object import Object
from kapi.client.events import NORMAL, WARNING
from kapi.kubelet import labels
from kapi.kubelet.actions import PodActions
from kapi.kubelet.config import MIN_STOP_GRACE_SECONDS
from kapi.kubelet.container_spec import BadConfiguration, StartRequest, container_spec
from kapi.kubelet.container_status import (
    RESTARTING_ALL_MESSAGE,
    RESTARTING_ALL_REASON,
    Reason,
)
from kapi.kubelet.hooks import HookFailure, HookTarget, run_hook
from kapi.kubelet.images import ImageFailure, ImageRequest
from kapi.kubelet.network_files import HostnameTooLong, lacks_cluster_dns, resolver_of
from kapi.kubelet.pod_state import PodState
from kapi.kubelet.pod_stop import PodStopper, probe_grace, stop_container, termination_grace
from kapi.kubelet.restarts import is_sidecar
from kapi.kubelet.runtime.interface import (
    ContainerSpec,
    ContainerStartFailed,
    Image,
    RuntimeFailure,
    RuntimeUnavailable,
)
from kapi.kubelet.sandbox_spec import UnsupportedSandbox, sandbox_spec
from kapi.kubelet.security import pod_name
from kapi.kubelet.services import container_recorder, find_container, record_pod

T = TypeVar("T")


class StartFailure(Exception):
    """A container was not started; `retry_at` is a wall-clock second, None the usual wait."""

    def __init__(self, reason: str, message: str, retry_at: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_at = retry_at


@dataclass(slots=True)
class Outcome:
    """`changed`: something was done, look again. `retry_at`: the earliest back-off that ends."""

    changed: bool = False
    failed: bool = False
    retry_at: float | None = None

    def note(self, failure: StartFailure) -> None:
        if failure.retry_at is None:
            self.failed = True
        elif self.retry_at is None or failure.retry_at < self.retry_at:
            self.retry_at = failure.retry_at


async def uninterrupted(coroutine: Coroutine[Any, Any, T], name: str) -> T:
    """Once begun, run to the end even if the caller is cancelled; then the cancellation goes on.

    A container must not come up behind the back of whoever stops the pod.
    """

    async def guarded() -> T | Exception:
        # Handed over as a value: an error is the caller's, not one of the background task.
        try:
            return await coroutine
        except Exception as error:
            return error

    task = env.spawn(guarded(), name)
    try:
        result = await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
    if isinstance(result, Exception):
        raise result
    return result


class PodStarter:
    """`report` is called when the status should be computed and sent again."""

    def __init__(self, state: PodState, report: Callable[[], None]) -> None:
        self._state = state
        self._services = state.services
        self._report = report

    async def perform(self, actions: PodActions) -> Outcome:
        """Raises RuntimeUnavailable."""
        state, outcome = self._state, Outcome()
        if actions.kill_pod and state.view.sandboxes:
            if actions.create_sandbox:
                text = "Pod sandbox changed, it will be killed and re-created."
                record_pod(self._services, state.pod, NORMAL, "SandboxChanged", text)
            await PodStopper(state).stop(termination_grace(state.pod))
            outcome.changed = True
        if actions.kill_pod and not actions.create_sandbox:
            return outcome
        if actions.restart_all:
            await self._restart_all()
            outcome.changed = True
            return outcome
        if actions.to_kill:
            await self._kill(actions)
            outcome.changed = True
        sandbox_id = actions.sandbox_id
        if actions.create_sandbox:
            created = await self._create_sandbox(actions.attempt)
            if created is None:
                outcome.failed = True
                return outcome
            sandbox_id, outcome.changed = created, True
        for name in actions.ephemeral_to_start:
            await self._start(sandbox_id, name, outcome)
        for name in actions.init_to_start:
            container = find_container(state.pod, name)
            started = await self._start(sandbox_id, name, outcome)
            if not started and container is not None and not is_sidecar(container):
                return outcome
        for name in actions.to_start:
            await self._start(sandbox_id, name, outcome)
        return outcome

    async def _kill(self, actions: PodActions) -> None:
        state = self._state
        running = {found.id: found for found in state.view.containers()}
        await asyncio.gather(
            *(
                stop_container(
                    state,
                    running[kill.container_id],
                    kill.message,
                    probe_grace(state.pod, kill.name, kill.probe),
                )
                for kill in actions.to_kill
                if kill.container_id in running
            )
        )
        await state.observe()

    async def _restart_all(self) -> None:
        """Away with every instance; those whose exit asked for it go last, so that an
        interruption leaves the question open rather than half answered."""
        state, runtime = self._state, self._services.runtime
        ephemeral = {c["name"] for c in state.pod["spec"].get("ephemeralContainers") or ()}
        found = [c for c in state.view.containers() if c.name not in ephemeral]
        running = [container for container in found if container.state == "running"]
        for container in running:
            record = container_recorder(self._services, state.pod, container.name)
            record(NORMAL, "Killing", "killing")
        await asyncio.gather(
            *(runtime.stop_container(c.id, MIN_STOP_GRACE_SECONDS) for c in running)
        )
        for container in sorted(found, key=lambda c: c.state == "exited"):
            await runtime.remove_container(container.id)
            attempt = labels.attempt_of(container.labels)
            known = state.removed_attempts.get(container.name, attempt)
            state.removed_attempts[container.name] = max(known, attempt)
            state.reasons[container.name] = Reason(RESTARTING_ALL_REASON, RESTARTING_ALL_MESSAGE)
        await state.observe()

    async def _create_sandbox(self, attempt: int) -> str | None:
        """The new sandbox's id; None when it failed, with an event."""
        state, services = self._state, self._services
        resolver, warnings = resolver_of(state.pod, services.dns)
        for text in warnings:
            record_pod(services, state.pod, WARNING, "DNSConfigForming", text)
        if lacks_cluster_dns(state.pod, services.dns):
            text = (
                f'pod: "{pod_name(state.pod)}". kubelet does not have ClusterDNS IP configured '
                'and cannot create Pod using "ClusterFirst" policy. '
                'Falling back to "Default" policy.'
            )
            record_pod(services, state.pod, WARNING, "MissingClusterDNS", text)
        domain = services.config.cluster_domain
        try:
            spec = sandbox_spec(state.pod, attempt, resolver, services.node.hostname, domain)
            sandbox = await uninterrupted(
                services.runtime.run_sandbox(spec), f"sandbox of {state.uid}"
            )
        except RuntimeUnavailable:
            raise
        except (RuntimeFailure, HostnameTooLong, UnsupportedSandbox) as error:
            text = f"Failed to create pod sandbox: {error}"
            record_pod(services, state.pod, WARNING, "FailedCreatePodSandBox", text)
            return None
        await state.observe()
        self._report()
        return sandbox.id

    async def _start(self, sandbox_id: str, name: str, outcome: Outcome) -> bool:
        """Start one container; a failure becomes its waiting reason and an event."""
        state = self._state
        container = find_container(state.pod, name)
        if container is None:
            return False
        record = container_recorder(self._services, state.pod, name)
        try:
            await self._start_container(sandbox_id, container, record)
        except StartFailure as failure:
            state.reasons[name] = Reason(failure.reason, str(failure))
            outcome.note(failure)
            return False
        state.reasons.pop(name, None)
        state.removed_attempts.pop(name, None)
        outcome.changed = True
        return True

    async def _start_container(
        self, sandbox_id: str, container: Object, record: Callable[[str, str, str], None]
    ) -> None:
        state, name = self._state, container["name"]
        self._check_back_off(container, record)
        image = await self._image(container, record)
        stale = state.view.instances.get(name, ())[1:]
        for found in stale:
            await self._services.runtime.remove_container(found.id)
        target = container.get("targetContainerName") or ""
        request = StartRequest(
            pod=state.pod,
            container=container,
            image=image,
            attempt=self._next_attempt(name),
            ips=state.view.ips,
            volumes=state.volumes.mounted,
            process_namespace_of=self._target_id(target) if target else "",
        )
        try:
            spec = await container_spec(self._services, request)
        except BadConfiguration as error:
            record(WARNING, "Failed", f"Error: {error}")
            raise StartFailure("CreateContainerConfigError", str(error)) from error
        container_id = await uninterrupted(
            self._create_and_start(sandbox_id, spec, record), f"start {name} of {state.uid}"
        )
        await self._post_start(container, container_id, record)

    def _check_back_off(self, container: Object, record: Callable[[str, str, str], None]) -> None:
        state, name = self._state, container["name"]
        newest = state.view.newest(name)
        if newest is None or newest.state != "exited" or newest.finished_at is None:
            return
        key = f"{name}\0{container.get('image', '')}\0{labels.encoded_resources(container)}"
        since, now = newest.finished_at.timestamp(), env.now().timestamp()
        if state.back_off.waiting(key, since, now):
            where = pod_name(state.pod)
            delay = _back_off_text(state.back_off.delay(key))
            text = f"Back-off restarting failed container {name} in pod {where}"
            record(WARNING, "BackOff", text)
            raise StartFailure(
                "CrashLoopBackOff",
                f"back-off {delay} restarting failed container={name} pod={where}",
                state.back_off.expiry(key, since),
            )
        state.back_off.next(key, since, now)

    async def _image(self, container: Object, record: Callable[[str, str, str], None]) -> Image:
        state = self._state
        request = ImageRequest(
            image=container.get("image", ""),
            policy=container.get("imagePullPolicy") or "",
            owner=state.uid,
            secrets=await self._pull_secrets(),
        )
        try:
            return await self._services.images.ensure(request, record)
        except ImageFailure as error:
            record(WARNING, "Failed", f"Error: {error.reason}")
            raise StartFailure(error.reason, str(error)) from error

    async def _pull_secrets(self) -> tuple[Object, ...]:
        found, missing = await self._state.pull_secrets()
        if missing:
            text = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed."
            )
            reason = "FailedToRetrieveImagePullSecret"
            record_pod(self._services, self._state.pod, WARNING, reason, text)
        return found

    def _next_attempt(self, name: str) -> int:
        newest = self._state.view.newest(name)
        reported = self._state.reported_status(name)
        count = int(reported.get("restartCount") or 0)
        if newest is None and name in self._state.removed_attempts:
            return self._state.removed_attempts[name] + 1
        if newest is None:
            return count + (1 if "terminated" in (reported.get("state") or {}) else 0)
        return max(labels.attempt_of(newest.labels), count) + 1

    def _target_id(self, target: str) -> str:
        newest = self._state.view.newest(target)
        if newest is None or newest.state != "running":
            raise StartFailure(
                "CreateContainerConfigError", f"unable to find target container {target}"
            )
        return newest.id

    async def _create_and_start(
        self, sandbox_id: str, spec: ContainerSpec, record: Callable[[str, str, str], None]
    ) -> str:
        runtime = self._services.runtime
        try:
            container_id = await runtime.create_container(sandbox_id, spec)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as error:
            record(WARNING, "Failed", f"Error: {error}")
            raise StartFailure("CreateContainerError", str(error)) from error
        record(NORMAL, "Created", "Container created")
        try:
            await runtime.start_container(container_id)
        except ContainerStartFailed as error:
            record(WARNING, "Failed", f"Error: {error}")
            raise StartFailure("RunContainerError", str(error)) from error
        record(NORMAL, "Started", "Container started")
        return container_id

    async def _post_start(
        self, container: Object, container_id: str, record: Callable[[str, str, str], None]
    ) -> None:
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        state = self._state
        target = HookTarget(state.pod, container, container_id, state.address())
        try:
            await run_hook(self._services.runtime, handler, target)
        except HookFailure as error:
            record(WARNING, "FailedPostStartHook", "PostStartHook failed")
            await state.observe()
            newest = state.view.newest(container["name"])
            if newest is not None and newest.state == "running":
                grace = termination_grace(state.pod)
                await stop_container(state, newest, "FailedPostStartHook", grace)
            raise StartFailure("PostStartHookError", str(error)) from error


def _back_off_text(seconds: float) -> str:
    """`10s` up to `5m0s`, as Go prints whole durations."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
