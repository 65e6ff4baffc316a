"""PriorityLevelConfiguration: how much of the server a class of requests gets.

Source: k8s.io/kubernetes `pkg/apis/flowcontrol/{v1/defaults,validation/validation}.go`.
"""

import math
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, forbidden, invalid, required
from kapi.api.names import inclusive_range_error
from kapi.api.object import Object, name_of
from kapi.registry.cells import NONE
from kapi.registry.fields import one_of
from kapi.registry.flowcontrol.flow_schema import condition_errors
from kapi.registry.flowcontrol.mandatory import mandatory_spec
from kapi.registry.internal_form import internal_form
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, RequestContext, Strategy, age

_TYPES = ("Exempt", "Limited")
_RESPONSES = ("Queue", "Reject")
_QUEUING_DEFAULTS = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
_DEFAULT_SHARES = 30
_MOST_QUEUES = 10_000_000
_MOST_ENTROPY_BITS = 60
_API = "=api.flowcontrol.v1"
_INTERNAL = {
    "Spec": "Type Limited:*Limited Exempt:*Exempt",
    "Limited": "NominalConcurrencyShares:i LimitResponse:Response LendablePercent:? "
    "BorrowingLimitPercent:?",
    "Exempt": "NominalConcurrencyShares:? LendablePercent:?",
    "Response": "Type Queuing:*Queuing",
    "Queuing": "Queues:i HandSize:i QueueLengthLimit:i",
}


class PriorityLevelConfigurationStrategy(Strategy):
    """Source: `pkg/registry/flowcontrol/prioritylevelconfiguration/strategy.go`."""

    has_generation = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Type", about=f"{_API}.PriorityLevelConfigurationSpec.type"),
        Column(
            "NominalConcurrencyShares",
            about=f"{_API}.LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
        ),
        Column("Queues", about=f"{_API}.QueuingConfiguration.queues"),
        Column("HandSize", about=f"{_API}.QueuingConfiguration.handSize"),
        Column("QueueLengthLimit", about=f"{_API}.QueuingConfiguration.queueLengthLimit"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        exempt, limited = spec.get("exempt"), spec.get("limited")
        if exempt is not None:
            _fill(exempt, {"nominalConcurrencyShares": 0, "lendablePercent": 0})
        if limited is not None:
            _fill(limited, {"nominalConcurrencyShares": _DEFAULT_SHARES, "lendablePercent": 0})
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            if queuing is not None:
                queuing.update({k: queuing.get(k) or v for k, v in _QUEUING_DEFAULTS.items()})

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {}

    def validate(self, obj: Object) -> list[FieldError]:
        spec, name = obj.get("spec") or {}, name_of(obj)
        errors = _spec(spec, name)
        wanted = mandatory_spec("PriorityLevelConfiguration", name)
        if wanted is None:
            return errors
        free = " except the 'spec.exempt' field" if name == "exempt" else ""
        have = {**spec, "exempt": wanted["exempt"]} if free else spec
        if have != wanted:
            shown = internal_form(spec, "Spec", _INTERNAL)
            text = f"spec of '{name}'{free} must equal the fixed value"
            errors.append(invalid("spec", shown, text))
        return errors

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return condition_errors(obj)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        limited = spec.get("limited")
        queuing = ((limited or {}).get("limitResponse") or {}).get("queuing") or {}
        return [
            name_of(obj),
            spec.get("type") or "",
            limited.get("nominalConcurrencyShares", NONE) if limited else NONE,
            *(queuing.get(field, NONE) for field in _QUEUING_DEFAULTS),
            age(obj, now),
        ]


def _fill(owner: Object, values: dict[str, Any]) -> None:
    for field, value in values.items():
        if owner.get(field) is None:
            owner[field] = value


def _spec(spec: Object, name: str) -> list[FieldError]:
    kind = spec.get("type") or ""
    errors: list[FieldError] = []
    if (name == "exempt") != (kind == "Exempt"):
        text = "must be 'Exempt' if and only if `name` is 'exempt'"
        errors.append(invalid("spec.type", kind, text))
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if kind == "Exempt":
        if limited is not None:
            text = "must be nil if the type is not Limited"
            errors.append(forbidden("spec.limited", text))
        if exempt is not None:
            errors += _shares(exempt, "spec.exempt")
    elif kind == "Limited":
        if exempt is not None:
            errors.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
        if limited is None:
            text = "must not be empty when type is Limited"
            errors.append(required("spec.limited", text))
        else:
            errors += _limited(limited, "spec.limited")
    return errors + one_of(kind, _TYPES, "spec.type")


def _shares(level: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    shares, lendable = level.get("nominalConcurrencyShares") or 0, level.get("lendablePercent")
    if shares < 0:
        text = "must be a non-negative integer"
        errors.append(invalid(f"{path}.nominalConcurrencyShares", shares, text))
    if lendable is not None and not 0 <= lendable <= 100:
        text = inclusive_range_error(0, 100)
        errors.append(invalid(f"{path}.lendablePercent", lendable, text))
    return errors


def _limited(level: Object, path: str) -> list[FieldError]:
    errors = _shares(level, path)
    borrowing = level.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        text = "if specified, must be a non-negative integer"
        errors.append(invalid(f"{path}.borrowingLimitPercent", borrowing, text))
    response, path = level.get("limitResponse") or {}, f"{path}.limitResponse"
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject" and queuing is not None:
        text = "must be nil if limited.limitResponse.type is not Limited"
        errors.append(forbidden(f"{path}.queuing", text))
    elif kind == "Queue" and queuing is None:
        text = "must not be empty if limited.limitResponse.type is Limited"
        errors.append(required(f"{path}.queuing", text))
    elif kind == "Queue":
        errors += _queuing(queuing or {}, f"{path}.queuing")
    return errors + one_of(kind, _RESPONSES, f"{path}.type")


def _queuing(queuing: Object, path: str) -> list[FieldError]:
    length, queues = queuing.get("queueLengthLimit") or 0, queuing.get("queues") or 0
    hand = queuing.get("handSize") or 0
    errors: list[FieldError] = []
    if length <= 0:
        errors.append(invalid(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errors.append(invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _MOST_QUEUES:
        text = f"must not be greater than {_MOST_QUEUES}"
        errors.append(invalid(f"{path}.queues", queues, text))
    problem = _hand_problem(hand, queues)
    if problem:
        errors.append(invalid(f"{path}.handSize", hand, problem))
    return errors


def _hand_problem(hand: int, queues: int) -> str:
    if hand <= 0:
        return "must be positive"
    if hand > queues:
        return f"should not be greater than queues ({queues})"
    bits = math.ceil(sum(math.log2(queues - dealt) for dealt in range(hand)))
    if bits > _MOST_ENTROPY_BITS:
        return (
            f"required entropy bits of deckSize {queues} and handSize {hand} "
            f"should not be greater than {_MOST_ENTROPY_BITS}"
        )
    return ""
