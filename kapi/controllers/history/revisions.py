"""Reads and writes the ControllerRevisions of one kind of owner."""

from collections.abc import Callable

from kapi.api.errors import AlreadyExists, Invalid, NotFound
from kapi.api.object import Object, is_deleting, name_of, namespace_of, uid_of
from kapi.api.selectors import LabelSelector
from kapi.client.client import (
    CONTROLLER_REVISIONS,
    STRATEGIC_MERGE_PATCH,
    Client,
    ResourceRef,
)
from kapi.client.informer import Informer
from kapi.client.informers import Informers
from kapi.controllers.history.plan import find_current, number_of, snapshot
from kapi.controllers.ownership import (
    NO_CONTROLLER,
    adoption_patch,
    by_controller,
    claim,
    release_patch,
)

MakeRevision = Callable[[int, int | None], Object]
"""From a number and a collision count, the ControllerRevision to create."""


class Revisions:
    """The history of every owner of one kind."""

    def __init__(self, client: Client, informers: Informers, owners: ResourceRef) -> None:
        self._client = client
        self._owners = owners
        self.informer: Informer = informers.get(CONTROLLER_REVISIONS)
        self.informer.add_index("controller", by_controller)

    async def claimed(self, owner: Object, selector: LabelSelector) -> list[Object]:
        """Owned revisions, after adopting and releasing."""
        candidates = [
            revision
            for value in (uid_of(owner), NO_CONTROLLER + namespace_of(owner))
            for revision in self.informer.by_index("controller", value)
        ]
        claimed = claim(owner, selector, candidates)
        found = list(claimed.kept)
        if claimed.adopt and await still_there(self._client, self._owners, owner):
            for revision in claimed.adopt:
                adopted = await self._patch(revision, adoption_patch(owner, revision))
                if adopted is not None:
                    found.append(adopted)
        for revision in claimed.release:
            await self._patch(revision, release_patch(owner, revision))
        return found

    async def settle(
        self,
        owner: Object,
        revisions: list[Object],
        make: MakeRevision,
        collision_count: int | None,
    ) -> tuple[Object, int | None]:
        """The revision of the owner's present template, recorded and numbered highest.

        Also the collision count, which grows for every name that another template has taken.
        """
        current = find_current(revisions, snapshot(owner))
        if current.revision is None:
            return await self._create(owner, current.number, make, collision_count)
        revision = current.revision
        if number_of(revision) < current.number:
            renumbered = {**revision, "revision": current.number}
            revision = await self._client.update(
                CONTROLLER_REVISIONS, namespace_of(owner), renumbered
            )
        return revision, collision_count

    async def _create(
        self, owner: Object, number: int, make: MakeRevision, collision_count: int | None
    ) -> tuple[Object, int | None]:
        namespace, data = namespace_of(owner), snapshot(owner)
        while True:
            wanted = make(number, collision_count)
            try:
                created = await self._client.create(CONTROLLER_REVISIONS, namespace, wanted)
            except AlreadyExists:
                live = await self._client.get(CONTROLLER_REVISIONS, namespace, name_of(wanted))
                if live.get("data") == data:
                    # From a round that our copy has not seen.
                    return live, collision_count
                collision_count = (collision_count or 0) + 1
            else:
                return created, collision_count

    async def delete(self, revision: Object) -> None:
        options = {"preconditions": {"uid": uid_of(revision)}}
        try:
            await self._client.delete(
                CONTROLLER_REVISIONS, namespace_of(revision), name_of(revision), options=options
            )
        except NotFound:
            pass

    async def _patch(self, revision: Object, patch: Object) -> Object | None:
        try:
            return await self._client.patch(
                CONTROLLER_REVISIONS,
                namespace_of(revision),
                name_of(revision),
                patch,
                content_type=STRATEGIC_MERGE_PATCH,
            )
        except (NotFound, Invalid):
            # Gone, or another under the name by now.
            return None


async def still_there(client: Client, resource: ResourceRef, owner: Object) -> bool:
    """Adopting on behalf of a deleted owner would hand objects to the garbage collector."""
    try:
        live = await client.get(resource, namespace_of(owner), name_of(owner))
    except NotFound:
        return False
    return uid_of(live) == uid_of(owner) and not is_deleting(live)
