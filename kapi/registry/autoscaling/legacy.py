"""HorizontalPodAutoscaler as autoscaling/v1 has it: judged and shown by way of v2.

Source: k8s.io/kubernetes `pkg/apis/autoscaling/v1`.
"""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError
from kapi.api.object import Object
from kapi.registry.autoscaling.conversion import to_v1, to_v2
from kapi.registry.autoscaling.horizontal_pod_autoscaler import HorizontalPodAutoscalerStrategy
from kapi.registry.strategy import RequestContext, Strategy


class LegacyAutoscalerStrategy(Strategy):
    """Its objects are kept in the form that comes back from storage."""

    has_status = True
    columns = HorizontalPodAutoscalerStrategy.columns

    def __init__(self, current: HorizontalPodAutoscalerStrategy) -> None:
        self._current = current

    def default(self, obj: Object) -> None:
        stored = to_v2(obj)
        self._current.default(stored)
        obj.update(to_v1(stored))

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"currentReplicas": 0, "desiredReplicas": 0}

    def validate(self, obj: Object) -> list[FieldError]:
        return self._current.validate(to_v2(obj))

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return self._current.validate_status(to_v2(obj), to_v2(old))

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return self._current.table_row(to_v2(obj), now)
