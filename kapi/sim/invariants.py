"""What must hold after every single write to the store, whatever goes wrong meanwhile."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from kapi.api.object import Object, condition_of, is_deleting, labels_of, name_of, uid_of
from kapi.scheduler.resources import CPU, amount, pod_requests
from kapi.sim.store import Write

PODS_PREFIX = "/registry/pods/"


class InvariantBroken(AssertionError):
    """The message says what was wrong; the seed is added by who runs the simulation."""


Check = Callable[["Pods", Object | None, Object | None], None]


class Pods:
    """All pods as the store has them, and the checks that look at each change.

    A check is called with this object, the pod before and the pod after; None where there is none.
    """

    def __init__(self) -> None:
        self.by_key: dict[str, Object] = {}
        self.checks: list[Check] = []
        self.broken: InvariantBroken | None = None
        """The first failure: raising inside a write would only reach who made the request."""

    def __call__(self, write: Write) -> None:
        if not write.key.startswith(PODS_PREFIX):
            return
        before = self.by_key.pop(write.key, None)
        after: Object | None = None
        if write.value is not None:
            after = self.by_key[write.key] = orjson.loads(write.value)
        for check in self.checks:
            try:
                check(self, before, after)
            except InvariantBroken as error:
                self.broken = self.broken or error

    def matching(self, labels: dict[str, str]) -> list[Object]:
        return [
            pod
            for pod in self.by_key.values()
            if all(labels_of(pod).get(key) == value for key, value in labels.items())
        ]


def is_available(pod: Object) -> bool:
    """Ready, and nobody has asked for its end."""
    ready = condition_of((pod.get("status") or {}).get("conditions"), "Ready")
    return ready is not None and ready.get("status") == "True" and not is_deleting(pod)


def bound_once(pods: Pods, before: Object | None, after: Object | None) -> None:
    """A pod never moves to another node."""
    if before is None or after is None or uid_of(before) != uid_of(after):
        return
    old, new = before["spec"].get("nodeName"), after["spec"].get("nodeName")
    if old and old != new:
        raise InvariantBroken(f"pod {name_of(after)} moved from {old} to {new}")


class NoOvercommitment:
    """The pods bound to a node never ask for more cpu than the node has to give."""

    def __init__(self, cpu_of_node: dict[str, str]) -> None:
        self._room = {name: amount(CPU, cpu) for name, cpu in cpu_of_node.items()}

    def __call__(self, pods: Pods, before: Object | None, after: Object | None) -> None:
        was_bound = before is not None and before["spec"].get("nodeName")
        if after is None or was_bound or not after["spec"].get("nodeName"):
            return
        used: Counter[str] = Counter()
        for pod in pods.by_key.values():
            node = pod["spec"].get("nodeName")
            if node and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                used[node] += pod_requests(pod).get(CPU, 0)
        node = after["spec"]["nodeName"]
        if used[node] > self._room.get(node, 0):
            raise InvariantBroken(f"node {node} is promised {used[node]}m of {self._room[node]}m")


class AvailabilityFloor:
    """Never fewer than `floor` available pods with these labels, while `armed`."""

    def __init__(self, labels: dict[str, str], floor: int) -> None:
        self.armed = False
        self.lowest = 10**9
        self._labels = labels
        self._floor = floor

    def __call__(self, pods: Pods, before: Any, after: Any) -> None:
        if not self.armed:
            return
        available = sum(1 for pod in pods.matching(self._labels) if is_available(pod))
        self.lowest = min(self.lowest, available)
        if available < self._floor:
            raise InvariantBroken(
                f"{available} pods are available, at least {self._floor} were promised"
            )
