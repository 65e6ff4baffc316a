"""CustomResourceDefinition: its defaults, and what users may not choose.

Source: k8s.io/apiextensions-apiserver `pkg/registry/customresourcedefinition` and
`pkg/apis/apiextensions/v1/defaults.go`.
"""

from kapi import env
from kapi.api.errors import FieldError
from kapi.api.object import Object
from kapi.registry.apiextensions.conditions import begin_termination
from kapi.registry.apiextensions.definition_validation import (
    validate_definition,
    validate_definition_update,
)
from kapi.registry.strategy import RequestContext, Strategy


class CustomResourceDefinitionStrategy(Strategy):
    """Labels and finalizers may be written through status too: upstream does not reset them."""

    has_status = True
    has_generation = True
    allow_unconditional_update = False
    deletes_in_two_steps = True
    returns_deleted_object = True
    qualified_finalizers = False

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        """The name follows from spec, and is judged with it."""
        return []

    def default(self, obj: Object) -> None:
        spec = obj.get("spec")
        if not isinstance(spec, dict):
            return
        names = spec.get("names") or {}
        kind = names.get("kind") or ""
        if "names" in spec:
            if not names.get("singular"):
                names["singular"] = kind.lower()
            if not names.get("listKind") and kind:
                names["listKind"] = f"{kind}List"
        conversion = spec.setdefault("conversion", {})
        if not conversion.get("strategy"):
            conversion["strategy"] = "None"
        client = (conversion.get("webhook") or {}).get("clientConfig") or {}
        if client.get("service") and not client["service"].get("port"):
            client["service"]["port"] = 443
        for version in spec.get("versions") or ():
            for column in version.get("additionalPrinterColumns") or ():
                if column.get("priority") == 0:
                    del column["priority"]

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {
            "acceptedNames": {"kind": "", "plural": ""},
            "conditions": None,
            "storedVersions": _storage_versions(obj),
        }

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        """A version becomes a stored one at the moment that it is made the storage version."""
        status = obj.get("status")
        if not isinstance(status, dict):
            return
        stored = list(status.get("storedVersions") or ())
        missing = [name for name in _storage_versions(obj) if name not in stored]
        if missing:
            obj["status"] = {**status, "storedVersions": [*stored, *missing]}

    def validate(self, obj: Object) -> list[FieldError]:
        return validate_definition(obj)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return validate_definition_update(obj, old)

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return []

    def on_deletion(self, obj: Object) -> None:
        begin_termination(obj, env.timestamp())


def _storage_versions(obj: Object) -> list[str]:
    versions = (obj.get("spec") or {}).get("versions") or ()
    return [version["name"] for version in versions if version.get("storage")]
