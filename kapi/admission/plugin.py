"""What a plugin is."""

from kapi.api.errors import Forbidden, resource_forbidden
from kapi.registry.admission import AdmissionRequest


class AdmissionPlugin:
    """Base: handles nothing, changes nothing, refuses nothing."""

    def handles(self, request: AdmissionRequest) -> bool:
        return False

    async def mutate(self, request: AdmissionRequest) -> None:
        """Change `request.obj`; raise an ApiError to refuse."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Raise an ApiError to refuse."""


def refuse(request: AdmissionRequest, why: str) -> Forbidden:
    """403 in the shape every plugin's refusal has."""
    name = request.name
    if not name and request.obj is not None:
        name = str(request.obj.get("metadata", {}).get("generateName", ""))
    resource = request.resource
    return resource_forbidden(resource.plural, resource.group, name, why)


def is_pod_create(request: AdmissionRequest) -> bool:
    return (
        request.operation == "CREATE"
        and not request.subresource
        and request.resource.qualified == "pods"
    )
