"""The types that rules are checked against when a definition is written.

A structural schema becomes protobuf message types, since those are what the engine's checker knows
fields of: `self.sepc` is then an undefined field rather than a surprise at the first object.
Evaluation does not use them. Source of the mapping and of the escapes: k8s.io/apiserver
`pkg/cel/common/schemas.go` and `pkg/cel/escaping.go`.
"""

import re
from typing import Any

from kapi.api.object import Object
from kapi.registry.custom.cel_libraries import value_file

_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def escaped(name: str) -> str:
    """A property name as rules spell it."""
    if name in _RESERVED:
        return f"__{name}__"
    for plain, spelled in _ESCAPES:
        name = name.replace(plain, spelled)
    return name


class RuleTypes:
    """The types of one schema. `of` gives the type of the value under any part of it."""

    def __init__(self, schema: Object) -> None:
        from cel_expr_python import cel
        from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, struct_pb2
        from google.protobuf import timestamp_pb2 as stamps

        self._cel = cel
        self._messages: dict[int, str] = {}
        self._made_here: list[Object] = []
        """Kept, since message types are found by the identity of their schema."""
        self._file = descriptor_pb2.FileDescriptorProto(
            name="rules.proto", package="rules", syntax="proto3"
        )
        self.pool = descriptor_pool.DescriptorPool()
        for known in (struct_pb2, stamps, duration_pb2):
            self.pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
            self._file.dependency.append(known.DESCRIPTOR.name)
        self.pool.AddSerializedFile(value_file().SerializeToString())
        self._message(schema, whole=True)
        self.pool.AddSerializedFile(self._file.SerializeToString())

    def of(self, schema: Object) -> Any:
        """The engine's type of a value that this part of the schema describes."""
        kinds = self._cel.Type
        if id(schema) in self._messages:
            return kinds(f"rules.{self._messages[id(schema)]}")
        simple = _simple(schema)
        if simple == "list":
            return kinds.List(self.of(schema.get("items") or {}))
        if simple == "map":
            return kinds.Map(kinds.STRING, self.of(schema["additionalProperties"]))
        return getattr(kinds, simple.upper())

    def _message(self, schema: Object, *, whole: bool = False) -> str:
        """Make the message type of an object; a whole one has kind, apiVersion and metadata."""
        name = f"T{len(self._messages)}"
        self._messages[id(schema)] = name
        if whole or schema.get("x-kubernetes-embedded-resource"):
            schema = _with_type_meta(schema)
            self._made_here.append(schema)
        fields: list[tuple[str, Object]] = []
        for key, below in sorted((schema.get("properties") or {}).items()):
            spelled = escaped(key)
            if _IDENTIFIER.fullmatch(spelled):
                fields.append((spelled, below))
        index = len(self._file.message_type)
        self._file.message_type.add(name=name)
        for number, (spelled, below) in enumerate(fields, 1):
            self._add_field(index, spelled, number, below)
        return name

    def _add_field(self, index: int, name: str, number: int, schema: Object) -> None:
        label, kind, message = 1, 0, ""
        simple = self._walk(schema)
        if simple == "list":
            label = 3
            kind, message = self._single(schema.get("items") or {})
        elif simple == "map":
            label, kind = 3, 11
            entry = "".join(part.capitalize() for part in name.split("_")) + "Entry"
            message = f".rules.{self._file.message_type[index].name}.{entry}"
            value_kind, value_message = self._single(schema["additionalProperties"])
            nested = self._file.message_type[index].nested_type.add(name=entry)
            nested.options.map_entry = True
            nested.field.add(name="key", number=1, label=1, type=9)
            value = nested.field.add(name="value", number=2, label=1, type=value_kind)
            if value_message:
                value.type_name = value_message
        else:
            kind, message = self._single(schema)
        field = self._file.message_type[index].field.add(
            name=name, number=number, label=label, type=kind
        )
        if message:
            field.type_name = message

    def _walk(self, schema: Object) -> str:
        """Make message types for objects below lists and maps too, since rules may stand there."""
        simple = _simple(schema)
        if simple == "list":
            self._single(schema.get("items") or {})
        elif simple == "map":
            self._single(schema["additionalProperties"])
        return simple

    def _single(self, schema: Object) -> tuple[int, str]:
        """Field type number and message name of one value; lists of lists are dynamic."""
        simple = self._walk(schema)
        if simple == "message":
            name = self._messages.get(id(schema)) or self._message(schema)
            return 11, f".rules.{name}"
        numbers = {"int": 3, "bool": 8, "string": 9, "bytes": 12}
        if simple in numbers:
            return numbers[simple], ""
        known = {"timestamp": "Timestamp", "duration": "Duration"}.get(simple, "Value")
        return 11, f".google.protobuf.{known}"


def _with_type_meta(schema: Object) -> Object:
    text: Object = {"type": "string"}
    meta: Object = {"type": "object", "properties": {"name": text, "generateName": text}}
    properties = {**(schema.get("properties") or {})}
    properties |= {"apiVersion": text, "kind": text, "metadata": meta}
    return {**schema, "type": "object", "properties": properties}


def _simple(schema: Object) -> str:
    """`message`, `list`, `map`, or the name of a scalar type, `dyn` for what has none."""
    if schema.get("x-kubernetes-int-or-string"):
        return "dyn"
    kind = schema.get("type")
    if kind == "object":
        if schema.get("x-kubernetes-embedded-resource"):
            return "message"
        if schema.get("properties"):
            return "message"
        return "map" if isinstance(schema.get("additionalProperties"), dict) else "dyn"
    if kind == "array":
        return "list"
    if schema.get("nullable"):
        return "dyn"
    if kind == "string":
        return text_type(schema)
    # Numbers are dynamic: the checker does not let a double be compared with an integer, and
    # upstream's does.
    return {"integer": "int", "boolean": "bool"}.get(str(kind), "dyn")


def text_type(schema: Object) -> str:
    """The type that a string of this format has in rules."""
    form = schema.get("format")
    if form == "byte":
        return "bytes"
    if form in ("date", "date-time"):
        return "timestamp"
    return "duration" if form == "duration" else "string"
