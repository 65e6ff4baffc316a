"""What each kind's objects look like: types, defaults, and how their lists merge.

The types come from the installed package `kubernetes-validate`, read once per process when the
first kind is asked for (about 10 ms) and compiled per kind into closures on first use.

- `definitions` finds and reads the definitions
- `node` is the tree that the patches walk
- `compile` turns definitions into nodes
- `decoders`, `scalars` check types and prune, with the error texts of Go's JSON package
- `defaults` fills in what a real server would have stored
- `structural` makes the same tree from a CustomResourceDefinition's schema
"""

from kapi.api.schema.kind import DecodeError, KindSchema, kind_schema
from kapi.api.schema.node import SchemaNode
from kapi.api.schema.structural import structural_kind_schema

__all__ = ["DecodeError", "KindSchema", "SchemaNode", "kind_schema", "structural_kind_schema"]
