"""The strategy of a status subresource: everything but status stays as it was."""

from typing import Any

from kapi.api.errors import FieldError
from kapi.api.object import Object, metadata
from kapi.registry.strategy import RequestContext, Strategy
from kapi.storage.interface import Store


class StatusStrategy(Strategy):
    """Wraps a kind's own strategy; differs only in what an update may change.

    Upstream's status strategies put back spec, and some also parts of metadata: name those in
    `kept_metadata`. Labels and annotations of the other kinds may be written through status.
    """

    has_status = False

    def __init__(self, main: Strategy, *, kept_metadata: tuple[str, ...] = ()) -> None:
        self.main = main
        self.kept_metadata = kept_metadata
        self.columns = main.columns
        self.allow_unconditional_update = main.allow_unconditional_update
        self.has_generation = main.has_generation
        self.qualified_finalizers = main.qualified_finalizers

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return self.main.name_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        self.main.default(obj)

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        own = {"apiVersion", "kind", "metadata", "status"}
        for key in (set(obj) | set(old)) - own:
            if key in old:
                obj[key] = old[key]
            else:
                del obj[key]
        new_meta, old_meta = metadata(obj), metadata(old)
        for key in self.kept_metadata:
            if key in old_meta:
                new_meta[key] = old_meta[key]
            else:
                new_meta.pop(key, None)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return self.main.validate_status(obj, old)

    def blocks_removal(self, obj: Object) -> bool:
        return self.main.blocks_removal(obj)

    async def after_delete(self, storage: Store, obj: Object) -> None:
        """A write to a subresource may take the last finalizer away."""
        await self.main.after_delete(storage, obj)

    def canonicalize(self, obj: Object) -> None:
        self.main.canonicalize(obj)

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        return self.main.selectable_fields(obj)

    def table_row(self, obj: Object, now: Any) -> list[Any]:
        return self.main.table_row(obj, now)
