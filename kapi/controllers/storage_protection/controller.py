"""Three controllers of one shape: an object, its finalizer, and who uses the object."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from kapi.api.errors import Conflict, NotFound
from kapi.api.object import Object, name_of, namespace_of
from kapi.client.client import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    VOLUME_ATTRIBUTES_CLASSES,
    ResourceRef,
)
from kapi.client.informer import Informer, key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.storage_protection.plan import (
    attribute_classes,
    claim_in_use,
    claims_of,
    plan_finalizer,
    volume_in_use,
    with_step,
)

CLAIMS = "pvc-protection-controller"
VOLUMES = "pv-protection-controller"
CLASSES = "volumeattributesclass-protection-controller"
_RETRY_SECONDS = 0.2


class _Protection(ABC):
    """Base: adds the finalizer to what lacks it, removes it from what may go."""

    resource: ResourceRef
    name: str
    finalizer: str

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._objects = context.informers.get(self.resource)
        self._users = self._wire(context)
        self._loop = ReconcileLoop(self.name, self.reconcile, LoopOptions(workers=1))
        self._objects.add_handler(
            lambda obj: self._loop.queue.add(key_of(obj)),
            lambda _, new: self._loop.queue.add(key_of(new)),
            lambda _: None,
        )

    def _wire(self, context: ControllerContext) -> list[Informer]:
        """Informers of the users, with handlers that wake what they let go of."""
        return []

    @abstractmethod
    async def _in_use(self, obj: Object) -> bool:
        """Does anything hold the object, which is being deleted?"""

    def _follow(self, informer: Informer, keys: Callable[[Object], Iterable[str]]) -> Informer:
        """Wake the objects that a user named when it changes or goes."""

        def wake(user: Object) -> None:
            for key in keys(user):
                self._loop.queue.add(key)

        informer.add_handler(lambda _: None, lambda old, _: wake(old), wake)
        return informer

    async def run(self) -> None:
        for informer in (self._objects, *self._users):
            await informer.wait_synced()
        await self._loop.run()

    async def reconcile(self, key: str) -> float | None:
        obj = self._objects.get(key)
        if obj is None:
            return None
        step = plan_finalizer(obj, self.finalizer, in_use=False)
        if not step or (step == "remove" and await self._in_use(obj)):
            return None
        new = with_step(obj, self.finalizer, step)
        try:
            await self._client.update(self.resource, namespace_of(obj), new)
        except NotFound:
            return None
        except Conflict:
            return _RETRY_SECONDS
        return None


class ClaimProtection(_Protection):
    resource, name = PERSISTENT_VOLUME_CLAIMS, CLAIMS
    finalizer = "kubernetes.io/pvc-protection"

    def _wire(self, context: ControllerContext) -> list[Informer]:
        self._pods = context.informers.get(PODS)
        return [
            self._follow(
                self._pods,
                lambda pod: (f"{namespace_of(pod)}/{name}" for name in claims_of(pod)),
            )
        ]

    async def _in_use(self, obj: Object) -> bool:
        """By the local copy, and if that says no, by the server's word."""
        namespace = namespace_of(obj)
        if claim_in_use(obj, self._pods.by_index("namespace", namespace)):
            return True
        listed = await self._client.list(PODS, namespace)
        return claim_in_use(obj, listed.get("items") or ())


class VolumeProtection(_Protection):
    resource, name = PERSISTENT_VOLUMES, VOLUMES
    finalizer = "kubernetes.io/pv-protection"

    async def _in_use(self, obj: Object) -> bool:
        return volume_in_use(obj)


class AttributesClassProtection(_Protection):
    resource, name = VOLUME_ATTRIBUTES_CLASSES, CLASSES
    finalizer = "kubernetes.io/vac-protection"

    def _wire(self, context: ControllerContext) -> list[Informer]:
        return [
            self._follow(context.informers.get(users), attribute_classes)
            for users in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES)
        ]

    async def _in_use(self, obj: Object) -> bool:
        name = name_of(obj)
        return any(
            name in attribute_classes(user) for users in self._users for user in users.list()
        )
