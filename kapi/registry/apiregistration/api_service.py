"""APIService.

Source: k8s.io/kube-aggregator `pkg/apis/apiregistration/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

from kapi import env
from kapi.api.errors import FieldError, invalid, not_supported, required
from kapi.api.names import (
    dns1035_label_errors,
    dns_subdomain_errors,
    inclusive_range_error,
    path_segment_errors,
)
from kapi.api.object import Object, name_of
from kapi.registry.fields import complaints
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, RequestContext, Strategy, age

_HIGHEST_GROUP_PRIORITY = 20_000
_HIGHEST_VERSION_PRIORITY = 1000
_STATUSES = ("True", "False", "Unknown")


class APIServiceStrategy(Strategy):
    """Source: k8s.io/kube-aggregator `pkg/registry/apiservice/strategy.go`."""

    allow_unconditional_update = False
    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Service", about="The reference to the service that hosts this API endpoint."),
        Column("Available", about="Whether this service is available."),
        AGE_COLUMN,
    )

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        service = obj.setdefault("spec", {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {}
        if obj["spec"].get("service") is None:
            obj["status"]["conditions"] = [_available_here()]

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        group, version = spec.get("group") or "", spec.get("version") or ""
        errors = _name(name_of(obj), f"{version}.{group}")
        if not group and version != "v1":
            text = "only v1 may have an empty group and it better be legacy kube"
            errors.append(required("spec.group", text))
        if group:
            errors += complaints("spec.group", group, dns_subdomain_errors(group))
        errors += complaints("spec.version", version, dns1035_label_errors(version))
        for field, highest in (
            ("groupPriorityMinimum", _HIGHEST_GROUP_PRIORITY),
            ("versionPriority", _HIGHEST_VERSION_PRIORITY),
        ):
            value = spec.get(field) or 0
            if not 0 < value <= highest:
                text = f"must be positive and less than {highest}"
                errors.append(invalid(f"spec.{field}", value, text))
        if spec.get("service") is None:
            return errors + _local(spec)
        return errors + _remote(spec, spec["service"])

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return [
            not_supported(f"status.conditions[{index}].status", item.get("status"), _STATUSES)
            for index, item in enumerate((obj.get("status") or {}).get("conditions") or ())
            if item.get("status") not in _STATUSES
        ]

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        service = (obj.get("spec") or {}).get("service")
        where = f"{service['namespace']}/{service['name']}" if service else "Local"
        return [name_of(obj), where, _availability(obj), age(obj, now)]


def _available_here() -> Object:
    return {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": env.timestamp(),
        "reason": "Local",
        "message": "Local APIServices are always available",
    }


def _name(name: str, wanted: str) -> list[FieldError]:
    if not name or name == wanted or path_segment_errors(name):
        return []
    text = f'must be `spec.version+"."+spec.group`: "{wanted}"'
    return [invalid("metadata.name", name, text)]


def _local(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec.get("caBundle"):
        size = f"{_decoded_size(spec['caBundle'])} bytes"
        text = "local APIServices may not have a caBundle"
        errors.append(invalid("spec.caBundle", size, text))
    if spec.get("insecureSkipTLSVerify"):
        text = "local APIServices may not have insecureSkipTLSVerify"
        errors.append(invalid("spec.insecureSkipTLSVerify", True, text))
    return errors


def _decoded_size(encoded: str) -> int:
    return len(encoded) // 4 * 3 - encoded[-2:].count("=")


def _remote(spec: Object, service: Object) -> list[FieldError]:
    errors = [
        required(f"spec.service.{field}")
        for field in ("namespace", "name")
        if not service.get(field)
    ]
    port = service.get("port")
    if port is not None and not 1 <= port <= 65535:
        text = f"port is not valid: {inclusive_range_error(1, 65535)}"
        errors.append(invalid("spec.service.port", port, text))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        text = "may not be true if caBundle is present"
        errors.append(invalid("spec.insecureSkipTLSVerify", True, text))
    return errors


def _availability(obj: Object) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Available":
            status, reason = str(condition.get("status") or ""), condition.get("reason")
            return status if status == "True" or not reason else f"{status} ({reason})"
    return "Unknown"
