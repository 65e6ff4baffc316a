"""What a claim asks for: requests, constraints between them, configuration.

Source: k8s.io/kubernetes `pkg/apis/resource/{v1/defaults,validation/validation}.go`.
"""

from typing import Any

from kapi.api.errors import FieldError, invalid, not_supported, required
from kapi.api.object import Object
from kapi.registry.dynamic_resources import shared
from kapi.registry.fields import dns_label, dns_subdomain

_MOST_REQUESTS = 32
_MOST_CONSTRAINTS = 32
_MOST_ALTERNATIVES = 8
_MOST_TOLERATIONS = 16
_MODES = ("All", "ExactCount")
_BAD_REFERENCE = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)

INTERNAL_TYPES = {
    "ClaimSpec": "Devices:Claim",
    "Claim": "Requests:[]Request Constraints:[]Constraint Config:[]Config",
    "Request": "Name Exactly:*Exact FirstAvailable:[]Alternative",
    "Exact": (
        "DeviceClassName Selectors:[]Selector AllocationMode Count:i AdminAccess:? "
        "Tolerations:[]Toleration Capacity:*Capacity"
    ),
    "Alternative": (
        "Name DeviceClassName Selectors:[]Selector AllocationMode Count:i "
        "Tolerations:[]Toleration Capacity:*Capacity"
    ),
    "Selector": "CEL:*Cel",
    "Cel": "Expression",
    "Toleration": "Key Operator Value Effect TolerationSeconds:?",
    "Capacity": "Requests:?",
    "Constraint": "Requests:? MatchAttribute:? DistinctAttribute:?",
    "Config": "Requests:? Opaque:*Opaque",
    "Opaque": "Driver Parameters:json",
    "TemplateSpec": "Spec:ClaimSpec",
}
"""For messages that quote a claim; see `internal_form`."""


def default_claim(spec: Object) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        if request.get("exactly") is not None:
            _default_request(request["exactly"])
        for alternative in request.get("firstAvailable") or ():
            _default_request(alternative)


def _default_request(request: Object) -> None:
    if not request.get("allocationMode"):
        request["allocationMode"] = "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1
    for item in request.get("tolerations") or ():
        if not item.get("operator"):
            item["operator"] = "Equal"


def canonical_claim(spec: Object) -> None:
    """Absent requests are stored as null."""
    devices = spec.setdefault("devices", {})
    devices["requests"] = devices.get("requests") or None


def asks_admin_access(spec: Object) -> list[str]:
    """Paths of the requests that want it, as upstream's message names them."""
    requests = (spec.get("devices") or {}).get("requests") or ()
    return [
        f"spec.devices.requests[{index}].adminAccess"
        for index, request in enumerate(requests)
        if (request.get("exactly") or {}).get("adminAccess")
    ]


def claim_spec(spec: Object, path: str) -> list[FieldError]:
    """Complaints about spec of a claim, or of a template's claim."""
    devices, path = spec.get("devices") or {}, f"{path}.devices"
    names = _request_names(devices.get("requests") or [])

    def constraint(item: Object, own: str) -> list[FieldError]:
        return _constraint(item, names, own)

    def configuration(item: Object, own: str) -> list[FieldError]:
        found = _references(item.get("requests") or [], names, f"{own}.requests")
        return found + shared.configuration(item, own)

    return [
        *shared.each(devices.get("requests"), _MOST_REQUESTS, _request, f"{path}.requests", "name"),
        *shared.each(
            devices.get("constraints"), _MOST_CONSTRAINTS, constraint, f"{path}.constraints"
        ),
        *shared.each(devices.get("config"), shared.MOST_CONFIGS, configuration, f"{path}.config"),
    ]


def _request_names(requests: list[Object]) -> set[str]:
    names: set[str] = set()
    for request in requests:
        name = request.get("name") or ""
        names.add(name)
        for alternative in request.get("firstAvailable") or ():
            names.add(f"{name}/{alternative.get('name') or ''}")
    return names


def _request(request: Object, path: str) -> list[FieldError]:
    errors = dns_label(request.get("name"), f"{path}.name")
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
    rule = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is None and not alternatives:
        errors.append(required(path, rule))
    elif exactly is not None and alternatives:
        errors.append(invalid(path, None, f"{rule}, but multiple fields are set"))
    elif exactly is not None:
        errors += _device_request(exactly, f"{path}.exactly")
    else:
        own = f"{path}.firstAvailable"
        errors += shared.each(alternatives, _MOST_ALTERNATIVES, _alternative, own, "name")
    return errors


def _alternative(request: Object, path: str) -> list[FieldError]:
    return dns_label(request.get("name"), f"{path}.name") + _device_request(request, path)


def _device_request(request: Object, path: str) -> list[FieldError]:
    name = request.get("deviceClassName")
    own = f"{path}.deviceClassName"
    errors = dns_subdomain(name, own) if name else [required(own)]
    errors += shared.each(
        request.get("selectors"), shared.MOST_SELECTORS, shared.selector, f"{path}.selectors"
    )
    errors += _count(request.get("allocationMode") or "", request.get("count") or 0, path)
    errors += shared.each(
        request.get("tolerations"), _MOST_TOLERATIONS, shared.toleration, f"{path}.tolerations"
    )
    for key in sorted(((request.get("capacity") or {}).get("requests")) or {}):
        errors += shared.qualified_identifier(key, f"{path}.capacity.requests")
    return errors


def _count(mode: str, count: int, path: str) -> list[FieldError]:
    own = f"{path}.count"
    if mode == "All":
        text = "must not be specified when allocationMode is 'All'"
        return [invalid(own, count, text)] if count else []
    if mode == "ExactCount":
        return [] if count > 0 else [invalid(own, count, "must be greater than zero")]
    return [not_supported(f"{path}.allocationMode", mode, _MODES)]


def _references(names: list[str], known: set[str], path: str) -> list[FieldError]:
    return [
        invalid(f"{path}[{index}]", name, _BAD_REFERENCE)
        for index, name in enumerate(names)
        if name not in known
    ]


def _constraint(item: Object, known: set[str], path: str) -> list[FieldError]:
    errors = _references(item.get("requests") or [], known, f"{path}.requests")
    named: list[tuple[str, Any]] = [
        (field, item[field])
        for field in ("matchAttribute", "distinctAttribute")
        if item.get(field) is not None
    ]
    if len(named) != 1:
        # Upstream says "multiple" for none as well.
        text = (
            'exactly one of "matchAttribute" or "distinctAttribute" is required, '
            "but multiple fields are set"
        )
        return [*errors, required(path, text)]
    field, name = named[0]
    return errors + shared.fully_qualified(str(name), f"{path}.{field}")
