"""A kind's schema: check and prune, fill in defaults, hand out the type tree."""

from dataclasses import dataclass
from functools import cache

from kapi.api.errors import BadRequest
from kapi.api.object import Object
from kapi.api.schema.compile import definition_node
from kapi.api.schema.decoders import Mismatch, decoder_of, field_path
from kapi.api.schema.defaults import defaulter_of
from kapi.api.schema.definitions import definition_names
from kapi.api.schema.node import SchemaNode, Trail


class DecodeError(BadRequest):
    """A field has the wrong type or form; the message is that of Go's decoder alone.

    Who reports it puts the kind before it: `ConfigMap in version "v1" cannot be handled as a
    ConfigMap: ` for a body, the patch for a patch.
    """


@dataclass(frozen=True, slots=True)
class KindSchema:
    """The schema of one kind in one version."""

    group: str
    version: str
    kind: str
    root: SchemaNode
    status_is_separate: bool = False
    """Is status written through its own subresource, so that other writes do not own it?"""

    is_custom: bool = False
    """Is it a custom kind's? Unknown fields are then told in the order of their names, and a write
    to status owns nothing of metadata."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def decode(self, obj: Object) -> list[str]:
        """Check types, drop nulls and unknown fields, bring scalars to stored form; in place.

        Returns `unknown field "spec.x"` for each field that was dropped, in the order of the
        object. Raises DecodeError at the first value of the wrong type.
        """
        unknown: list[Trail] = []
        try:
            decoder_of(self.root)(obj, unknown)
        except Mismatch as mismatch:
            raise DecodeError(mismatch.text()) from None
        paths = [field_path(trail) for trail in unknown]
        if self.is_custom:
            paths.sort()
        return [f'unknown field "{path}"' for path in paths]

    def default(self, obj: Object) -> None:
        """Fill in the defaults that the types declare; in place, idempotent."""
        defaulter_of(self.root)(obj)


@cache
def kind_schema(group: str, version: str, kind: str) -> KindSchema | None:
    """The schema of a built-in kind, or None if Kubernetes has no such kind."""
    name = definition_names().get((group, version, kind))
    if name is None:
        return None
    root = definition_node(name)
    return KindSchema(group, version, kind, root, status_is_separate="status" in root.properties)
