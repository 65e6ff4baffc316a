"""Validation of probes and lifecycle hooks.

Source: `validateProbe`, `validateHandler` and `validateLifecycle` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go`.
"""

from collections.abc import Callable
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, not_supported, required
from kapi.api.names import http_header_name_errors, inclusive_range_error, port_name_errors
from kapi.api.object import Object
from kapi.registry.fields import complaints, not_negative, port_number

_SCHEMES = ("HTTP", "HTTPS")
_PROBE_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)

Check = Callable[[Object, str], list[FieldError]]


def port_or_name(port: Any, path: str) -> list[FieldError]:
    """A port given as a number or as the name of a container port."""
    if isinstance(port, str):
        return complaints(path, port, port_name_errors(port))
    number = port or 0
    if not 1 <= number <= 65535:
        return [invalid(path, number, inclusive_range_error(1, 65535))]
    return []


def _exec(action: Object, path: str) -> list[FieldError]:
    return [] if action.get("command") else [required(f"{path}.command")]


def _http_get(action: Object, path: str) -> list[FieldError]:
    errors = [] if action.get("path") else [required(f"{path}.path")]
    errors += port_or_name(action.get("port"), f"{path}.port")
    if action.get("scheme") not in _SCHEMES:
        errors.append(not_supported(f"{path}.scheme", action.get("scheme") or "", _SCHEMES))
    for header in action.get("httpHeaders") or ():
        name = str(header.get("name") or "")
        errors += complaints(f"{path}.httpHeaders", name, http_header_name_errors(name))
    return errors


def _tcp_socket(action: Object, path: str) -> list[FieldError]:
    return port_or_name(action.get("port"), f"{path}.port")


def _grpc(action: Object, path: str) -> list[FieldError]:
    return port_number(action.get("port"), f"{path}.port")


def _handler(holder: Object, checks: tuple[tuple[str, Check], ...], path: str) -> list[FieldError]:
    """Exactly one action; further ones are forbidden rather than checked."""
    errors: list[FieldError] = []
    found = 0
    for name, check in checks:
        action = holder.get(name)
        if action is None:
            continue
        if found:
            errors.append(forbidden(f"{path}.{name}", "may not specify more than 1 handler type"))
        else:
            errors += check(action, f"{path}.{name}")
        found += 1
    return errors if found else [required(path, "must specify a handler type")]


_PROBE_CHECKS: tuple[tuple[str, Check], ...] = (
    ("exec", _exec),
    ("httpGet", _http_get),
    ("tcpSocket", _tcp_socket),
    ("grpc", _grpc),
)


def probe(value: Object | None, path: str) -> list[FieldError]:
    """What all three probes have in common."""
    if value is None:
        return []
    errors = _handler(value, _PROBE_CHECKS, path)
    for name in _PROBE_NUMBERS:
        errors += not_negative(value.get(name), f"{path}.{name}")
    grace = value.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        field = f"{path}.terminationGracePeriodSeconds"
        errors.append(invalid(field, grace, "must be greater than 0"))
    return errors


def single_success_probe(value: Object | None, path: str) -> list[FieldError]:
    """Liveness and startup probes: one success is enough, always."""
    errors = probe(value, path)
    if value is not None and value.get("successThreshold") != 1:
        errors.append(
            invalid(f"{path}.successThreshold", value.get("successThreshold"), "must be 1")
        )
    return errors


def readiness_probe(value: Object | None, path: str) -> list[FieldError]:
    """Readiness never ends a container, so a grace period makes no sense."""
    errors = probe(value, path)
    grace = (value or {}).get("terminationGracePeriodSeconds")
    if grace is not None:
        field = f"{path}.terminationGracePeriodSeconds"
        errors.append(invalid(field, grace, "must not be set for readinessProbes"))
    return errors


def lifecycle(value: Object | None, grace_seconds: int, path: str) -> list[FieldError]:
    """Hooks; `grace_seconds` bounds a sleep."""

    def sleep(action: Object, own: str) -> list[FieldError]:
        seconds = action.get("seconds") or 0
        if 0 <= seconds <= grace_seconds:
            return []
        text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
        return [invalid(own, seconds, text)]

    checks: tuple[tuple[str, Check], ...] = (*_PROBE_CHECKS[:3], ("sleep", sleep))
    errors: list[FieldError] = []
    for hook in ("postStart", "preStop"):
        action = (value or {}).get(hook)
        if action is not None:
            errors += _handler(action, checks, f"{path}.{hook}")
    return errors
