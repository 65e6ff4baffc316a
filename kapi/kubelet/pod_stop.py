"""Stopping containers: hook, signal, order.

Upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer, and the termination
ordering of sidecars.
"""

import asyncio

from kapi import env
from kapi.api.object import Object
from kapi.client.events import NORMAL, WARNING
from kapi.kubelet.config import MIN_STOP_GRACE_SECONDS
from kapi.kubelet.hooks import HookFailure, HookTarget, run_hook
from kapi.kubelet.pod_state import PodState
from kapi.kubelet.restarts import is_sidecar
from kapi.kubelet.runtime.interface import Container
from kapi.kubelet.services import container_recorder, find_container


async def stop_container(
    state: PodState, container: Container, message: str, grace: int, *, hook: bool = True
) -> None:
    """Event, preStop within the grace, stop signal, SIGKILL. Raises RuntimeUnavailable."""
    record = container_recorder(state.services, state.pod, container.name)
    record(NORMAL, "Killing", message)
    began = env.monotonic()
    spec = find_container(state.pod, container.name)
    handler = ((spec or {}).get("lifecycle") or {}).get("preStop")
    if handler and spec is not None and grace > 0 and hook:
        target = HookTarget(state.pod, spec, container.id, state.address())
        try:
            async with asyncio.timeout(grace):
                await run_hook(state.services.runtime, handler, target)
        except TimeoutError:
            # The grace is used up: upstream leaves the hook alone, without an event.
            pass
        except HookFailure:
            record(WARNING, "FailedPreStopHook", "PreStopHook failed")
    left = max(grace - int(env.monotonic() - began), MIN_STOP_GRACE_SECONDS)
    await state.services.runtime.stop_container(container.id, left)


class PodStopper:
    """Stops everything of a pod. `hooked` remembers whose preStop ran already."""

    def __init__(self, state: PodState) -> None:
        self._state = state
        self._hooked: set[str] = set()

    async def stop(self, grace: int) -> None:
        """Main containers in parallel, then sidecars from the last to the first, all within the
        grace; the sandbox goes last. Raises RuntimeUnavailable."""
        state = self._state
        deadline = env.monotonic() + grace
        order = [
            container["name"]
            for container in state.pod["spec"].get("initContainers") or ()
            if is_sidecar(container)
        ]
        running = [found for found in state.view.containers() if found.state == "running"]
        first = [found for found in running if found.name not in order]
        await self._all(first, grace)
        for name in reversed(order):
            left = max(int(deadline - env.monotonic()), 0)
            await self._all([found for found in running if found.name == name], left)
        for sandbox in state.view.sandboxes:
            if sandbox.running or any(found.state == "running" for found in sandbox.containers):
                await state.services.runtime.stop_sandbox(sandbox.id)

    async def _all(self, containers: list[Container], grace: int) -> None:
        await asyncio.gather(*(self._one(container, grace) for container in containers))

    async def _one(self, container: Container, grace: int) -> None:
        first = container.id not in self._hooked
        self._hooked.add(container.id)
        message = f"Stopping container {container.name}"
        await stop_container(self._state, container, message, grace, hook=first)


def termination_grace(pod: Object) -> int:
    """Seconds a pod is given: by its deletion if there is one, else by its spec; at least one."""
    asked = pod["metadata"].get("deletionGracePeriodSeconds")
    if asked is None:
        asked = pod["spec"].get("terminationGracePeriodSeconds")
    return max(int(asked if asked is not None else 30), 1)


def probe_grace(pod: Object, name: str, probe: str) -> int:
    """The grace of a kill that a probe asked for; the probe's own counts unless being deleted."""
    container = find_container(pod, name) or {}
    own = (container.get(f"{probe}Probe") or {}).get("terminationGracePeriodSeconds")
    if own is not None and not pod["metadata"].get("deletionTimestamp"):
        return int(own)
    return termination_grace(pod)
