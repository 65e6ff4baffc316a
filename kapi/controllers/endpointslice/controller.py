"""Keeps the slices of services with a selector."""

from kapi.api.errors import ApiError
from kapi.api.object import Object, is_deleting, labels_of, name_of, namespace_of
from kapi.client.client import ENDPOINT_SLICES, NODES
from kapi.client.events import WARNING
from kapi.client.informer import key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.backends import TriggerTimes, is_selected_by_controller
from kapi.controllers.context import ControllerContext
from kapi.controllers.endpointslice.plan import MANAGER, SERVICE_NAME, managed_by, plan_slices
from kapi.controllers.endpointslice.writer import SliceWriter
from kapi.controllers.ownership import namespace_terminating
from kapi.controllers.service_events import ServiceEvents

NAME = "endpointslice-controller"
_OPTIONS = LoopOptions(workers=5, max_retries=15, base_delay=1.0, pace=0.05)
_ZONE = "topology.kubernetes.io/zone"


def by_service(slice_: Object) -> list[str]:
    """Index values: the key of the service a slice says it belongs to."""
    name = labels_of(slice_).get(SERVICE_NAME)
    return [f"{namespace_of(slice_)}/{name}"] if name else []


class EndpointSliceController:
    """Keys are services."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._loop = ReconcileLoop(NAME, self.reconcile, _OPTIONS)
        self._events = ServiceEvents(context.informers, self._loop.queue.add)
        self._slices = context.informers.get(ENDPOINT_SLICES)
        self._slices.add_index("service", by_service)
        self._nodes = context.informers.get(NODES)
        self._triggers = TriggerTimes()
        self._writer = SliceWriter(context.client, self._slices)
        self._is_mine = managed_by(MANAGER)
        self._need_nodes: dict[str, None] = {}
        self._slices.add_handler(self._slice, self._slice_changed, self._slice)
        self._nodes.add_handler(self._node, self._node_changed, lambda _: None)

    def _slice(self, slice_: Object) -> None:
        if self._is_mine(slice_):
            for key in by_service(slice_):
                self._loop.queue.add(key)

    def _slice_changed(self, old: Object, new: Object) -> None:
        self._slice(new)
        if labels_of(old) != labels_of(new):
            self._slice(old)

    def _node(self, node: Object) -> None:
        """Pods were left out because their node was unknown."""
        waiting, self._need_nodes = self._need_nodes, {}
        for key in waiting:
            self._loop.queue.add(key)

    def _node_changed(self, old: Object, new: Object) -> None:
        if labels_of(old).get(_ZONE) != labels_of(new).get(_ZONE):
            for service in self._events.services.list():
                self._loop.queue.add(key_of(service))

    async def run(self) -> None:
        await self._events.wait_synced()
        await self._slices.wait_synced()
        await self._nodes.wait_synced()
        await self._loop.run()

    async def reconcile(self, key: str) -> float | None:
        service = self._events.services.get(key)
        if service is None:
            # The garbage collector removes the slices, which the service owns.
            self._triggers.forget(key)
            self._writer.forget(key)
            return None
        if not is_selected_by_controller(service) or is_deleting(service):
            return None
        if self._writer.is_behind(key):
            return None
        existing = [s for s in self._slices.by_index("service", key) if self._is_mine(s)]
        pods = self._events.pods_of(service)
        nodes = {name_of(node): node for node in self._nodes.list()}
        trigger = self._triggers.next(key, service, pods)
        plan = plan_slices(service, pods, nodes, existing, trigger)
        if plan.missing_nodes:
            self._need_nodes[key] = None
        try:
            await self._writer.carry_out(key, plan)
        except ApiError as error:
            if namespace_terminating(error):
                return None
            message = f"Error updating Endpoint Slices for Service {key}: {error}"
            self._recorder.event(service, WARNING, "FailedToUpdateEndpointSlices", message)
            raise
        return None
