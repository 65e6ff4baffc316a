"""Which pods to create and delete so that each node has its one. Pure.

Source: k8s.io/kubernetes `pkg/controller/daemon/daemon_controller.go`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kapi.api.object import Object, is_deleting, labels_of, name_of
from kapi.controllers.daemonset.placement import fit, is_updated, target_node
from kapi.controllers.deployment.limits import resolve
from kapi.controllers.history.plan import POD_REVISION
from kapi.controllers.pods import (
    available_in,
    is_available,
    is_ready,
    is_terminal,
    node_of,
    phase_of,
)

# Creates, and deletes, in one round, as upstream's BurstReplicas.
BURST = 250


@dataclass(frozen=True, slots=True)
class Observed:
    """`pods` are the daemon set's own; `revision_hash` names its present template. `resting` are
    the nodes whose last pod failed a moment ago, with the seconds to leave them alone."""

    daemon_set: Object
    nodes: tuple[Object, ...]
    pods: tuple[Object, ...]
    revision_hash: str
    now: datetime
    resting: Mapping[str, float] = field(default_factory=dict)

    @property
    def min_ready(self) -> int:
        return int(self.daemon_set["spec"].get("minReadySeconds") or 0)

    def available(self, pod: Object) -> bool:
        return is_available(pod, self.min_ready, self.now)

    def updated(self, pod: Object) -> bool:
        return is_updated(self.daemon_set, pod, self.revision_hash)


@dataclass(slots=True)
class Plan:
    """`create` names a node for each pod to make. `finished` are those of `delete` that ended by
    themselves, with their nodes; the failed among these are to rest."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    finished: list[tuple[str, Object]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Site:
    """One node as the daemon set sees it."""

    name: str
    should_run: bool
    may_stay: bool
    pods: tuple[Object, ...]


def _seniority(pod: Object) -> tuple[bool, str, str]:
    """Bound pods first, then the oldest."""
    created = pod["metadata"].get("creationTimestamp") or "~"
    return not node_of(pod), created, name_of(pod)


def pods_by_node(pods: Sequence[Object]) -> dict[str, list[Object]]:
    """Each node's pods, the most senior first; without those that ended and are on their way."""
    found: dict[str, list[Object]] = {}
    for pod in sorted(pods, key=_seniority):
        node = target_node(pod)
        if node and not (is_terminal(pod) and is_deleting(pod)):
            found.setdefault(node, []).append(pod)
    return found


def sites(observed: Observed) -> list[Site]:
    """All nodes in the order of their names."""
    by_node = pods_by_node(observed.pods)
    return [
        Site(name_of(node), *fit(observed.daemon_set, node), tuple(by_node.get(name_of(node), ())))
        for node in sorted(observed.nodes, key=name_of)
    ]


def surge_of(daemon_set: Object, desired: int) -> int:
    """How many nodes may have a second pod during a rollout."""
    return resolve(_rolling(daemon_set).get("maxSurge", 0), desired, round_up=True)


def unavailable_of(daemon_set: Object, desired: int) -> int:
    """How many nodes may be without an available pod; one at least, if there can be no surge."""
    given = resolve(_rolling(daemon_set).get("maxUnavailable", 1), desired, round_up=True)
    return given or int(desired > 0 and surge_of(daemon_set, desired) == 0)


def rolls(daemon_set: Object) -> bool:
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def _rolling(daemon_set: Object) -> Object:
    if not rolls(daemon_set):
        return {"maxUnavailable": 0}
    found: Object = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return found


def allows_surge(daemon_set: Object) -> bool:
    return surge_of(daemon_set, 100) > 0


def plan(observed: Observed) -> Plan:
    """Put every node right first; when there is nothing to put right, roll out a little."""
    decided = Plan()
    places = sites(observed)
    for site in places:
        _manage(observed, decided, site)
    known = {site.name for site in places}
    # What was made for a node that has gone, and not bound before, can never be bound.
    decided.delete += [
        pod
        for pod in observed.pods
        if not node_of(pod) and target_node(pod) not in known and not is_deleting(pod)
        if target_node(pod)
    ]
    if not decided.create and not decided.delete and rolls(observed.daemon_set):
        desired = sum(site.should_run for site in places)
        surge = surge_of(observed.daemon_set, desired)
        if surge:
            _roll_with_surge(observed, decided, places, surge)
        else:
            _roll(observed, decided, places, unavailable_of(observed.daemon_set, desired))
    del decided.create[BURST:], decided.delete[BURST:]
    return decided


def _manage(observed: Observed, decided: Plan, site: Site) -> None:
    if site.should_run and not site.pods:
        decided.create.append(site.name)
        return
    staying = [pod for pod in site.pods if not is_deleting(pod)]
    if not site.may_stay:
        decided.delete += staying
        return
    running = []
    for pod in staying:
        if not is_terminal(pod):
            running.append(pod)
        elif phase_of(pod) == "Succeeded" or site.name not in observed.resting:
            decided.finished.append((site.name, pod))
            decided.delete.append(pod)
    if not allows_surge(observed.daemon_set):
        decided.delete += running[1:]
    elif len(running) > 1:
        decided.delete += _too_many(observed, running)


def _too_many(observed: Observed, running: Sequence[Object]) -> list[Object]:
    """With surge, an old pod may run beside a new one until the new one is available, or for as
    long as it is ready itself."""
    new = [pod for pod in running if labels_of(pod).get(POD_REVISION) == observed.revision_hash]
    old = [pod for pod in running if pod not in new]
    surplus = new[1:] + old[1:]
    if new and old and (not is_ready(old[0]) or observed.available(new[0])):
        surplus.append(old[0])
    return surplus


def _pair(observed: Observed, site: Site) -> tuple[list[Object], list[Object]]:
    """The new and the old pods of a node that are to stay so far."""
    staying = [pod for pod in site.pods if not is_deleting(pod)]
    new = [pod for pod in staying if observed.updated(pod)]
    return new, [pod for pod in staying if pod not in new]


def _roll(observed: Observed, decided: Plan, places: Sequence[Site], max_unavailable: int) -> None:
    """Delete old pods; their nodes are given new ones in later rounds.

    An old pod that is not available goes at once: its node is counted already.
    """
    unavailable = 0
    candidates = []
    for site in places:
        if not site.should_run and not site.pods:
            continue
        new, old = _pair(observed, site)
        if len(new) + len(old) != 1:
            unavailable += 1
        elif new:
            unavailable += not observed.available(new[0])
        elif not observed.available(old[0]):
            decided.delete.append(old[0])
            unavailable += 1
        else:
            candidates.append(old[0])
    decided.delete += candidates[: max(0, max_unavailable - unavailable)]


def _roll_with_surge(
    observed: Observed, decided: Plan, places: Sequence[Site], max_surge: int
) -> None:
    """Create new pods beside old ones; an old pod goes when its successor is available.

    Nodes whose old pod is not available get their new pod outside the limit. Old pods where none
    should be started any more go as far as the rest makes up for them.
    """
    surging = available = 0
    candidates: list[str] = []
    misplaced: list[Object] = []
    for site in places:
        new, old = _pair(observed, site)
        if len(new) > 1 or len(old) > 1:
            surging += 1
            continue
        shown = old or new
        available += bool(shown) and observed.available(shown[0])
        if not old:
            continue
        old_available = observed.available(old[0])
        if new and not observed.available(new[0]):
            surging += 1
        elif new or (not site.should_run and not old_available):
            decided.delete.append(old[0])
        elif not site.should_run:
            misplaced.append(old[0])
        elif not old_available:
            decided.create.append(site.name)
        else:
            candidates.append(site.name)
    desired = sum(site.should_run for site in places)
    decided.delete += misplaced[: max(0, available - desired)]
    decided.create += candidates[: max(0, max_surge - surging)]


def plan_status(observed: Observed, *, caught_up: bool, collision_count: int | None) -> Object:
    """The status that follows from the pods as they were before this round's writes.

    `caught_up`: all earlier writes have been seen, so this generation counts as observed.
    """
    desired = current = misscheduled = ready = available = updated = 0
    for site in sites(observed):
        if not site.should_run:
            misscheduled += bool(site.pods)
            continue
        desired += 1
        if not site.pods:
            continue
        current += 1
        senior = site.pods[0]
        if is_ready(senior):
            ready += 1
            available += observed.available(senior)
        updated += observed.updated(senior)
    old = observed.daemon_set.get("status") or {}
    status: Object = {
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "numberReady": ready,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    generation = old.get("observedGeneration", 0)
    if caught_up:
        generation = observed.daemon_set["metadata"].get("generation", 0)
    if generation:
        status["observedGeneration"] = generation
    if collision_count is not None:
        status["collisionCount"] = collision_count
    if old.get("conditions"):
        status["conditions"] = old["conditions"]
    return status


def next_moment(observed: Observed) -> float | None:
    """Seconds until a pod becomes available or a node may be tried again; None: neither."""
    waits = [available_in(pod, observed.min_ready, observed.now) for pod in observed.pods]
    return min((wait for wait in [*waits, *observed.resting.values()] if wait), default=None)
