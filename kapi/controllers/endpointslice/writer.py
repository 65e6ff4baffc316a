"""Carries slice plans out, and knows when the informer has not yet seen what was written."""

from kapi.api.errors import NotFound
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.client.client import ENDPOINT_SLICES, Client
from kapi.client.informer import Informer
from kapi.controllers.endpointslice.plan import SlicePlan


class SliceWriter:
    """One per controller. A plan made from a copy that lags behind would write slices twice."""

    def __init__(self, client: Client, slices: Informer) -> None:
        self._client = client
        self._slices = slices
        self._written: dict[str, int] = {}

    def is_behind(self, key: str) -> bool:
        """Has the informer yet to see our last write for this owner? Its event wakes us again."""
        written = self._written.get(key)
        if written is None:
            return False
        if int(self._slices.revision or 0) < written:
            return True
        del self._written[key]
        return False

    def forget(self, key: str) -> None:
        self._written.pop(key, None)

    async def carry_out(self, key: str, plan: SlicePlan) -> None:
        """Creations first, so that traffic always has somewhere to go."""
        for slice_ in plan.create:
            self._note(
                key, await self._client.create(ENDPOINT_SLICES, namespace_of(slice_), slice_)
            )
        for slice_ in plan.update:
            self._note(
                key, await self._client.update(ENDPOINT_SLICES, namespace_of(slice_), slice_)
            )
        for slice_ in plan.delete:
            options = {"preconditions": {"uid": uid_of(slice_)}}
            try:
                await self._client.delete(
                    ENDPOINT_SLICES, namespace_of(slice_), name_of(slice_), options=options
                )
            except NotFound:
                continue

    def _note(self, key: str, written: Object) -> None:
        self._written[key] = int(written["metadata"]["resourceVersion"])
