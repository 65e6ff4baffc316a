"""The pods a Job creates. Pure.

Source: k8s.io/kubernetes `pkg/controller/job/indexed_job_utils.go`.
"""

from typing import Any

from kapi.api.object import Object, name_of
from kapi.controllers.job.pods import (
    FAILURES,
    FINALIZER,
    IGNORED_FAILURES,
    INDEX,
    failures_of,
    has_limit_per_index,
    ignored_failures_of,
    is_indexed,
)
from kapi.controllers.job.policies import match_failure
from kapi.controllers.pods import pod_from_template

_ENVIRONMENT = "JOB_COMPLETION_INDEX"
# The API server appends five characters to at most so many.
_LONGEST_PREFIX = 58


def pod_for(job: Object, index: int | None, replaced: Object | None) -> Object:
    """A pod to create; `replaced` is the failed pod of the same index that it stands in for."""
    pod = pod_from_template(job["spec"]["template"], job)
    metadata = pod["metadata"]
    metadata["finalizers"] = _with_finalizer(metadata.get("finalizers"))
    if not is_indexed(job) or index is None:
        return pod
    metadata["generateName"] = _prefix(name_of(job), index)
    metadata["labels"] = {**(metadata.get("labels") or {}), INDEX: str(index)}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        INDEX: str(index),
        **_failure_counts(job, replaced),
    }
    spec = pod["spec"] = {**pod["spec"], "hostname": f"{name_of(job)}-{index}"}
    for field in ("initContainers", "containers"):
        if spec.get(field):
            spec[field] = [_with_index(container) for container in spec[field]]
    return pod


def _with_finalizer(finalizers: list[str] | None) -> list[str]:
    present = list(finalizers or ())
    return present if FINALIZER in present else [*present, FINALIZER]


def _prefix(job_name: str, index: int) -> str:
    tail = f"-{index}-"
    return job_name[: _LONGEST_PREFIX - len(tail)] + tail


def _with_index(container: dict[str, Any]) -> dict[str, Any]:
    variables = list(container.get("env") or ())
    if any(variable.get("name") == _ENVIRONMENT for variable in variables):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    return {**container, "env": [*variables, {"name": _ENVIRONMENT, "valueFrom": source}]}


def _failure_counts(job: Object, replaced: Object | None) -> dict[str, str]:
    """Carried from pod to pod, so that they outlive the controller."""
    if not has_limit_per_index(job):
        return {}
    failures, ignored = 0, 0
    if replaced is not None:
        counts = match_failure(job, replaced).counts
        failures = failures_of(replaced) + counts
        ignored = ignored_failures_of(replaced) + (not counts)
    found = {FAILURES: str(failures)}
    if ignored:
        found[IGNORED_FAILURES] = str(ignored)
    return found
