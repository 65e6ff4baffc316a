"""Turns events about services and pods into keys of services; shared by both endpoint kinds."""

from collections.abc import Callable

from kapi.api.object import Object, namespace_of
from kapi.client.client import PODS, SERVICES
from kapi.client.informer import Informer, key_of
from kapi.client.informers import Informers
from kapi.controllers.backends import selects, shape_of


class ServiceEvents:
    """Calls `enqueue(key)` for every service whose endpoints may have to change."""

    def __init__(self, informers: Informers, enqueue: Callable[[str], None]) -> None:
        self.services: Informer = informers.get(SERVICES)
        self.pods: Informer = informers.get(PODS)
        self._enqueue = enqueue
        self.services.add_handler(self._service, lambda _, new: self._service(new), self._service)
        self.pods.add_handler(self._pod, self._pod_changed, self._pod)

    async def wait_synced(self) -> None:
        await self.services.wait_synced()
        await self.pods.wait_synced()

    def pods_of(self, service: Object) -> list[Object]:
        return [
            pod for pod in self.pods.in_namespace(namespace_of(service)) if selects(service, pod)
        ]

    def _service(self, service: Object) -> None:
        self._enqueue(key_of(service))

    def _pod(self, pod: Object) -> None:
        for service in self.services.in_namespace(namespace_of(pod)):
            if selects(service, pod):
                self._enqueue(key_of(service))

    def _pod_changed(self, old: Object, new: Object) -> None:
        if shape_of(old) == shape_of(new):
            return
        self._pod(new)
        if old["metadata"].get("labels") != new["metadata"].get("labels"):
            self._pod(old)
