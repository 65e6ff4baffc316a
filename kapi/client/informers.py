"""One informer per (resource, scope, selectors), shared by everything that runs on one client."""

from kapi import env
from kapi.client.client import Client, ResourceRef
from kapi.client.informer import Informer


class Informers:
    """Ask with `get` while wiring up; `start` follows all, also those asked for later."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[tuple[ResourceRef, str, str, str], Informer] = {}
        self._tasks = env.TaskScope()
        self._started = False

    def get(
        self,
        resource: ResourceRef,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Informer:
        """The shared informer, made at the first call."""
        identity = (resource, namespace, label_selector, field_selector)
        informer = self._informers.get(identity)
        if informer is None:
            informer = self._informers[identity] = Informer(
                self._client,
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
            )
            if self._started:
                self._spawn(informer)
        return informer

    def start(self) -> None:
        if not self._started:
            self._started = True
            for informer in self._informers.values():
                self._spawn(informer)

    async def wait_synced(self) -> None:
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    async def close(self) -> None:
        """Stop following; the copies stay readable."""
        await self._tasks.close()

    def _spawn(self, informer: Informer) -> None:
        self._tasks.spawn(informer.run(), f"informer {informer.resource.plural}")
