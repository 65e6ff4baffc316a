"""DefaultPreemption: which pods must go so that a more important one fits. Pure planning.

Source of the rules: kube-scheduler `framework/preemption` and `plugins/defaultpreemption`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kapi.api.object import Object, condition_of, namespace_of
from kapi.scheduler.algorithm import Algorithm
from kapi.scheduler.cache import Cache, Trial
from kapi.scheduler.framework import FitError, Rejection
from kapi.scheduler.messages import not_preempted, preemption_text
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo, selector_of

PLUGIN = "DefaultPreemption"
NEVER = "not eligible due to preemptionPolicy=Never."
UNDER_WAY = "not eligible due to a terminating pod on the nominated node."
_NO_VICTIMS = Rejection(PLUGIN, ("No preemption victims found for incoming pod",), resolvable=False)
_NOT_HELPFUL = Rejection(PLUGIN, ("Preemption is not helpful for scheduling",), resolvable=False)
_MIN_PERCENT = 10
_MIN_CANDIDATES = 100
_PRIORITY_OFFSET = 2**31


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that fits the pod once the victims, most important first, are gone."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int
    """How many victims a PodDisruptionBudget would rather keep."""


@dataclass(frozen=True, slots=True)
class Preemption:
    """`candidate` None: nothing can be done, and `text` says why in upstream's words.

    `gives_up_nomination`: an earlier promise of a node is void.
    """

    candidate: Candidate | None
    text: str = ""
    gives_up_nomination: bool = False


class Planner:
    def __init__(self, cache: Cache, algorithm: Algorithm) -> None:
        self._cache = cache
        self._algorithm = algorithm

    def plan(
        self,
        pod: PodInfo,
        error: FitError,
        budgets: Sequence[Object],
        *,
        nominated: str,
        offset: int,
    ) -> Preemption:
        """`nominated`: the node promised earlier; `offset`: where to start among the nodes."""
        if pod.spec.get("preemptionPolicy") == "Never":
            return Preemption(None, not_preempted(NEVER))
        if self._is_under_way(pod, error, nominated):
            return Preemption(None, not_preempted(UNDER_WAY))
        candidates, outcomes = self._candidates(pod, error, budgets, offset)
        if candidates:
            return Preemption(min(candidates, key=_preference))
        text = preemption_text(error.total_nodes, outcomes.values(), _NOT_HELPFUL)
        return Preemption(None, text, gives_up_nomination=True)

    def _is_under_way(self, pod: PodInfo, error: FitError, nominated: str) -> bool:
        node = self._cache.node(nominated)
        verdict = error.verdict(nominated)
        if node is None or (verdict is not None and not verdict.resolvable):
            return False
        return any(
            other.priority < pod.priority and other.terminating and _is_preempted(other)
            for other in node.pods.values()
        )

    def _candidates(
        self, pod: PodInfo, error: FitError, budgets: Sequence[Object], offset: int
    ) -> tuple[list[Candidate], dict[str, Rejection]]:
        potential = [name for name, rejection in error.verdicts.items() if rejection.resolvable]
        outcomes: dict[str, Rejection] = {}
        candidates: list[Candidate] = []
        enough = max(len(potential) * _MIN_PERCENT // 100, _MIN_CANDIDATES)
        start = offset % len(potential) if potential else 0
        for name in potential[start:] + potential[:start]:
            node = self._cache.node(name)
            if node is None:
                continue
            outcome = self._try(pod, node, budgets)
            if isinstance(outcome, Rejection):
                outcomes[name] = outcome
                continue
            candidates.append(outcome)
            if len(candidates) >= enough and any(not c.violations for c in candidates):
                break
        return candidates, outcomes

    def _try(
        self, pod: PodInfo, node: NodeInfo, budgets: Sequence[Object]
    ) -> Candidate | Rejection:
        lesser = [other for other in node.pods.values() if other.priority < pod.priority]
        if not lesser:
            return _NO_VICTIMS
        with self._cache.trial(node) as trial:
            for other in lesser:
                trial.remove(other)
            refusal = self._algorithm.refusal(pod, node)
            if refusal is not None:
                return refusal
            lesser.sort(key=importance)
            violating, others = split_by_budget(lesser, budgets)
            doomed = self._reprieve(pod, node, trial, violating)
            victims = doomed + self._reprieve(pod, node, trial, others)
        return Candidate(node.name, tuple(sorted(victims, key=importance)), len(doomed))

    def _reprieve(
        self, pod: PodInfo, node: NodeInfo, trial: Trial, pods: Iterable[PodInfo]
    ) -> list[PodInfo]:
        """Give back what need not go, most important first; returns what must."""
        victims: list[PodInfo] = []
        for other in pods:
            trial.restore(other)
            if self._algorithm.refusal(pod, node) is not None:
                trial.remove(other)
                victims.append(other)
        return victims


def importance(pod: PodInfo) -> tuple[int, str]:
    """Sorts the most important first: higher priority, then longer running."""
    return -pod.priority, _start_time(pod)


def split_by_budget(
    pods: Sequence[PodInfo], budgets: Sequence[Object]
) -> tuple[list[PodInfo], list[PodInfo]]:
    """(pods whose removal would break a budget, the rest), both in the order given.

    Each budget's allowance is used up in that order.
    """
    left = [int((budget.get("status") or {}).get("disruptionsAllowed") or 0) for budget in budgets]
    violating: list[PodInfo] = []
    others: list[PodInfo] = []
    for pod in pods:
        breaks = False
        for position, budget in enumerate(budgets):
            if _protects(budget, pod):
                left[position] -= 1
                breaks |= left[position] < 0
        (violating if breaks else others).append(pod)
    return violating, others


def _protects(budget: Object, pod: PodInfo) -> bool:
    selector = budget["spec"].get("selector")
    if namespace_of(budget) != pod.namespace or not pod.labels or not selector:
        return False
    if pod.name in ((budget.get("status") or {}).get("disruptedPods") or {}):
        return False
    return selector_of(selector).matches(pod.labels)


def _preference(candidate: Candidate) -> tuple[int, int, int, int, "_Latest"]:
    victims = candidate.victims
    highest = max((victim.priority for victim in victims), default=-_PRIORITY_OFFSET)
    starts = [_start_time(victim) for victim in victims if victim.priority == highest]
    return (
        candidate.violations,
        highest,
        sum(victim.priority + _PRIORITY_OFFSET for victim in victims),
        len(victims),
        _Latest(min(starts, default="")),
    )


@dataclass(frozen=True, slots=True)
class _Latest:
    """Sorts later start times first."""

    start: str

    def __lt__(self, other: "_Latest") -> bool:
        return self.start > other.start


def _start_time(pod: PodInfo) -> str:
    """RFC 3339 in UTC sorts as text; a pod that has not started counts as started just now."""
    return (pod.pod.get("status") or {}).get("startTime") or "9999"


def _is_preempted(pod: PodInfo) -> bool:
    found = condition_of((pod.pod.get("status") or {}).get("conditions"), "DisruptionTarget")
    return (
        found is not None
        and found.get("status") == "True"
        and found.get("reason") == "PreemptionByScheduler"
    )
