"""Carrying out in-place resizes of one pod."""

from collections.abc import Callable

from kapi.api.object import Object
from kapi.client.events import NORMAL, WARNING
from kapi.kubelet.pod_state import PodState
from kapi.kubelet.qos import runtime_resources
from kapi.kubelet.resize import allocated_resources, describe, plan_resize
from kapi.kubelet.runtime.interface import RuntimeFailure, RuntimeUnavailable
from kapi.kubelet.services import find_container, record_pod


class PodResizer:
    """`report` sends the status as it is now."""

    def __init__(self, state: PodState, report: Callable[[], None]) -> None:
        self._state = state
        self._report = report

    def allocate(self) -> None:
        """Give the pod what it asks for, if the node has it; else say what holds it up."""
        state = self._state
        asked = allocated_resources(state.api_pod)
        if asked == state.allocated:
            state.resize_pending = None
            return
        pending = state.services.resize_problem(state.api_pod)
        if pending is None:
            state.allocate(asked)
            state.resize_pending = None
            return
        if pending != state.resize_pending:
            text = f"Pod resize {pending.reason}: {describe(state.api_pod)}"
            record_pod(state.services, state.api_pod, WARNING, f"Resize{pending.reason}", text)
        state.resize_pending = pending

    async def actuate(self) -> bool:
        """Bring running containers to what was allocated; False when one refused."""
        state = self._state
        steps = plan_resize(state.pod, state.view, state.actual_resources)
        if not steps:
            state.resize_error = ""
            return True
        text = f"Pod resize started: {describe(state.pod)}"
        if not state.resize_error:
            record_pod(state.services, state.pod, NORMAL, "ResizeStarted", text)
        state.resizing = True
        self._report()
        try:
            for step in steps:
                container = find_container(state.pod, step.name)
                if container is None:
                    continue
                await self._update(container, step.container_id)
                state.actual_resources[step.container_id] = step.resources
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as error:
            state.resize_error = str(error)
            record_pod(state.services, state.pod, WARNING, "ResizeError", str(error))
            return False
        finally:
            state.resizing = False
        state.resize_error = ""
        done = f"Pod resize completed: {describe(state.pod)}"
        record_pod(state.services, state.pod, NORMAL, "ResizeCompleted", done)
        return True

    async def _update(self, container: Object, container_id: str) -> None:
        services = self._state.services
        wanted = runtime_resources(self._state.pod, container, services.node.memory_bytes)
        await services.runtime.update_container(container_id, wanted)
