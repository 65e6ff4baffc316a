"""Writes the Endpoints of services with a selector, and removes those of deleted services."""

from kapi.api.errors import ApiError, NotFound
from kapi.api.object import Object, labels_of, name_of, namespace_of, uid_of
from kapi.client.client import ENDPOINTS
from kapi.client.events import WARNING
from kapi.client.informer import key_of, split_key
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.backends import TriggerTimes, is_selected_by_controller
from kapi.controllers.context import ControllerContext
from kapi.controllers.endpoints.plan import MANAGED_BY, MANAGER, plan_endpoints
from kapi.controllers.ownership import namespace_terminating
from kapi.controllers.service_events import ServiceEvents

NAME = "endpoint-controller"
_OPTIONS = LoopOptions(workers=5, max_retries=15, pace=0.05)


class EndpointsController:
    """Keys are services."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._loop = ReconcileLoop(NAME, self.reconcile, _OPTIONS)
        self._events = ServiceEvents(context.informers, self._loop.queue.add)
        self._endpoints = context.informers.get(ENDPOINTS)
        self._triggers = TriggerTimes()
        # Endpoints have no owner reference: what a deleted service left behind is ours to sweep.
        self._endpoints.add_handler(self._swept, lambda _, new: self._swept(new), self._restored)

    def _swept(self, endpoints: Object) -> None:
        if labels_of(endpoints).get(MANAGED_BY) == MANAGER:
            self._loop.queue.add(key_of(endpoints))

    def _restored(self, endpoints: Object) -> None:
        self._loop.queue.add(key_of(endpoints))

    async def run(self) -> None:
        await self._events.wait_synced()
        await self._endpoints.wait_synced()
        await self._loop.run()

    async def reconcile(self, key: str) -> float | None:
        namespace, _ = split_key(key)
        service = self._events.services.get(key)
        current = self._endpoints.get(key)
        if service is None:
            self._triggers.forget(key)
            if current is not None:
                await self._delete(current)
            return None
        if not is_selected_by_controller(service):
            return None
        pods = self._events.pods_of(service)
        trigger = self._triggers.next(key, service, pods)
        wanted = plan_endpoints(service, pods, current, trigger)
        if wanted is None:
            return None
        try:
            if current is None:
                await self._client.create(ENDPOINTS, namespace, wanted)
            else:
                await self._client.update(ENDPOINTS, namespace, wanted)
        except ApiError as error:
            if namespace_terminating(error):
                return None
            verb = "Create" if current is None else "Update"
            message = f"Failed to {verb.lower()} endpoint {key}: {error}"
            self._recorder.event(wanted, WARNING, f"FailedTo{verb}Endpoint", message)
            raise
        return None

    async def _delete(self, endpoints: Object) -> None:
        options = {"preconditions": {"uid": uid_of(endpoints)}}
        try:
            await self._client.delete(
                ENDPOINTS, namespace_of(endpoints), name_of(endpoints), options=options
            )
        except NotFound:
            pass
