"""IPAddress and ServiceCIDR."""

import ipaddress
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid, required
from kapi.api.names import ip_errors
from kapi.api.object import Object, name_of
from kapi.registry.fields import IMMUTABLE
from kapi.registry.networking.network_policy import strict_cidr
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)


class IPAddressStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/networking/ipaddress/strategy.go`."""

    columns = (NAME_COLUMN, Column("ParentRef", about="=api.networking.v1.IPAddressSpec.parentRef"))

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        wrong = ip_errors(name)
        if wrong:
            parts = name.split(".")
            if len(parts) == 4 and all(part.isdigit() for part in parts):
                return ["must not have leading 0s"]
            return wrong
        canonical = str(ipaddress.ip_address(name))
        return [] if canonical == name else [f'must be in canonical form ("{canonical}")']

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object) -> list[FieldError]:
        parent = (obj.get("spec") or {}).get("parentRef")
        path = "spec.parentRef"
        if parent is None:
            return [required(path)]
        return [
            required(f"{path}.{field}") for field in ("resource", "name") if not parent.get(field)
        ]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        parent = (obj.get("spec") or {}).get("parentRef")
        errors = self.validate(obj)
        if parent != (old.get("spec") or {}).get("parentRef"):
            shown = None
            if parent is not None:
                fields = ("group", "resource", "namespace", "name")
                shown = {name.capitalize(): parent.get(name) or "" for name in fields}
            errors.append(invalid("spec.parentRef", shown, IMMUTABLE))
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        parent = (obj.get("spec") or {}).get("parentRef") or {}
        parts = [parent.get(field) for field in ("group", "resource", "namespace", "name")]
        return [name_of(obj), "/".join(str(part) for part in parts if part)]


class ServiceCIDRStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/networking/servicecidr/strategy.go`."""

    has_status = True
    columns = (
        NAME_COLUMN,
        Column("CIDRs", about="=api.networking.v1.ServiceCIDRSpec.cidrs"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        cidrs = (obj.get("spec") or {}).get("cidrs") or []
        path = "spec.cidrs"
        if not cidrs:
            return [required(path, "at least one CIDR required")]
        if len(cidrs) > 2:
            return [invalid(path, {"CIDRs": cidrs}, "may only hold up to 2 values")]
        errors: list[FieldError] = []
        for index, text in enumerate(cidrs):
            errors += strict_cidr(text, f"{path}[{index}]")
        if not errors and len({ipaddress.ip_network(text).version for text in cidrs}) < len(cidrs):
            text = (
                "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
                "2001:db8::/64"
            )
            errors.append(invalid(path, cidrs, text))
        return errors

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        """A family may be added, nothing may change."""
        new = (obj.get("spec") or {}).get("cidrs") or []
        before = (old.get("spec") or {}).get("cidrs") or []
        if len(new) < len(before):
            return [invalid("spec.cidrs", new, IMMUTABLE)]
        errors = [
            invalid(f"spec.cidrs[{index}]", new[index], IMMUTABLE)
            for index, text in enumerate(before)
            if new[index] != text
        ]
        return errors or self.validate(obj)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        cidrs = (obj.get("spec") or {}).get("cidrs") or []
        return [name_of(obj), ",".join(cidrs), age(obj, now)]
