"""Secret."""

import base64
from datetime import datetime
from typing import Any

from kapi.api.decode import parse_json
from kapi.api.errors import ApiError, FieldError, invalid, required, too_long
from kapi.api.names import config_map_key_errors
from kapi.api.object import Object, annotations_of, name_of
from kapi.registry.core.config_map import MAXIMUM_BYTES, decoded_size, immutable_contents
from kapi.registry.fields import complaints, immutable
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

OPAQUE = "Opaque"
_ACCOUNT = "kubernetes.io/service-account.name"
_REDACTED = "<secret contents redacted>"
_DOCKER_FILES = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


def _typed(secret: Object, data: Object) -> list[FieldError]:
    """What the well-known types must hold."""
    kind = secret.get("type")
    if kind == "kubernetes.io/service-account-token":
        if annotations_of(secret).get(_ACCOUNT):
            return []
        return [required(f"metadata.annotations[{_ACCOUNT}]")]
    if kind in _DOCKER_FILES:
        return _docker_file(data, _DOCKER_FILES[kind])
    if kind == "kubernetes.io/basic-auth":
        if "username" in data or "password" in data:
            return []
        return [required("data[username]"), required("data[password]")]
    if kind == "kubernetes.io/ssh-auth":
        return [] if data.get("ssh-privatekey") else [required("data[ssh-privatekey]")]
    if kind == "kubernetes.io/tls":
        return [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    return []


def _docker_file(data: Object, key: str) -> list[FieldError]:
    path = f"data[{key}]"
    if key not in data:
        return [required(path)]
    try:
        parse_json(base64.b64decode(data[key]))
    except ApiError as error:
        return [invalid(path, _REDACTED, error.message)]
    return []


class SecretStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/secret/strategy.go`."""

    columns = (
        NAME_COLUMN,
        Column("Type", about="=api.core.v1.Secret.type"),
        Column("Data", about="=api.core.v1.Secret.data"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        if not obj.get("type"):
            obj["type"] = OPAQUE
        text = obj.pop("stringData", None)
        if text:
            data = obj["data"] = dict(obj.get("data") or {})
            for key, value in text.items():
                data[key] = base64.b64encode(str(value).encode()).decode()

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        """An absent type means the type it had."""
        if obj.get("type") == OPAQUE and old.get("type") == "":
            obj["type"] = ""

    def validate(self, obj: Object) -> list[FieldError]:
        data = obj.get("data") or {}
        errors: list[FieldError] = []
        for key in sorted(data):
            errors += complaints(f"data[{key}]", key, config_map_key_errors(key))
        if sum(decoded_size(value) for value in data.values()) > MAXIMUM_BYTES:
            errors.append(too_long("data", MAXIMUM_BYTES))
        return errors + _typed(obj, data)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return [
            *immutable(obj.get("type"), old.get("type"), "type"),
            *immutable_contents(obj, old, ("data",)),
            *self.validate(obj),
        ]

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        return {"type": obj.get("type") or ""}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), obj.get("type") or "", len(obj.get("data") or ()), age(obj, now)]
