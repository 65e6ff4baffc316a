"""Label and field selectors of a list, watch or deletecollection."""

from dataclasses import dataclass

from kapi.api import errors
from kapi.api.selectors import (
    FieldSelector,
    LabelSelector,
    parse_field_selector,
    parse_label_selector,
)
from kapi.registry.resource import Resource
from kapi.server.exchange import Exchange
from kapi.storage.cached import CachedObject

_ALWAYS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request wants to see; None parts select everything."""

    labels: LabelSelector | None
    fields: FieldSelector | None

    @property
    def everything(self) -> bool:
        return self.labels is None and self.fields is None

    def named(self, exchange: Exchange) -> "Selection":
        """Narrowed to the name in the path, which only the old /watch/ paths have."""
        if "/watch/" not in exchange.path:
            return self
        name = exchange.info.name
        only = parse_field_selector(f"metadata.name={name}") if name else self.fields
        return Selection(self.labels, only)

    def matches(self, entry: CachedObject) -> bool:
        if self.labels is not None and not self.labels.matches(entry.labels):
            return False
        return self.fields is None or self.fields.matches(entry.fields)


def selection_of(exchange: Exchange, resource: Resource) -> Selection:
    """Parse both selectors. Raises BadRequest as upstream does."""
    labels, fields = None, None
    text = exchange.param("labelSelector")
    if text:
        labels = parse_label_selector(text)
    text = exchange.param("fieldSelector")
    if text:
        fields = parse_field_selector(text)
        own = resource.strategy.selectable_fields({})
        # Cluster-wide kinds with fields of their own do not know the namespace field.
        known = ("metadata.name", *own) if own and not resource.namespaced else (*_ALWAYS, *own)
        for field, _operator, _value in fields.requirements:
            if field not in known:
                raise errors.BadRequest(unsupported_field(resource, field))
    return Selection(labels, fields)


def unsupported_field(resource: Resource, field: str) -> str:
    """The complaint about a field that this kind cannot select by."""
    if type(resource.strategy).selectable_fields.__qualname__.startswith("Strategy."):
        return (
            f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
        )
    return resource.strategy.unknown_field.format(field=field)
