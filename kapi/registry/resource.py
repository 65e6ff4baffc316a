"""The row of `table.py`: everything the server derives routes, discovery and storage keys from."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from kapi.api.object import GroupVersionKind, Object
from kapi.api.schema import KindSchema, kind_schema
from kapi.registry.strategy import Strategy

ALL_VERBS = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
)


@dataclass(frozen=True, slots=True)
class ScaleFacts:
    """How autoscaling/v1 Scale maps onto an object.

    The paths are dotted, as in a CustomResourceDefinition (`.spec.replicas`). `selector` gives
    Scale's status.selector, the string form of the object's pod selector.
    """

    selector: Callable[[Object], str]
    spec_replicas: str = ".spec.replicas"
    status_replicas: str = ".status.replicas"
    of_custom_kind: bool = False
    """Must the object have replicas, and judge itself what it may have?"""


@dataclass(frozen=True, slots=True)
class Subresource:
    """An endpoint below an object.

    `how` says who answers: `store` is the generic store with `strategy` in place of the row's
    own; `scale` maps autoscaling/v1 Scale onto the object; `custom` has a handler in
    `server/verbs/`; `connect` is a stream or proxy handled in `server/connect/`.
    `kind` is the kind of the bodies, with its own group and version where they differ.
    """

    name: str
    how: Literal["store", "scale", "custom", "connect"]
    verbs: tuple[str, ...]
    kind: GroupVersionKind | None = None
    strategy: Strategy | None = None
    scale: ScaleFacts | None = None
    """Set where `how` is `scale`."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource in one version."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    strategy: Strategy
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    storage_resource: str = ""
    """The `plural` (with `.group`) whose keys this row shares; Event in two groups uses it."""
    storage_version: GroupVersionKind | None = field(default=None)
    """The kind objects are stored as, where it is not this row's own."""
    to_storage: Callable[[Object], Object] | None = None
    """Turns an object of this row into the kind that is stored; None where they are the same."""
    from_storage: Callable[[Object], Object] | None = None
    """The way back, for every object read."""
    deprecation: str = ""
    """A warning that goes with every answer."""
    create_only: bool = False
    """Nothing is stored: a POST is a question, and the answer is the object with its status."""
    schema: KindSchema | None = None
    """The schema of a custom kind; built-in kinds have theirs from the installed package."""
    openapi_schema: Object | None = field(default=None, compare=False)
    """A custom kind's schema as its definition has it, for the OpenAPI documents."""
    retired: asyncio.Event | None = field(default=None, compare=False)
    """Set when a custom kind's row is replaced or gone, so that its watches end."""
    listed_as: str = ""
    """The kind of a list, where it is not the kind with List behind it."""

    def __post_init__(self) -> None:
        if not self.singular:
            object.__setattr__(self, "singular", self.kind.lower())

    @property
    def gvk(self) -> GroupVersionKind:
        return GroupVersionKind(self.group, self.version, self.kind)

    @property
    def stored_group(self) -> str:
        """The group that validation messages name: an Event is a core Event in both groups."""
        return self.storage_version.group if self.storage_version else self.group

    @property
    def qualified(self) -> str:
        """`pods`, `deployments.apps`: the name in messages and RBAC."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        return self.listed_as or f"{self.kind}List"

    @property
    def is_custom(self) -> bool:
        """Does the kind come from a CustomResourceDefinition?"""
        return self.schema is not None

    def kind_schema(self) -> KindSchema | None:
        return self.schema or kind_schema(self.group, self.version, self.kind)

    @property
    def prefix(self) -> str:
        """Where the objects live in the store, with a trailing slash."""
        return f"/registry/{self.storage_resource or self.qualified}/"

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if self.namespaced else f"{self.prefix}{name}"

    def subresource(self, name: str) -> Subresource | None:
        return next((item for item in self.subresources if item.name == name), None)


def version_rank(name: str) -> tuple[int, int, int, str]:
    """Sorts v2 before v1 before v1beta2 before v1alpha1 before anything else."""
    match = re.fullmatch(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?", name)
    if match is None:
        return (3, 0, 0, name)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), name)
