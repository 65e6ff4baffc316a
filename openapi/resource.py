"""What the documents need to know of a served resource."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from kapi.api.object import GroupVersionKind, Object


class ServedSubresource(Protocol):
    """An endpoint below an object; `kind` is None where the bodies are the object's own kind."""

    @property
    def name(self) -> str: ...
    @property
    def verbs(self) -> tuple[str, ...]: ...
    @property
    def kind(self) -> GroupVersionKind | None: ...
    @property
    def how(self) -> str: ...


class ServedResource(Protocol):
    """A row of the registry's table, in one version."""

    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def singular(self) -> str: ...
    @property
    def namespaced(self) -> bool: ...
    @property
    def verbs(self) -> tuple[str, ...]: ...
    @property
    def subresources(self) -> Sequence[ServedSubresource]: ...


CustomSchemas: TypeAlias = Mapping[GroupVersionKind, Object]
"""The `openAPIV3Schema` of each custom kind; built-in kinds come from the installed package."""

NO_SCHEMAS: CustomSchemas = {}


def gvk_of(resource: ServedResource) -> GroupVersionKind:
    return GroupVersionKind(resource.group, resource.version, resource.kind)


def gvk_dict(gvk: GroupVersionKind) -> dict[str, str]:
    """The value of `x-kubernetes-group-version-kind`."""
    return {"group": gvk.group, "kind": gvk.kind, "version": gvk.version}
