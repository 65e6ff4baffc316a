"""The seam between the generic store and the admission plugins above it."""

from dataclasses import dataclass
from typing import Literal, Protocol

from kapi.api.object import Object
from kapi.registry.resource import Resource
from kapi.registry.strategy import RequestContext

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One write on its way to storage. `obj` is None for a deletion, `old` for a creation."""

    operation: Operation
    resource: Resource
    subresource: str
    namespace: str
    name: str
    obj: Object | None
    old: Object | None
    ctx: RequestContext


class Admission(Protocol):
    """Raises kapi.api.errors.ApiError to refuse."""

    async def mutate(self, request: AdmissionRequest) -> None:
        """May change `request.obj`."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Judges the object as it will be stored."""


class NoAdmission:
    """Lets everything pass; for tests of the store alone."""

    async def mutate(self, request: AdmissionRequest) -> None:
        return None

    async def validate(self, request: AdmissionRequest) -> None:
        return None
