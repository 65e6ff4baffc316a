"""DeviceClass.

Source: k8s.io/kubernetes `pkg/apis/resource/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid
from kapi.api.names import qualified_name_errors
from kapi.api.object import Object, name_of
from kapi.registry.dynamic_resources import shared
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Strategy, age


class DeviceClassStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/resource/deviceclass/strategy.go`."""

    has_generation = True
    returns_deleted_object = True
    columns = (NAME_COLUMN, AGE_COLUMN)

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = shared.each(
            spec.get("selectors"), shared.MOST_SELECTORS, shared.selector, "spec.selectors"
        )
        errors += shared.each(
            spec.get("config"), shared.MOST_CONFIGS, shared.configuration, "spec.config"
        )
        name = spec.get("extendedResourceName")
        if name is not None and not _extended(name):
            text = "must be a valid extended resource name"
            errors.append(invalid("spec.extendedResourceName", name, text))
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), age(obj, now)]


def _extended(name: str) -> bool:
    """A qualified name outside Kubernetes' own domain, that can carry the prefix `requests.`."""
    domain, slash, _rest = name.partition("/")
    native = not slash or domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    return not native and not qualified_name_errors(f"requests.{name}")
