"""What one round does for a deployment: one step of upstream's state machine. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from kapi.api.object import Object, annotations_of, condition_of, is_deleting, name_of, uid_of
from kapi.controllers.deployment.limits import (
    deadline_seconds,
    history_limit,
    is_rolling,
    surge_and_unavailable,
    wanted,
)
from kapi.controllers.deployment.revisions import (
    REVISION,
    ROLLBACK_TO,
    annotations_for_rollback,
    find_new,
    last_revision,
    max_revision,
    new_annotations,
    new_replica_set,
    revision_of,
    same_template,
    template_for_rollback,
)
from kapi.controllers.deployment.scaling import (
    Scaled,
    Sizes,
    grow_new,
    is_scaling_event,
    new_size,
    replica_annotations,
    scale_in_proportion,
    shrink_old,
    size_of,
    stop_old,
)
from kapi.controllers.deployment.status import (
    calculate,
    is_complete,
    new_condition,
    paused_condition,
    rollout_status,
    seconds_to_deadline,
    set_condition,
    sum_of,
)
from kapi.controllers.pods import is_terminal


@dataclass(frozen=True, slots=True)
class Observed:
    """A deployment, the ReplicaSets it owns, and the pods of each of them by its uid."""

    deployment: Object
    replica_sets: tuple[Object, ...]
    pods: dict[str, tuple[Object, ...]]
    now: datetime


@dataclass(frozen=True, slots=True)
class Write:
    """One request; updates and deletions carry the version they were decided on."""

    verb: Literal["create", "update", "delete"]
    replica_set: Object


@dataclass(frozen=True, slots=True)
class Note:
    """An event to record."""

    kind: str
    reason: str
    message: str


@dataclass(slots=True)
class Plan:
    """`writes` in order; `deployment` is what to send: its status through /status, or, where
    `update_spec` is set, the object itself (a rollback)."""

    deployment: Object
    writes: list[Write] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    update_spec: bool = False
    revisit_in: float | None = None


def plan(observed: Observed) -> Plan:
    """Decide. Planning again after the writes took effect leads to the next step, and to nothing
    when the deployment is where it should be."""
    deployment, now = observed.deployment, observed.now
    result = Plan(deployment)
    if deployment["spec"].get("selector") == {}:
        text = "This deployment is selecting all pods. A non-empty selector is required."
        result.notes.append(Note("Warning", "SelectingAll", text))
        status = dict(deployment.get("status") or {})
        status["observedGeneration"] = deployment["metadata"].get("generation", 0)
        result.deployment = {**deployment, "status": status}
        return result
    if is_deleting(deployment):
        return _only_status(observed, result)
    condition = paused_condition(deployment, now)
    if condition is not None:
        status = dict(deployment.get("status") or {})
        set_condition(status, condition)
        deployment = {**deployment, "status": status}
        observed = Observed(deployment, observed.replica_sets, observed.pods, now)
    if deployment["spec"].get("paused"):
        return _only_scale(observed, result)
    if annotations_of(deployment).get(ROLLBACK_TO) is not None:
        return _roll_back(observed, result)
    if is_scaling_event(deployment, observed.replica_sets):
        return _only_scale(observed, result)
    if is_rolling(deployment):
        return _rolling_update(observed, result)
    return _recreate(observed, result)


def _only_status(observed: Observed, result: Plan) -> Plan:
    new = find_new(observed.deployment, observed.replica_sets)
    status = calculate(observed.deployment, observed.replica_sets, new, observed.now)
    result.deployment = {**observed.deployment, "status": status}
    return result


def _only_scale(observed: Observed, result: Plan) -> Plan:
    sizes, deployment = _sizes(observed, result, create=False)
    scale_in_proportion(sizes)
    _finish_writes(sizes, result)
    if deployment["spec"].get("paused") and ROLLBACK_TO not in annotations_of(deployment):
        _clean_history(sizes, result)
    status = calculate(deployment, sizes.all, sizes.new, observed.now)
    result.deployment = {**deployment, "status": status}
    return result


def _rolling_update(observed: Observed, result: Plan) -> Plan:
    sizes, deployment = _sizes(observed, result, create=True)
    if not (grow_new(sizes) or shrink_old(sizes)) and _was_complete(deployment):
        _clean_history(sizes, result)
    return _finish_rollout(observed, sizes, deployment, result)


def _recreate(observed: Observed, result: Plan) -> Plan:
    sizes, deployment = _sizes(observed, result, create=False)
    if not stop_old(sizes) and not _old_pods_exist(observed, sizes):
        if sizes.new is None:
            sizes, deployment = _sizes(observed, result, create=True)
        if not grow_new(sizes) and _was_complete(deployment):
            _clean_history(sizes, result)
    return _finish_rollout(observed, sizes, deployment, result)


def _was_complete(deployment: Object) -> bool:
    return is_complete(deployment, deployment.get("status") or {})


def _old_pods_exist(observed: Observed, sizes: Sizes) -> bool:
    """Pods on their way out still count: Recreate never runs two versions side by side."""
    if sum_of(sizes.old, "replicas") > 0:
        return True
    new_uid = uid_of(sizes.new) if sizes.new is not None else ""
    return any(
        not is_terminal(pod)
        for uid, pods in observed.pods.items()
        if uid != new_uid
        for pod in pods
    )


def _finish_rollout(observed: Observed, sizes: Sizes, deployment: Object, result: Plan) -> Plan:
    _finish_writes(sizes, result)
    status = rollout_status(deployment, sizes.all, sizes.new, observed.now)
    result.deployment = {**deployment, "status": status}
    result.revisit_in = seconds_to_deadline(deployment, status, observed.now)
    return result


def _sizes(observed: Observed, result: Plan, *, create: bool) -> tuple[Sizes, Object]:
    """The new and the old ReplicaSets, with revision bookkeeping done.

    Also returns the deployment with its revision annotation and, for a new ReplicaSet, its
    Progressing condition.
    """
    deployment = observed.deployment
    new = find_new(deployment, observed.replica_sets)
    old = [rs for rs in observed.replica_sets if new is None or uid_of(rs) != uid_of(new)]
    sizes = Sizes(deployment, new, old)
    revision = max_revision(old) + 1
    if new is not None:
        _refresh(sizes, new, revision)
        return sizes, _with_revision(observed, sizes.new or new)
    if not create:
        return sizes, deployment
    size = new_size(deployment, old, 0)
    surge, _ = surge_and_unavailable(deployment)
    annotations = new_annotations(deployment, None, revision)
    annotations.update(replica_annotations(wanted(deployment), surge))
    made = new_replica_set(deployment, size, annotations)
    sizes.new = made
    result.writes.append(Write("create", made))
    if size > 0:
        result.notes.append(_scaled_note(Scaled(name_of(made), 0, size)))
    status = dict(deployment.get("status") or {})
    if deadline_seconds(deployment) is not None:
        text = f'Created new replica set "{name_of(made)}"'
        condition = new_condition("Progressing", "True", "NewReplicaSetCreated", text, observed.now)
        set_condition(status, condition)
    return sizes, _annotated({**deployment, "status": status}, str(revision))


def _refresh(sizes: Sizes, new: Object, revision: int) -> None:
    annotations = new_annotations(sizes.deployment, annotations_of(new), revision)
    min_ready = sizes.deployment["spec"].get("minReadySeconds") or 0
    if (
        annotations == annotations_of(new)
        and (new["spec"].get("minReadySeconds") or 0) == min_ready
    ):
        return
    metadata = {**new["metadata"], "annotations": annotations}
    spec = {**new["spec"], "minReadySeconds": min_ready}
    sizes.replace({**new, "metadata": metadata, "spec": spec})


def _with_revision(observed: Observed, new: Object) -> Object:
    deployment, status = observed.deployment, dict(observed.deployment.get("status") or {})
    progressing = condition_of(status.get("conditions"), "Progressing")
    if progressing is None and deadline_seconds(deployment) is not None:
        text = f'Found new replica set "{name_of(new)}"'
        condition = new_condition("Progressing", "True", "FoundNewReplicaSet", text, observed.now)
        set_condition(status, condition)
    revision = annotations_of(new).get(REVISION, "")
    return _annotated({**deployment, "status": status}, revision)


def _annotated(deployment: Object, revision: str) -> Object:
    if not revision or annotations_of(deployment).get(REVISION) == revision:
        return deployment
    annotations = {**annotations_of(deployment), REVISION: revision}
    return {**deployment, "metadata": {**deployment["metadata"], "annotations": annotations}}


def _scaled_note(scaled: Scaled) -> Note:
    return Note("Normal", "ScalingReplicaSet", scaled.message)


def _finish_writes(sizes: Sizes, result: Plan) -> None:
    created = {name_of(write.replica_set) for write in result.writes if write.verb == "create"}
    for name, replica_set in sizes.changed.items():
        if name in created:
            raise AssertionError("a ReplicaSet is sized when it is made, not afterwards")
        result.writes.append(Write("update", replica_set))
    result.notes.extend(_scaled_note(scaled) for scaled in sizes.scaled)


def _clean_history(sizes: Sizes, result: Plan) -> None:
    """Delete the oldest of the unused ReplicaSets beyond the limit.

    One that is still in use is passed over but counts against the quota, as upstream has it.
    """
    limit = history_limit(sizes.deployment)
    if limit is None:
        return
    candidates = sorted(
        (rs for rs in sizes.old if not is_deleting(rs)),
        key=lambda rs: (revision_of(rs), name_of(rs)),
    )
    for replica_set in candidates[: max(0, len(candidates) - limit)]:
        status = replica_set.get("status") or {}
        caught_up = int(status.get("observedGeneration") or 0) >= int(
            replica_set["metadata"].get("generation", 0)
        )
        if size_of(replica_set) == 0 and not status.get("replicas") and caught_up:
            result.writes.append(Write("delete", replica_set))


def _roll_back(observed: Observed, result: Plan) -> Plan:
    """The legacy annotation; `kubectl rollout undo` edits the template itself."""
    deployment = observed.deployment
    text = annotations_of(deployment)[ROLLBACK_TO]
    wanted_revision = int(text) if text.isdigit() else 0
    if wanted_revision == 0:
        wanted_revision = last_revision(observed.replica_sets)
    found = [rs for rs in observed.replica_sets if revision_of(rs) == wanted_revision]
    annotations = {k: v for k, v in annotations_of(deployment).items() if k != ROLLBACK_TO}
    spec = deployment["spec"]
    if wanted_revision == 0 or not found:
        what = (
            "Unable to find last revision."
            if wanted_revision == 0
            else ("Unable to find the revision to rollback to.")
        )
        result.notes.append(Note("Warning", "DeploymentRollbackRevisionNotFound", what))
    elif same_template(found[0]["spec"]["template"], spec["template"]):
        what = (
            "The rollback revision contains the same template as current deployment "
            f'"{name_of(deployment)}"'
        )
        result.notes.append(Note("Warning", "DeploymentRollbackTemplateUnchanged", what))
    else:
        spec = {**spec, "template": template_for_rollback(found[0])}
        annotations = annotations_for_rollback(deployment, found[0])
        what = f'Rolled back deployment "{name_of(deployment)}" to revision {wanted_revision}'
        result.notes.append(Note("Normal", "DeploymentRollback", what))
    metadata = {**deployment["metadata"], "annotations": annotations}
    result.deployment = {**deployment, "metadata": metadata, "spec": spec}
    result.update_spec = True
    return result
