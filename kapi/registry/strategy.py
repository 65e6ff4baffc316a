"""The blanks a kind fills in; the generic store owns the order in which they are called.

A strategy is stateless. `prepare_*` may change the object but must not judge it; `validate*` must
judge and must not change it, and returns every complaint; `warnings` and `table_row` only read.
Source of the division: k8s.io/apiserver `pkg/registry/rest/{create,update,delete}.go`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from kapi.api.errors import FieldError
from kapi.api.object import Object, labels_of, name_of, namespace_of
from kapi.api.schema.descriptions import field_description
from kapi.api.user import UserInfo
from kapi.storage.interface import Store


@dataclass(slots=True)
class RequestContext:
    """What a write may know about the request it serves.

    `warnings` collects texts for Warning headers.
    """

    user: UserInfo
    namespace: str = ""
    dry_run: bool = False
    field_manager: str = ""
    managed_fields_done: bool = False
    """Server-side apply computes managedFields itself; the store then leaves them alone."""
    retry_conflicts: bool = False
    """A patch that names no resourceVersion is built again on the newer object."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Column:
    """A table column; `priority` 0 always shows, 1 shows with `-o wide`.

    `about` is the description, or after a `=` the schema field whose description it shares.
    """

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    about: str = ""

    @property
    def description(self) -> str:
        if self.about.startswith("="):
            return field_description(self.about[1:])
        return self.about


_META = "=apimachinery.pkg.apis.meta.v1.ObjectMeta"
NAME_COLUMN = Column("Name", format="name", about=f"{_META}.name")
AGE_COLUMN = Column("Age", about=f"{_META}.creationTimestamp")
CONTAINERS_COLUMN = Column(
    "Containers", priority=1, about="Names of each container in the template."
)
IMAGES_COLUMN = Column(
    "Images", priority=1, about="Images referenced by each container in the template."
)
CREATED_COLUMN = Column("Created At", "date", about=f"{_META}.creationTimestamp")


class Allocation(Protocol):
    """Something reserved for a write: kept if the write succeeds, given back if it fails."""

    async def commit(self) -> None: ...

    async def revert(self) -> None: ...


def human_duration(seconds: float) -> str:
    """An age as `kubectl get` shows it: `5s`, `2m30s`, `3h12m`, `4d1h`, `2y10d`.

    Source of the steps: k8s.io/apimachinery `pkg/util/duration.HumanDuration`.
    """
    if seconds < -1:
        return "<invalid>"
    total = max(0, int(seconds))
    if total < 120:
        return f"{total}s"
    minutes = total // 60
    if minutes < 10:
        rest = total % 60
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = total // 3600
    if hours < 8:
        rest = minutes % 60
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        rest = hours % 24
        return f"{days}d{rest}h" if rest else f"{days}d"
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = days // 365
    if hours < 24 * 365 * 8:
        rest = days % 365
        return f"{years}y{rest}d" if rest else f"{years}y"
    return f"{years}y"


def age(obj: Object, now: datetime) -> str:
    """The Age cell."""
    created = obj.get("metadata", {}).get("creationTimestamp")
    if not created:
        return "<unknown>"
    return human_duration((now - datetime.fromisoformat(created)).total_seconds())


class Strategy:
    """Rules of a kind with none of its own: what a new kind starts from."""

    allow_create_on_update = False
    """May a PUT create the object?"""

    allow_unconditional_update = True
    """May a PUT come without a resourceVersion?"""

    has_generation = False
    """Does metadata.generation count changes of spec?"""

    first_generation = 1
    """What metadata.generation starts at; 0 leaves it out until the first change."""

    status_counts_for_generation = False
    """Is status a field like any other, as in custom kinds without a status subresource?"""

    annotations_count_for_generation = False
    """Does metadata.generation count changes of annotations too? Only a Deployment's does."""

    has_status = False
    """Is status written only through the status subresource?"""

    default_propagation_warnings: tuple[str, ...] = ()
    """Said when a DELETE names no propagation policy."""

    default_propagation = "Background"
    """What a DELETE without a propagation policy means; a few old kinds orphan."""

    deletes_gracefully = False
    """Does a deletion go through a grace period? Its end then shows when and how."""

    deletes_in_two_steps = False
    """Does the first DELETE only mark the object, even if nothing holds it back?"""

    returns_deleted_object = False
    """Does DELETE answer with the object instead of a Status?"""

    qualified_finalizers = True
    """Must finalizers without a domain be Kubernetes' own? Not those of custom kinds."""

    columns: tuple[Column, ...] = (NAME_COLUMN, CREATED_COLUMN)

    unknown_field = "field label not supported: {field}"
    """What a kind with selectable fields of its own says to a selector that names another."""

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        """Complaints about metadata.name, or generateName with `prefix`; a DNS subdomain here."""
        from kapi.api.names import dns_subdomain_errors

        return dns_subdomain_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        """Defaults that the schema cannot express; runs on every decode, so keep it idempotent."""

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        """Drop or set what users may not choose."""

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        """Put back what this endpoint may not change (status and generation: the store does)."""

    def validate(self, obj: Object) -> list[FieldError]:
        return []

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return self.validate(obj)

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        """Complaints about a write through the status subresource."""
        return []

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        return []

    def canonicalize(self, obj: Object) -> None:
        """Bring the validated object into the one form that is stored."""

    async def allocate(
        self, storage: Store, ctx: RequestContext, obj: Object, old: Object | None
    ) -> Allocation | None:
        """Reserve cluster-wide values (addresses, ports) before a write of `obj`."""
        return None

    async def after_delete(self, storage: Store, obj: Object) -> None:
        """Give back what `allocate` reserved, once the object is gone."""

    def grace_period_seconds(self, obj: Object, requested: int | None) -> int:
        """How long a deletion is graceful; 0 deletes at once. Only pods differ."""
        return 0

    def on_deletion(self, obj: Object) -> None:
        """Change the object at the moment its deletion begins (a namespace's phase)."""

    def blocks_removal(self, obj: Object) -> bool:
        """Does something beyond metadata.finalizers hold the object back?"""
        return False

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        """Values for field selectors, beyond metadata.name and metadata.namespace."""
        return {}

    def labels(self, obj: Object) -> dict[str, str]:
        return labels_of(obj)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        """Cells in the order of `columns`."""
        return [name_of(obj), obj.get("metadata", {}).get("creationTimestamp")]


def all_fields(strategy: Strategy, obj: Object) -> dict[str, str]:
    """Every field a selector may name for this object."""
    return {
        "metadata.name": name_of(obj),
        "metadata.namespace": namespace_of(obj),
        **strategy.selectable_fields(obj),
    }
