"""CronJob."""

import zoneinfo
from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid, not_supported, required
from kapi.api.object import Object, name_of
from kapi.registry.batch.job_validation import job_spec
from kapi.registry.batch.schedule import schedule_error
from kapi.registry.cells import NONE, containers_and_images
from kapi.registry.core.pod_defaults import default_pod_template
from kapi.registry.fields import not_negative, one_of
from kapi.registry.strategy import (
    AGE_COLUMN,
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
    human_duration,
)

_POLICIES = ("Allow", "Forbid", "Replace")
_LONGEST_NAME = 52


class CronJobStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/batch/cronjob/strategy.go`."""

    has_generation = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Schedule", about="=api.batch.v1.CronJobSpec.schedule"),
        Column("Timezone", about="=api.batch.v1.CronJobSpec.timeZone"),
        Column("Suspend", "boolean", about="=api.batch.v1.CronJobSpec.suspend"),
        Column("Active", "integer", about="=api.batch.v1.CronJobStatus.active"),
        Column("Last Schedule", about="=api.batch.v1.CronJobStatus.lastScheduleTime"),
        AGE_COLUMN,
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        Column("Selector", priority=1, about="=api.batch.v1.JobSpec.selector"),
    )

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        errors = super().name_errors(name, prefix=prefix)
        if len(name) > _LONGEST_NAME:
            errors.append(f"must be no more than {_LONGEST_NAME} characters")
        return errors

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("concurrencyPolicy"):
            spec["concurrencyPolicy"] = "Allow"
        spec.setdefault("suspend", False)
        spec.setdefault("successfulJobsHistoryLimit", 3)
        spec.setdefault("failedJobsHistoryLimit", 1)
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        _default_template_spec(template.setdefault("spec", {}))

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = _schedule(spec)
        if spec.get("startingDeadlineSeconds") is not None:
            errors += not_negative(spec["startingDeadlineSeconds"], "spec.startingDeadlineSeconds")
        policy = spec.get("concurrencyPolicy") or ""
        errors += one_of(policy, _POLICIES, "spec.concurrencyPolicy")
        errors += _job_template(spec.get("jobTemplate") or {})
        for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            errors += not_negative(spec.get(field), f"spec.{field}")
        return errors

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        job = (spec.get("jobTemplate") or {}).get("spec") or {}
        containers, images = containers_and_images((job.get("template") or {}).get("spec") or {})
        last = status.get("lastScheduleTime")
        since = NONE
        if last:
            since = human_duration((now - datetime.fromisoformat(last)).total_seconds())
        return [
            name_of(obj),
            spec.get("schedule") or "",
            spec.get("timeZone") or NONE,
            "True" if spec.get("suspend") else "False",
            len(status.get("active") or ()),
            since,
            age(obj, now),
            containers,
            images,
            NONE,
        ]


def _default_template_spec(spec: Object) -> None:
    """Upstream gives a CronJob's template only its pod defaults, not those of a Job."""
    default_pod_template(spec.setdefault("template", {}))


def _job_template(template: Object) -> list[FieldError]:
    spec = template.get("spec") or {}
    errors = job_spec(spec, "spec.jobTemplate.spec")
    path = "spec.jobTemplate.spec"
    if spec.get("selector") is not None:
        text = "`selector` will be auto-generated"
        errors.append(invalid(f"{path}.selector", spec["selector"], text))
    if spec.get("manualSelector"):
        errors.append(not_supported(f"{path}.manualSelector", True, ("nil", "false")))
    return errors


def _schedule(spec: Object) -> list[FieldError]:
    schedule, zone = str(spec.get("schedule") or ""), spec.get("timeZone")
    errors: list[FieldError] = []
    if not schedule:
        errors.append(required("spec.schedule"))
    else:
        text = schedule_error(schedule)
        if text:
            errors.append(invalid("spec.schedule", schedule, text))
        if "TZ" in schedule:
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.append(invalid("spec.schedule", schedule, text))
    return errors + _time_zone(zone)


def _time_zone(zone: str | None) -> list[FieldError]:
    path = "spec.timeZone"
    if zone is None:
        return []
    if not zone:
        return [invalid(path, zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        text = (
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
        return [invalid(path, zone, text)]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [invalid(path, zone, f"unknown time zone {zone}")]
    return []
