"""The rules of a custom kind in one version, as its definition states them.

Sources: k8s.io/apiextensions-apiserver `pkg/registry/customresource/{strategy,status_strategy,
validator}.go`.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from kapi.api import errors
from kapi.api.errors import FieldError, invalid
from kapi.api.object import Object, metadata
from kapi.api.object_meta import STANDARD_FINALIZERS
from kapi.registry.custom.columns import Columns, printed
from kapi.registry.custom.invariants import validate_embedded, validate_lists
from kapi.registry.custom.json_path import JsonPath
from kapi.registry.custom.rules import Rules, has_rules
from kapi.registry.custom.validation import NOWHERE, Place, validate_schema
from kapi.registry.strategy import Column, RequestContext, Strategy

_BLOCKING = frozenset(
    f"FieldValue{reason}"
    for reason in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid")
)
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
_REPLICAS_MAX = 2**31 - 1


@dataclass(frozen=True)
class VersionFacts:
    """What a strategy needs to know of one version of a definition."""

    schema: Object | None
    has_status: bool
    scale: Object | None
    """`subresources.scale`: the paths of replicas and selector."""
    columns: tuple[Object, ...] = ()
    selectable: tuple[str, ...] = ()
    """The JSON paths of `selectableFields`."""
    terminating: bool = False

    @cached_property
    def rules(self) -> Rules | None:
        """Compiled at the first write."""
        return Rules(self.schema) if self.schema and has_rules(self.schema) else None


class CustomStrategy(Strategy):
    """The main endpoint of a custom kind."""

    allow_unconditional_update = False
    has_generation = True
    qualified_finalizers = False

    def __init__(self, facts: VersionFacts) -> None:
        self.facts = facts
        self.has_status = facts.has_status
        self.status_counts_for_generation = not facts.has_status
        self._table = Columns(facts.columns)
        self._selectable = [(path.lstrip("."), JsonPath(path)) for path in facts.selectable]

    @property
    def columns(self) -> tuple[Column, ...]:  # type: ignore[override]
        return self._table.definitions

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        """Nothing is made any more while the definition goes: there would be no end."""
        if self.facts.terminating:
            raise errors.MethodNotAllowed(
                "create not allowed while custom resource definition is terminating"
            )

    def validate(self, obj: Object) -> list[FieldError]:
        found = self._by_schema(obj, {}) + self._scale_errors(obj)
        return found + self._invariants(obj) + self._by_rules(obj, None, found)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        found = self._by_schema(obj, old) + self._scale_errors(obj)
        return found + self._invariants(obj) + self._by_rules(obj, old, found)

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        schema = ((self.facts.schema or {}).get("properties") or {}).get("status")
        found: list[FieldError] = []
        if schema and "status" in obj:
            found += validate_schema(schema, obj["status"], Place("status", ""), old.get("status"))
        found += self._scale_errors(obj, only="statusReplicasPath")
        return found + self._invariants(obj) + self._by_rules(obj, old, found)

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        """Of new finalizers that another writer might use for something else."""
        before = metadata(old).get("finalizers") or () if old else ()
        return [
            f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name including a '
            "path (/) to avoid accidental conflicts with other finalizer writers"
            for name in metadata(obj).get("finalizers") or ()
            if "/" not in name and name not in before and name not in STANDARD_FINALIZERS
        ]

    def _by_schema(self, obj: Object, old: Object) -> list[FieldError]:
        schema = self.facts.schema
        if schema is None:
            return []
        return validate_schema(schema, obj, old=old) if old else validate_schema(schema, obj)

    def _invariants(self, obj: Object) -> list[FieldError]:
        schema = self.facts.schema
        if schema is None:
            return []
        return validate_embedded(schema, obj) + validate_lists(schema, obj)

    def _by_rules(
        self, obj: Object, old: Object | None, before: list[FieldError]
    ) -> list[FieldError]:
        rules = self.facts.rules
        if rules is None:
            return []
        if any(error.reason in _BLOCKING for error in before):
            return [invalid(NOWHERE, None, _NOT_CHECKED)]
        return rules.validate(obj) if old is None else rules.validate(obj, old)

    def _scale_errors(self, obj: Object, only: str = "") -> list[FieldError]:
        found = []
        for key in ("specReplicasPath", "statusReplicasPath"):
            path = (self.facts.scale or {}).get(key)
            if not path or (only or key) != key:
                continue
            value = JsonPath(path).first(obj)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                kind = {str: "string", bool: "bool", float: "float64", list: "[]interface {}"}.get(
                    type(value), "map[string]interface {}"
                )
                text = f"{path} accessor error: {value} is of the type {kind}, expected int64"
                found.append(invalid(path, 0, text))
            elif value < 0:
                found.append(invalid(path, value, "should be a non-negative integer"))
            elif value > _REPLICAS_MAX:
                text = f"should be less than or equal to {_REPLICAS_MAX}"
                found.append(invalid(path, value, text))
        return found

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        return {name: printed(path.first(obj)) for name, path in self._selectable}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return self._table.row(obj, now)


class CustomStatusStrategy(CustomStrategy):
    """The status endpoint: it changes status, and of metadata only who owns it."""

    def __init__(self, facts: VersionFacts) -> None:
        super().__init__(facts)
        self.has_status = False

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        status, managed = obj.get("status"), metadata(obj).get("managedFields")
        version = metadata(obj).get("resourceVersion")
        kept = {key: value for key, value in old.items() if key not in ("metadata", "status")}
        meta = {**metadata(old)}
        for key, value in (("managedFields", managed), ("resourceVersion", version)):
            meta.pop(key, None)
            if value:
                meta[key] = value
        obj.clear()
        obj.update(kept)
        obj["metadata"] = meta
        if status is not None:
            obj["status"] = status

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return self.validate_status(obj, old)
