"""The pods of one kind of owner: who wakes up for a pod, which pods belong, how they go."""

import asyncio
from collections.abc import Callable

from kapi.api.errors import ApiError, Invalid, NotFound
from kapi.api.object import (
    Object,
    controller_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from kapi.api.selectors import LabelSelector, label_selector_from_object
from kapi.client.client import PODS, STRATEGIC_MERGE_PATCH, ResourceRef
from kapi.client.informer import key_of
from kapi.client.reconcile import Expectations
from kapi.controllers.context import ControllerContext
from kapi.controllers.history.revisions import still_there
from kapi.controllers.ownership import (
    NO_CONTROLLER,
    adoption_patch,
    by_controller,
    claim,
    release_patch,
)

Member = Callable[[Object, Object], bool]
"""May this owner have this pod, apart from what its selector says?"""


def same_status(old: Object, new: Object) -> bool:
    """Equal as far as this controller writes it; absent counters are zero."""
    names = {*old, *new}
    return all((old.get(name) or 0) == (new.get(name) or 0) for name in names)


def _selector(owner: Object) -> LabelSelector:
    return label_selector_from_object(owner["spec"].get("selector"))


class OwnedPods:
    """Follows owners and pods and calls `enqueue` with the key of every owner to look at."""

    def __init__(
        self,
        context: ControllerContext,
        resource: ResourceRef,
        enqueue: Callable[[str], None],
        *,
        member: Member = lambda owner, pod: True,
        selector_of: Callable[[Object], LabelSelector] = _selector,
        finalizer: str = "",
    ) -> None:
        """A `finalizer` is put on adopted pods and taken off those that are let go."""
        self.expectations = Expectations()
        self.owners = context.informers.get(resource)
        self.pods = context.informers.get(PODS)
        self.pods.add_index("controller", by_controller)
        self._client = context.client
        self._resource = resource
        self._enqueue = enqueue
        self._member = member
        self._selector_of = selector_of
        self._finalizer = finalizer
        self.owners.add_handler(self._owner_seen, self._owner_changed, self._owner_gone)
        self.pods.add_handler(self._pod_added, self._pod_changed, self._pod_gone)

    async def wait_synced(self) -> None:
        await self.owners.wait_synced()
        await self.pods.wait_synced()

    # Events

    def _owner_seen(self, owner: Object) -> None:
        self._enqueue(key_of(owner))

    def _owner_changed(self, old: Object, new: Object) -> None:
        if uid_of(old) != uid_of(new):
            self.expectations.forget(key_of(old))
        self._enqueue(key_of(new))

    def _owner_gone(self, owner: Object) -> None:
        self.expectations.forget(key_of(owner))
        self._enqueue(key_of(owner))

    def owner_of(self, dependent: Object) -> Object | None:
        """The owner of a pod or other dependent, if it is of the kind and still there."""
        reference = controller_of(dependent)
        if reference is None or reference.get("kind") != self._resource.kind:
            return None
        owner = self.owners.get(f"{namespace_of(dependent)}/{reference['name']}")
        return owner if owner is not None and uid_of(owner) == reference["uid"] else None

    def _enqueue_matching(self, pod: Object) -> None:
        """An orphan may be adopted by any owner that selects it."""
        labels = labels_of(pod)
        if not labels:
            return
        for owner in self.owners.in_namespace(namespace_of(pod)):
            selector = self._selector_of(owner)
            if not selector.empty and selector.matches(labels) and self._member(owner, pod):
                self._enqueue(key_of(owner))

    def _pod_added(self, pod: Object) -> None:
        if is_deleting(pod):
            self._pod_gone(pod)
        elif controller_of(pod) is None:
            self._enqueue_matching(pod)
        elif (owner := self.owner_of(pod)) is not None:
            self.expectations.creation_seen(key_of(owner))
            self._enqueue(key_of(owner))

    def _pod_changed(self, old: Object, new: Object) -> None:
        if uid_of(old) != uid_of(new):
            # The end of one pod and the start of its namesake, in one event.
            self._pod_gone(old)
            self._pod_added(new)
            return
        if is_deleting(new) and not is_deleting(old):
            self._pod_gone(new)
        moved = controller_of(old) != controller_of(new)
        if moved and (before := self.owner_of(old)) is not None:
            self._enqueue(key_of(before))
        if (owner := self.owner_of(new)) is not None:
            self._enqueue(key_of(owner))
        elif controller_of(new) is None and (
            labels_of(old) != labels_of(new) or controller_of(old) is not None
        ):
            self._enqueue_matching(new)

    def _pod_gone(self, pod: Object) -> None:
        if (owner := self.owner_of(pod)) is not None:
            self.expectations.deletion_seen(key_of(owner), uid_of(pod))
            self._enqueue(key_of(owner))

    # Reading and writing

    async def claimed(self, owner: Object, selector: LabelSelector) -> list[Object]:
        """Owned pods, finished ones too, after adopting and releasing."""
        candidates = [
            pod
            for value in (uid_of(owner), NO_CONTROLLER + namespace_of(owner))
            for pod in self.pods.by_index("controller", value)
            if self._member(owner, pod)
        ]
        claimed = claim(owner, selector, candidates)
        pods = list(claimed.kept)
        if claimed.adopt and await still_there(self._client, self._resource, owner):
            for pod in claimed.adopt:
                if await self.patch(pod, adoption_patch(owner, pod, self._finalizer)):
                    pods.append(pod)
        for pod in claimed.release:
            await self.patch(pod, release_patch(owner, pod, self._finalizer))
        return pods

    async def patch(self, pod: Object, patch: Object) -> bool:
        """A strategic merge patch; False if the pod is gone or no longer the same."""
        try:
            await self._client.patch(
                PODS, namespace_of(pod), name_of(pod), patch, content_type=STRATEGIC_MERGE_PATCH
            )
        except (NotFound, Invalid):
            return False
        return True

    async def delete_all(
        self,
        owner: Object,
        pods: tuple[Object, ...],
        report: Callable[[Object, Exception | None], None],
    ) -> Exception | None:
        """Delete at once what is expected to go; the first error, if any.

        `report` gets every pod with its error, or None for success; pods that were gone already
        are not reported.
        """
        results = await asyncio.gather(*(self._delete(owner, pod, report) for pod in pods))
        return next((error for error in results if error is not None), None)

    async def _delete(
        self, owner: Object, pod: Object, report: Callable[[Object, Exception | None], None]
    ) -> Exception | None:
        options = {"preconditions": {"uid": uid_of(pod)}}
        try:
            await self._client.delete(PODS, namespace_of(pod), name_of(pod), options=options)
        except NotFound:
            self.expectations.deletion_seen(key_of(owner), uid_of(pod))
        except (ApiError, ConnectionError) as error:
            self.expectations.deletion_seen(key_of(owner), uid_of(pod))
            report(pod, error)
            return error
        else:
            report(pod, None)
        return None

    async def write_status(self, owner: Object, status: Object) -> None:
        """Written only if it says something new."""
        if same_status(owner.get("status") or {}, status):
            return
        namespace = namespace_of(owner)
        body = {**owner, "status": status}
        try:
            await self._client.update(self._resource, namespace, body, subresource="status")
        except NotFound:
            return
        except ApiError:
            # Once more on the live object; after that the next event brings us back.
            live = await self._client.get(self._resource, namespace, name_of(owner))
            if uid_of(live) != uid_of(owner):
                return
            body = {**live, "status": status}
            await self._client.update(self._resource, namespace, body, subresource="status")
