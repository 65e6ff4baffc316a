"""Sizes of ReplicaSets during a rollout, a scaling or a pause. Pure.

Everything works on a `Sizes`, a working copy that remembers what changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kapi.api.object import Object, annotations_of, name_of
from kapi.controllers.deployment.limits import is_rolling, surge_and_unavailable, wanted
from kapi.controllers.deployment.revisions import DESIRED_REPLICAS, MAX_REPLICAS, by_age
from kapi.controllers.deployment.status import sum_of, sum_of_specs


@dataclass(frozen=True, slots=True)
class Scaled:
    """One change of size, for the event that tells of it."""

    name: str
    before: int
    after: int

    @property
    def message(self) -> str:
        direction = "up" if self.after > self.before else "down"
        return f"Scaled {direction} replica set {self.name} from {self.before} to {self.after}"


@dataclass(slots=True)
class Sizes:
    """The ReplicaSets of a deployment as they shall be. Objects are replaced, never mutated."""

    deployment: Object
    new: Object | None
    old: list[Object]
    changed: dict[str, Object] = field(default_factory=dict)
    scaled: list[Scaled] = field(default_factory=list)

    @property
    def all(self) -> list[Object]:
        return [*self.old, *([self.new] if self.new is not None else [])]

    def replace(self, replica_set: Object) -> None:
        """Take a new version of one of the ReplicaSets."""
        name = name_of(replica_set)
        if self.new is not None and name_of(self.new) == name:
            self.new = replica_set
        else:
            self.old = [replica_set if name_of(rs) == name else rs for rs in self.old]
        self.changed[name] = replica_set

    def scale(self, replica_set: Object, size: int) -> bool:
        """Set the size, and the annotations that remember for which deployment size it is."""
        before = size_of(replica_set)
        wanted_size = wanted(self.deployment)
        surge, _ = surge_and_unavailable(self.deployment)
        marks = replica_annotations(wanted_size, surge)
        annotations = annotations_of(replica_set)
        if before == size and all(annotations.get(key) == text for key, text in marks.items()):
            return False
        metadata = {**replica_set["metadata"], "annotations": {**annotations, **marks}}
        spec = {**replica_set["spec"], "replicas": size}
        self.replace({**replica_set, "metadata": metadata, "spec": spec})
        if before != size:
            self.scaled.append(Scaled(name_of(replica_set), before, size))
        return before != size


def replica_annotations(replicas: int, surge: int) -> dict[str, str]:
    return {DESIRED_REPLICAS: str(replicas), MAX_REPLICAS: str(replicas + surge)}


def size_of(replica_set: Object) -> int:
    return int(replica_set["spec"].get("replicas", 1))


def active(replica_sets: Sequence[Object]) -> list[Object]:
    return [rs for rs in replica_sets if size_of(rs) > 0]


def _available(replica_set: Object) -> int:
    """Available pods, but no more than shall exist.

    Upstream takes the status as it is; one that lags behind a scale-down still counts pods that
    are about to go, and would let the rollout fall below its floor.
    """
    return min(sum_of([replica_set], "availableReplicas"), size_of(replica_set))


def _number(annotations: dict[str, str], key: str) -> int | None:
    try:
        return int(annotations.get(key, ""))
    except ValueError:
        return None


def is_scaling_event(deployment: Object, replica_sets: Sequence[Object]) -> bool:
    """Was the deployment's size changed since some ReplicaSet was last sized?"""
    for replica_set in active(replica_sets):
        desired = _number(annotations_of(replica_set), DESIRED_REPLICAS)
        if desired is not None and desired != wanted(deployment):
            return True
    return False


def new_size(deployment: Object, others: Sequence[Object], current: int) -> int:
    """What the new ReplicaSet may grow to, `others` being the old ones."""
    replicas = wanted(deployment)
    if not is_rolling(deployment):
        return replicas
    surge, _ = surge_and_unavailable(deployment)
    room = replicas + surge - sum_of_specs(others) - current
    if room <= 0:
        return current
    return current + max(0, min(room, replicas - current))


def grow_new(sizes: Sizes) -> bool:
    """One step of the new ReplicaSet. True if it changed."""
    if sizes.new is None:
        return False
    current = size_of(sizes.new)
    replicas = wanted(sizes.deployment)
    if current == replicas:
        # Marks may still be stale; that is no step.
        sizes.scale(sizes.new, replicas)
        return False
    if current > replicas:
        return sizes.scale(sizes.new, replicas)
    return sizes.scale(sizes.new, new_size(sizes.deployment, sizes.old, current))


def shrink_old(sizes: Sizes) -> bool:
    """One step of the old ones, within what may be unavailable. True if any changed."""
    if sizes.new is None or not active(sizes.old):
        return False
    _, unavailable = surge_and_unavailable(sizes.deployment)
    floor = wanted(sizes.deployment) - unavailable
    missing_new = size_of(sizes.new) - _available(sizes.new)
    budget = sum_of_specs(sizes.all) - floor - missing_new
    if budget <= 0:
        return False
    cleaned = _drop_unhealthy(sizes, budget)
    dropped = _drop_available(sizes, sum(map(_available, sizes.all)) - floor)
    return cleaned or dropped


def _drop_unhealthy(sizes: Sizes, budget: int) -> bool:
    """Pods that do not work anyway go first, so that they cannot hold the rollout up."""
    changed = False
    for replica_set in by_age(active(sizes.old)):
        count = min(budget, size_of(replica_set) - _available(replica_set))
        if count > 0:
            changed |= sizes.scale(replica_set, size_of(replica_set) - count)
            budget -= count
    return changed


def _drop_available(sizes: Sizes, count: int) -> bool:
    changed = False
    for replica_set in by_age(active(sizes.old)):
        if count <= 0:
            break
        step = min(size_of(replica_set), count)
        changed |= sizes.scale(replica_set, size_of(replica_set) - step)
        count -= step
    return changed


def stop_old(sizes: Sizes) -> bool:
    """Recreate: all old pods go at once."""
    changed = False
    for replica_set in active(sizes.old):
        changed |= sizes.scale(replica_set, 0)
    return changed


def scale_in_proportion(sizes: Sizes) -> None:
    """Follow a change of the deployment's size without moving a rollout on."""
    replicas = wanted(sizes.deployment)
    living = active(sizes.all)
    if len(living) <= 1:
        only: Object | None = living[0] if living else sizes.new
        if only is None and sizes.old:
            only = by_age(sizes.old)[-1]
        if only is not None:
            if size_of(only) != replicas:
                sizes.scale(only, replicas)
            return
    if sizes.new is not None and _saturated(sizes.new, replicas):
        stop_old(sizes)
    elif is_rolling(sizes.deployment):
        _share(sizes, living)


def _saturated(replica_set: Object, replicas: int) -> bool:
    desired = _number(annotations_of(replica_set), DESIRED_REPLICAS)
    return size_of(replica_set) == desired == _available(replica_set) == replicas


def _share(sizes: Sizes, living: Sequence[Object]) -> None:
    """Each gets its share of the growth (or loss); the largest takes what rounding leaves."""
    replicas = wanted(sizes.deployment)
    surge, _ = surge_and_unavailable(sizes.deployment)
    to_add = (replicas + surge if replicas > 0 else 0) - sum_of_specs(living)
    oldest_first = by_age(living)
    ordered = list(reversed(oldest_first)) if to_add > 0 else oldest_first
    ordered.sort(key=size_of, reverse=True)
    added = 0
    targets: list[int] = []
    for replica_set in ordered:
        share = 0
        if to_add != added:
            limit = to_add - added
            fraction = _fraction(sizes.deployment, replica_set, replicas, surge)
            share = min(fraction, limit) if to_add > 0 else max(fraction, limit)
        if to_add == 0:
            share = 0
        targets.append(size_of(replica_set) + share)
        added += share
    if targets and to_add != 0:
        targets[0] = max(0, targets[0] + to_add - added)
    for replica_set, target in zip(ordered, targets, strict=True):
        sizes.scale(replica_set, target)


def _fraction(deployment: Object, replica_set: Object, replicas: int, surge: int) -> int:
    if replicas == 0:
        return -size_of(replica_set)
    before: Any = _number(annotations_of(replica_set), MAX_REPLICAS)
    if before is None:
        before = (deployment.get("status") or {}).get("replicas") or 0
    if before == 0:
        return 0
    exact = size_of(replica_set) * (replicas + surge) / before
    return _round_half_away(exact) - size_of(replica_set)


def _round_half_away(value: float) -> int:
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)
