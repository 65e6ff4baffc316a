"""PodTemplate."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError
from kapi.api.object import Object, labels_of, name_of
from kapi.registry.cells import containers_and_images, key_values
from kapi.registry.core.pod_defaults import default_pod_template
from kapi.registry.core.pod_validation import pod_template
from kapi.registry.strategy import (
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    NAME_COLUMN,
    Column,
    Strategy,
)


class PodTemplateStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/podtemplate/strategy.go`."""

    returns_deleted_object = True
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Containers", about=CONTAINERS_COLUMN.about),
        Column("Images", about=IMAGES_COLUMN.about),
        Column("Pod Labels", about="The labels for the pod template."),
    )

    def default(self, obj: Object) -> None:
        default_pod_template(obj.setdefault("template", {}))

    def validate(self, obj: Object) -> list[FieldError]:
        return pod_template(obj.get("template"), "template")

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        template = obj.get("template") or {}
        containers, images = containers_and_images(template.get("spec") or {})
        return [name_of(obj), containers, images, key_values(labels_of(template))]
