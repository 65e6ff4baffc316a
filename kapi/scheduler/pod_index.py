"""How many pods on each node match something, kept up to date as pods come and go.

Inter-pod affinity and topology spread ask "how many pods like this are where?". Counting all pods
for each pod to be placed is quadratic; here each question, once asked, is answered by increments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kapi.scheduler.pod_info import Affinity, AffinityTerm, PodInfo, Selector

# Questions kept at a time; the one unused for longest makes room.
MAX_QUESTIONS = 512

NodeCounts = dict[str, int]


@dataclass(frozen=True, slots=True)
class PodQuestion:
    """Which pods are meant: all clauses must hold; a clause is (namespaces, label selector)."""

    clauses: tuple[tuple[frozenset[str], Selector], ...]
    count_terminating: bool = True

    def includes(self, pod: PodInfo) -> bool:
        if pod.terminating and not self.count_terminating:
            return False
        return all(
            pod.namespace in namespaces and selector.matches(pod.labels)
            for namespaces, selector in self.clauses
        )


class _TermCounts:
    """For terms that pods on nodes carry: the weight of each distinct term, per node."""

    def __init__(self) -> None:
        self.by_term: dict[AffinityTerm, NodeCounts] = {}

    def change(self, term: AffinityTerm, node: str, weight: int) -> None:
        nodes = self.by_term.setdefault(term, {})
        left = nodes.get(node, 0) + weight
        if left:
            nodes[node] = left
            return
        nodes.pop(node, None)
        if not nodes:
            del self.by_term[term]


class PodIndex:
    """Fed with every pod that is on a node, assumed ones included."""

    def __init__(self) -> None:
        self._answers: dict[PodQuestion, NodeCounts] = {}
        self._required_anti = _TermCounts()
        self._required = _TermCounts()
        self._preferred = _TermCounts()

    def add(self, pod: PodInfo, node: str) -> None:
        self._change(pod, node, 1)

    def remove(self, pod: PodInfo, node: str) -> None:
        self._change(pod, node, -1)

    def counts(
        self, question: PodQuestion, present: Iterable[tuple[str, Iterable[PodInfo]]]
    ) -> NodeCounts:
        """Matching pods per node, nodes with none left out. Read only.

        `present` is every node with its pods; it is walked only the first time a question is asked.
        """
        answer = self._answers.pop(question, None)
        if answer is None:
            answer = {}
            for node, pods in present:
                found = sum(1 for pod in pods if question.includes(pod))
                if found:
                    answer[node] = found
            if len(self._answers) >= MAX_QUESTIONS:
                del self._answers[next(iter(self._answers))]
        self._answers[question] = answer
        return answer

    @property
    def required_anti_terms(self) -> Mapping[AffinityTerm, NodeCounts]:
        """Required anti-affinity terms of pods on nodes: how many pods of each node carry each."""
        return self._required_anti.by_term

    @property
    def required_terms(self) -> Mapping[AffinityTerm, NodeCounts]:
        return self._required.by_term

    @property
    def preferred_terms(self) -> Mapping[AffinityTerm, NodeCounts]:
        """Preferred terms with the sum of their weights; anti-affinity counts negative."""
        return self._preferred.by_term

    def _change(self, pod: PodInfo, node: str, sign: int) -> None:
        for question, answer in self._answers.items():
            if question.includes(pod):
                left = answer.get(node, 0) + sign
                if left:
                    answer[node] = left
                else:
                    answer.pop(node, None)
        affinity = pod.affinity
        if affinity != _NONE:
            self._change_terms(affinity, node, sign)

    def _change_terms(self, affinity: Affinity, node: str, sign: int) -> None:
        for term in affinity.required_anti:
            self._required_anti.change(term, node, sign)
        for term in affinity.required:
            self._required.change(term, node, sign)
        for weighted in affinity.preferred:
            self._preferred.change(weighted.term, node, sign * weighted.weight)
        for weighted in affinity.preferred_anti:
            self._preferred.change(weighted.term, node, -sign * weighted.weight)


_NONE = Affinity()
