"""Which pods to create and delete, in which order, and what the status says. Pure.

Source: k8s.io/kubernetes `pkg/controller/statefulset/stateful_set_control.go`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kapi.api.object import Object, is_deleting, labels_of, name_of
from kapi.controllers.pods import available_in, is_ready, is_terminal, phase_of
from kapi.controllers.statefulset.identity import (
    POD_NAME_LABEL,
    new_pod,
    ordinal_of,
    ordinals,
    revision_of,
)

# Writes in one round, as upstream's MaxBatchSize.
BURST = 500


@dataclass(frozen=True, slots=True)
class Observed:
    """`pods` are the set's own. `current` is the revision the set came from, `update` the one it
    goes to; they are the same between rollouts."""

    stateful_set: Object
    pods: tuple[Object, ...]
    current: Object
    update: Object
    now: datetime


@dataclass(slots=True)
class Plan:
    """What to do in this round, in the order of the fields.

    `create` are new pods, whose claims are made first; `claim` are pending pods whose claims may
    be missing; `relabel` lack the labels of their identity; `retain` are to have their claims
    owned as the retention policy says.
    """

    create: list[Object] = field(default_factory=list)
    claim: list[Object] = field(default_factory=list)
    relabel: list[Object] = field(default_factory=list)
    retain: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def is_parallel(stateful_set: Object) -> bool:
    return bool(stateful_set["spec"].get("podManagementPolicy") == "Parallel")


def partition_of(stateful_set: Object) -> int:
    """How many of the lowest pods a rollout leaves alone."""
    rolling = (stateful_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def rolls(stateful_set: Object) -> bool:
    strategy = stateful_set["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def _min_ready(stateful_set: Object) -> int:
    return int(stateful_set["spec"].get("minReadySeconds") or 0)


def _running_and_ready(pod: Object) -> bool:
    return phase_of(pod) == "Running" and is_ready(pod)


def is_available(stateful_set: Object, pod: Object, now: datetime) -> bool:
    """Running and ready for long enough; it may be on its way out."""
    return _running_and_ready(pod) and available_in(pod, _min_ready(stateful_set), now) == 0.0


def _is_healthy(observed: Observed, pod: Object) -> bool:
    return is_available(observed.stateful_set, pod, observed.now) and not is_deleting(pod)


def _ordinal(observed: Observed, pod: Object) -> int:
    found = ordinal_of(name_of(observed.stateful_set), name_of(pod))
    return -1 if found is None else found


def plan(observed: Observed) -> Plan:
    """One step of an ordered set, or all steps at once of a parallel one.

    Ordered: from the lowest number up, stop at the first pod that has to be waited for; surplus
    pods then go from the highest down, each when all below are well; a rollout comes last.
    """
    decided = Plan()
    stateful_set = observed.stateful_set
    if is_deleting(stateful_set):
        return decided
    parallel = is_parallel(stateful_set)
    by_ordinal = {_ordinal(observed, pod): pod for pod in observed.pods}
    wanted = ordinals(stateful_set)
    for ordinal in wanted:
        waits = _replica(observed, decided, ordinal, by_ordinal.get(ordinal))
        if waits and not parallel:
            return decided
    condemned = [by_ordinal[n] for n in sorted(by_ordinal, reverse=True) if n not in wanted]
    decided.retain += condemned
    if _condemned(observed, decided, condemned) and not parallel:
        return decided
    if rolls(stateful_set):
        replicas = [by_ordinal.get(ordinal) for ordinal in wanted]
        _roll(observed, decided, replicas)
    del decided.create[BURST:], decided.delete[BURST:]
    return decided


def _replica(observed: Observed, decided: Plan, ordinal: int, pod: Object | None) -> bool:
    """One pod that there should be. True: an ordered set goes no further in this round."""
    if pod is None:
        decided.create.append(_versioned_pod(observed, ordinal))
        return True
    if is_terminal(pod):
        # Made anew under the same name once it is gone.
        if not is_deleting(pod):
            decided.delete.append(pod)
        return True
    if phase_of(pod) in ("", "Pending"):
        decided.claim.append(pod)
    if not is_parallel(observed.stateful_set) and not _is_healthy(observed, pod):
        return True
    if not is_deleting(pod):
        decided.retain.append(pod)
        if labels_of(pod).get(POD_NAME_LABEL) != name_of(pod):
            decided.relabel.append(pod)
    return False


def _versioned_pod(observed: Observed, ordinal: int) -> Object:
    """Below the partition pods come back as they were."""
    stateful_set = observed.stateful_set
    held = rolls(stateful_set) and ordinal < ordinals(stateful_set).start + partition_of(
        stateful_set
    )
    return new_pod(stateful_set, observed.current if held else observed.update, ordinal)


def _condemned(observed: Observed, decided: Plan, condemned: Sequence[Object]) -> bool:
    """Surplus pods, highest number first. True: an ordered set goes no further.

    All pods that stay are well when an ordered set gets here, so the only unwell pod that may go
    is the lowest unwell one: were it left, nothing below it could ever be deleted. One that has
    ended goes too, as it will never be well; upstream waits for it for ever.
    """
    unwell = [pod for pod in condemned if not _is_healthy(observed, pod)]
    for pod in condemned:
        if not is_parallel(observed.stateful_set):
            available = is_available(observed.stateful_set, pod, observed.now)
            if not is_deleting(pod) and (available or is_terminal(pod) or pod is unwell[-1]):
                decided.delete.append(pod)
            return True
        if not is_deleting(pod):
            decided.delete.append(pod)
    return False


def _roll(observed: Observed, decided: Plan, replicas: Sequence[Object | None]) -> None:
    """Delete the highest pod of another revision, unless one above it is not available yet."""
    update = name_of(observed.update)
    lowest = partition_of(observed.stateful_set)
    for pod in reversed(replicas[lowest:]):
        if pod is None or pod in decided.delete:
            return
        if revision_of(pod) != update and not is_deleting(pod):
            decided.delete.append(pod)
            return
        if not _is_healthy(observed, pod):
            return


def plan_status(observed: Observed, decided: Plan, collision_count: int) -> Object:
    """The status that follows from the pods as they were before this round's writes."""
    stateful_set, pods = observed.stateful_set, observed.pods
    current, update = name_of(observed.current), name_of(observed.update)
    created = [pod for pod in pods if phase_of(pod)]
    staying = [revision_of(pod) for pod in created if not is_deleting(pod)]
    leaving = [
        pod
        for pod in decided.delete
        if _ordinal(observed, pod) in ordinals(stateful_set) and not is_terminal(pod)
    ]
    status: Object = {
        "observedGeneration": stateful_set["metadata"].get("generation", 0),
        "replicas": len(created),
        "readyReplicas": sum(_running_and_ready(pod) for pod in pods),
        "availableReplicas": sum(is_available(stateful_set, pod, observed.now) for pod in pods),
        "currentReplicas": staying.count(current)
        - sum(revision_of(pod) == current and bool(phase_of(pod)) for pod in leaving),
        "updatedReplicas": staying.count(update),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": collision_count,
    }
    replicas = int(stateful_set["spec"].get("replicas", 1))
    counts = {status["updatedReplicas"], status["readyReplicas"], status["replicas"]}
    if rolls(stateful_set) and counts == {replicas}:
        status["currentReplicas"] = status["updatedReplicas"]
        status["currentRevision"] = update
    return status


def next_availability(observed: Observed) -> float | None:
    """Seconds until the next ready pod becomes available; None if there is none to wait for."""
    min_ready = _min_ready(observed.stateful_set)
    waits = [available_in(pod, min_ready, observed.now) for pod in observed.pods]
    return min((wait for wait in waits if wait), default=None)
