"""One class per (reason, code) of the API's Status, and field errors.

Sources: k8s.io/apimachinery `pkg/api/errors` and `pkg/util/validation/field` for reasons, codes
and the shape of messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from kapi.api.object import Object


@dataclass(frozen=True, slots=True)
class FieldError:
    """One complaint about one field.

    `reason` is the cause's reason (`FieldValueRequired`, ...); `message` is the text after the
    path, `Required value` or `Invalid value: "x": must be ...`.
    """

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def cause(self) -> dict[str, str]:
        return {"reason": self.reason, "message": self.message, "field": self.field}


def _spelled(value: Any) -> str:
    """A value as upstream prints it in messages: quoted strings, JSON for the rest."""
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    return orjson.dumps(value).decode()


def _with_detail(message: str, detail: str) -> str:
    return f"{message}: {detail}" if detail else message


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, _with_detail("Required value", detail))


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(
        "FieldValueInvalid", field, _with_detail(f"Invalid value: {_spelled(value)}", detail)
    )


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {_spelled(value)}")


def not_found(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", field, f"Not found: {_spelled(value)}")


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}")


def not_supported(field: str, value: Any, supported: Sequence[str]) -> FieldError:
    allowed = ", ".join(_spelled(item) for item in supported)
    detail = f": supported values: {allowed}" if supported else ""
    return FieldError(
        "FieldValueNotSupported", field, f"Unsupported value: {_spelled(value)}{detail}"
    )


def too_long(field: str, maximum: int) -> FieldError:
    unit = "byte" if maximum == 1 else "bytes"
    return FieldError(
        "FieldValueTooLong", field, f"Too long: may not be more than {maximum} {unit}"
    )


def too_many(field: str, count: int, maximum: int) -> FieldError:
    noun = "item" if maximum == 1 else "items"
    return FieldError(
        "FieldValueTooMany", field, f"Too many: {count}: must have at most {maximum} {noun}"
    )


def internal(field: str, detail: str) -> FieldError:
    return FieldError("InternalError", field, f"Internal error: {detail}")


class ApiError(Exception):
    """An error with a Status body. Clients raise it too, from the Status they were sent."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"
    always_details: ClassVar[bool] = False
    """Is `details` sent even when empty? kubectl dereferences it on some answers."""

    def __init__(
        self,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    @property
    def retry_after(self) -> int | None:
        """Seconds a client should wait, also sent as the Retry-After header."""
        value = self.details.get("retryAfterSeconds")
        return int(value) if value is not None else None

    def status(self) -> Object:
        """The Status object for the wire."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details or self.always_details:
            status["details"] = self.details
        return {**status, "code": self.code}


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class PathForbidden(Forbidden):
    """403 for a request that is not about a resource."""

    always_details = True


class NotFound(ApiError):
    code, reason = 404, "NotFound"
    always_details = True


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"
    always_details = True


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"
    always_details = True


class PlainNotAcceptable(NotAcceptable):
    """406 without details: the object cannot take the form that was asked for."""

    always_details = False


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Gone(ApiError):
    code, reason = 410, "Gone"


class Expired(ApiError):
    """The resourceVersion or continue token is older than the history that is kept."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"
    always_details = True


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class UntypedError(InternalError):
    """A plain error upstream: the Status has code 500, and neither reason nor details."""

    def status(self) -> Object:
        status = super().status()
        status.pop("reason")
        status.pop("details", None)
        return status


class ServerTimeout(ApiError):
    """Could not finish in time, and a retry is welcome. 500 with a retry hint, as upstream."""

    code, reason = 500, "ServerTimeout"


class NotBuilt(ApiError):
    """A part of the Kubernetes API that kapi does not have."""

    code, reason = 501, "NotImplemented"
    always_details = True


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


_CLASSES: dict[tuple[int, str], type[ApiError]] = {
    (cls.code, cls.reason): cls for cls in ApiError.__subclasses__()
}
_BY_CODE: dict[int, type[ApiError]] = {}
for _cls in ApiError.__subclasses__():
    _BY_CODE.setdefault(_cls.code, _cls)


class UnknownStatus(ApiError):
    """A Status with a code that kapi itself never sends; keeps the code it came with."""

    def __init__(self, message: str, status: Object) -> None:
        super().__init__(message, details=status.get("details"))
        self._status = status

    def status(self) -> Object:
        return self._status


def plain_error(message: str) -> UnknownStatus:
    """500 without a reason: what upstream answers for an error that has no Status of its own."""
    status: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "code": 500,
    }
    return UnknownStatus(message, status)


def from_status(status: Object, http_code: int | None = None) -> ApiError:
    """The error that a Status body stands for."""
    code = int(status.get("code") or http_code or 500)
    found = _CLASSES.get((code, str(status.get("reason", "")))) or _BY_CODE.get(code)
    message = str(status.get("message", "")) or f"the server answered {code}"
    if found is None:
        return UnknownStatus(message, status)
    return found(message, details=status.get("details"))


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str) -> dict[str, Any]:
    named = {"name": name} if name else {}
    return {
        **named,
        **({"group": group} if group else {}),
        **({"kind": kind} if kind else {}),
    }


def resource_not_found(plural: str, group: str, name: str) -> NotFound:
    return NotFound(
        f'{_qualified(plural, group)} "{name}" not found', details=_details(name, group, plural)
    )


def resource_already_exists(plural: str, group: str, name: str) -> AlreadyExists:
    return AlreadyExists(
        f'{_qualified(plural, group)} "{name}" already exists',
        details=_details(name, group, plural),
    )


def resource_conflict(plural: str, group: str, name: str, why: str = "") -> Conflict:
    why = why or (
        "the object has been modified;"
        " please apply your changes to the latest version and try again"
    )
    return Conflict(
        f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {why}',
        details=_details(name, group, plural),
    )


def resource_forbidden(plural: str, group: str, name: str, why: str) -> Forbidden:
    target = f'{_qualified(plural, group)} "{name}"' if name else _qualified(plural, group)
    return Forbidden(f"{target} is forbidden: {why}", details=_details(name, group, plural))


def object_invalid(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> Invalid:
    """422 with one cause per field error, printed as upstream's aggregate does."""
    unique = list(dict.fromkeys(str(error) for error in errors))
    text = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
    qualified = f"{kind}.{group}" if group else kind
    return Invalid(
        f'{qualified} "{name}" is invalid: {text}',
        details={**_details(name, group, kind), "causes": [error.cause() for error in errors]},
    )
