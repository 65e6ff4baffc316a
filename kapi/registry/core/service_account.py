"""ServiceAccount; its tokens are made by the server's token endpoint."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, name_of
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Strategy, age


class ServiceAccountStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/serviceaccount/strategy.go`."""

    returns_deleted_object = True
    columns = (NAME_COLUMN, AGE_COLUMN)

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), age(obj, now)]
