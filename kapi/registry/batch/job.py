"""Job."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid
from kapi.api.object import Object, clone, condition_of, is_deleting, metadata, name_of, uid_of
from kapi.registry.batch.job_status import job_status
from kapi.registry.batch.job_validation import (
    generated_selector,
    immutable_completions,
    indexed_host_name,
    job_selector,
    job_spec,
    shown_policy,
)
from kapi.registry.cells import containers_and_images, label_selector_text
from kapi.registry.core.pod_defaults import default_pod_template
from kapi.registry.core.pod_internal import internal_pod_spec
from kapi.registry.fields import IMMUTABLE, immutable
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

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
_OLD_LABELS = ("controller-uid", "job-name")


class JobStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/batch/job/strategy.go`."""

    default_propagation = "Orphan"
    default_propagation_warnings = (
        "child pods are preserved by default when jobs are deleted; set "
        "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress "
        "this warning",
    )
    has_generation = True
    has_status = True
    unknown_field = 'field label "{field}" not supported for Job'
    columns = (
        NAME_COLUMN,
        Column("Status", about="Status of the job."),
        Column("Completions", about="=api.batch.v1.JobStatus.succeeded"),
        Column("Duration", about="Time required to complete the job."),
        AGE_COLUMN,
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        Column("Selector", priority=1, about="=api.batch.v1.JobSpec.selector"),
    )

    def default(self, obj: Object) -> None:
        default_job_spec(obj.setdefault("spec", {}))

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        generate_selector(obj)
        obj["status"] = {}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        return [
            *generated_selector(spec, _generated_labels(obj)),
            *job_spec(spec),
            *job_selector(spec),
            *indexed_host_name(obj),
        ]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        """Upstream judges the spec once as a new Job's and once as a change."""
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        errors = self.validate(obj) + job_spec(spec) + job_selector(spec)
        errors += immutable_completions(obj, old)
        errors += immutable(spec.get("selector"), before.get("selector"), "spec.selector")
        errors += _template_changes(spec, before, relaxed=_may_change_template(old))
        errors += immutable(
            spec.get("completionMode"), before.get("completionMode"), "spec.completionMode"
        )
        errors += _policy_change(spec, before, "podFailurePolicy", "FailurePolicy")
        for name in ("backoffLimitPerIndex", "managedBy"):
            errors += immutable(spec.get(name), before.get(name), f"spec.{name}")
        return errors + _policy_change(spec, before, "successPolicy", "SuccessPolicy")

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return job_status(obj, old)

    def canonicalize(self, obj: Object) -> None:
        """A Job without labels takes those of its template, the generated ones included."""
        labels = metadata(obj["spec"]["template"]).get("labels")
        if labels and not metadata(obj).get("labels"):
            metadata(obj)["labels"] = dict(labels)

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        containers, images = containers_and_images((spec.get("template") or {}).get("spec") or {})
        return [
            name_of(obj),
            _status_cell(obj),
            _completions_cell(spec, status),
            _duration_cell(status, now),
            age(obj, now),
            containers,
            images,
            label_selector_text(spec.get("selector")),
        ]


def default_job_spec(spec: Object) -> None:
    """Source: `SetDefaults_Job` in k8s.io/kubernetes `pkg/apis/batch/v1/defaults.go`."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    spec.setdefault("parallelism", 1)
    if spec.get("backoffLimit") is None:
        per_index = spec.get("backoffLimitPerIndex") is not None
        spec["backoffLimit"] = 2147483647 if per_index else 6
    if not spec.get("completionMode"):
        spec["completionMode"] = "NonIndexed"
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    if spec.get("podReplacementPolicy") is None:
        has_policy = spec.get("podFailurePolicy") is not None
        spec["podReplacementPolicy"] = "Failed" if has_policy else "TerminatingOrFailed"
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for condition in rule.get("onPodConditions") or ():
            if not condition.get("status"):
                condition["status"] = "True"
    default_pod_template(spec.setdefault("template", {}))


def generate_selector(job: Object) -> None:
    """Select the pods of this Job alone, by its uid, unless the selector is manual."""
    spec = job["spec"]
    if spec.get("manualSelector"):
        return
    template = metadata(spec["template"])
    template["labels"] = {**_generated_labels(job), **(template.get("labels") or {})}
    selector = spec["selector"] = dict(spec.get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), UID_LABEL: uid_of(job)}


def _generated_labels(job: Object) -> dict[str, str]:
    uid, name = uid_of(job), name_of(job)
    old_uid, old_name = _OLD_LABELS
    return {old_uid: uid, old_name: name, UID_LABEL: uid, NAME_LABEL: name}


def _may_change_template(old: Object) -> bool:
    """Scheduling hints of a Job that is suspended and has never started may still change."""
    spec, status = old.get("spec") or {}, old.get("status") or {}
    return bool(spec.get("suspend")) and not status.get("startTime")


def _policy_change(spec: Object, before: Object, field: str, type_name: str) -> list[FieldError]:
    if spec.get(field) == before.get(field):
        return []
    return [invalid(f"spec.{field}", shown_policy(spec.get(field), type_name), IMMUTABLE)]


def _template_changes(spec: Object, before: Object, *, relaxed: bool) -> list[FieldError]:
    """`relaxed` allows what tells the scheduler where pods go, and what they ask for."""
    new, old = clone(spec.get("template") or {}), before.get("template") or {}
    if relaxed:
        new["metadata"] = old.get("metadata")
        new_spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
        _restore(new_spec, old_spec, ("nodeSelector", "tolerations", "schedulingGates"))
        affinity, old_affinity = new_spec.get("affinity") or {}, old_spec.get("affinity") or {}
        _restore(affinity, old_affinity, ("nodeAffinity",))
        if affinity:
            new_spec["affinity"] = affinity
        else:
            _restore(new_spec, old_spec, ("affinity",))
        for kind in ("containers", "initContainers"):
            pairs = zip(new_spec.get(kind) or (), old_spec.get(kind) or (), strict=False)
            for container, previous in pairs:
                container["resources"] = previous.get("resources") or {}
    if new == old:
        return []
    shown = internal_pod_spec((spec.get("template") or {}).get("spec") or {})
    return [invalid("spec.template.spec", shown, IMMUTABLE)]


def _restore(new: Object, old: Object, fields: tuple[str, ...]) -> None:
    """Undo the changes of these fields."""
    for field in fields:
        new.pop(field, None)
        if field in old:
            new[field] = old[field]


def _status_cell(job: Object) -> str:
    conditions = (job.get("status") or {}).get("conditions")

    def holds(kind: str) -> bool:
        return (condition_of(conditions, kind) or {}).get("status") == "True"

    for kind, text in (("Complete", "Complete"), ("Failed", "Failed")):
        if holds(kind):
            return text
    if is_deleting(job):
        return "Terminating"
    for kind, text in (
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if holds(kind):
            return text
    return "Running"


def _completions_cell(spec: Object, status: Object) -> str:
    done = status.get("succeeded") or 0
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration_cell(status: Object, now: datetime) -> str:
    started, ended = status.get("startTime"), status.get("completionTime")
    if not started:
        return ""
    until = datetime.fromisoformat(ended) if ended else now
    return human_duration((until - datetime.fromisoformat(started)).total_seconds())
