"""Which pod is next: by priority, then by age; refused pods wait for something to change.

Three places, as upstream: *active* (ready), *back-off* (to be tried again at a time) and
*unschedulable* (waiting for an event that might help). Pure: the caller brings the time.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from kapi.scheduler.framework import ClusterEvent, EventKind, WakeUp
from kapi.scheduler.pod_info import PodInfo

INITIAL_BACKOFF = 1.0
MAX_BACKOFF = 10.0
# A refused pod is tried again after this long even if nothing seems to have changed.
MAX_UNSCHEDULABLE_SECONDS = 5 * 60.0


@dataclass(slots=True)
class QueuedPod:
    """A pod that has no node, and what is known about its attempts. Times are monotonic seconds."""

    info: PodInfo
    added: float
    attempts: int = 0
    errors: int = 0
    """Failures in a row that say nothing about the pod (lost connection and the like)."""
    refused_by: frozenset[str] = frozenset()
    ready_at: float = 0.0
    since: float = 0.0
    held: bool = False
    """Events are only noted, because victims are still being removed for this pod."""
    missed_event: bool = False
    ticket: int = field(default=0, repr=False)


_Heap = list[tuple[float, float, int, str]]


class SchedulingQueue:
    """`plugins` answer whether an event may help a pod they refused."""

    def __init__(self, plugins: Mapping[str, WakeUp]) -> None:
        self._plugins = plugins
        self._pods: dict[str, QueuedPod] = {}
        self._active: _Heap = []
        self._backoff: _Heap = []
        self._unschedulable: dict[str, None] = {}
        self._tickets = 0

    def __len__(self) -> int:
        return len(self._pods)

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def waiting(self) -> list[PodInfo]:
        """Every pod in the queue."""
        return [queued.info for queued in self._pods.values()]

    # -- pods come and go ----------------------------------------------------------------------

    def add(self, info: PodInfo, now: float) -> None:
        """A pod without a node appeared."""
        queued = self._pods[info.uid] = QueuedPod(info, added=now)
        self._activate(queued)

    def update(self, info: PodInfo, *, may_help: bool, now: float) -> None:
        """The pod itself changed; `may_help` if in a way that plugins look at."""
        queued = self._pods.get(info.uid)
        if queued is None:
            self.add(info, now)
            return
        reorder = info.priority != queued.info.priority
        queued.info = info
        if info.uid in self._unschedulable:
            if may_help:
                self._wake_if_helped(queued, ClusterEvent(EventKind.POD_UPDATE, pod=info), now)
        elif reorder and not queued.ready_at:
            self._activate(queued)

    def remove(self, uid: str) -> None:
        """The pod has a node, or is gone. Heap entries of removed pods are skipped when met."""
        self._pods.pop(uid, None)
        self._unschedulable.pop(uid, None)

    # -- attempts ------------------------------------------------------------------------------

    def pop(self, now: float) -> QueuedPod | None:
        """The next pod to try; it must come back through one of the methods below.

        Back-off only matters while there is other work: with none, a refused pod that an event
        woke is tried at once. One that failed by an error always waits.
        """
        self._expire_backoff(now)
        queued = self._first(self._active)
        if queued is None:
            queued = self._first(self._backoff, lambda q: not q.errors)
        if queued is not None:
            queued.ready_at = 0.0
            queued.ticket = 0
            del self._pods[queued.info.uid]
        return queued

    def refuse(self, queued: QueuedPod, plugins: frozenset[str], now: float) -> None:
        """No node fits: wait for events that these plugins care about."""
        queued.attempts += 1
        queued.errors = 0
        queued.refused_by = plugins
        queued.since = now
        self._pods[queued.info.uid] = queued
        self._unschedulable[queued.info.uid] = None

    def fail(self, queued: QueuedPod, now: float) -> None:
        """Something went wrong that says nothing about the pod: try again after a back-off."""
        queued.errors += 1
        self._pods[queued.info.uid] = queued
        self._back_off(queued, queued.errors, now)

    def release(self, uid: str, now: float) -> None:
        """End the hold put on a refused pod; an event that came meanwhile counts now."""
        queued = self._pods.get(uid)
        if queued is None or not queued.held:
            return
        queued.held = False
        if queued.missed_event and uid in self._unschedulable:
            self._wake(queued, now)

    # -- events --------------------------------------------------------------------------------

    def on_event(self, event: ClusterEvent, now: float) -> int:
        """Wake the pods that this event may help; returns how many."""
        woken = 0
        for uid in list(self._unschedulable):
            woken += self._wake_if_helped(self._pods[uid], event, now)
        return woken

    def next_deadline(self, now: float) -> float | None:
        """Seconds until something happens by itself; None if nothing will."""
        self._drop_stale(self._backoff)
        times: list[float] = [entry[0] for entry in self._backoff[:1]]
        times += [
            self._pods[uid].since + MAX_UNSCHEDULABLE_SECONDS for uid in self._first_unschedulable()
        ]
        return max(min(times) - now, 0.0) if times else None

    def wake_stale(self, now: float) -> None:
        """Give another try to pods that have waited for the longest time allowed."""
        for uid in list(self._unschedulable):
            queued = self._pods[uid]
            if now - queued.since < MAX_UNSCHEDULABLE_SECONDS:
                return
            self._wake(queued, now)

    # -- inside --------------------------------------------------------------------------------

    def _first_unschedulable(self) -> Iterable[str]:
        """The one that has waited longest: the dictionary is in that order."""
        return [next(iter(self._unschedulable))] if self._unschedulable else []

    def _wake_if_helped(self, queued: QueuedPod, event: ClusterEvent, now: float) -> bool:
        plugins = (self._plugins.get(name) for name in sorted(queued.refused_by))
        if not any(p is None or p.may_help(queued.info, event) for p in plugins):
            return False
        self._wake(queued, now)
        return True

    def _wake(self, queued: QueuedPod, now: float) -> None:
        if queued.held:
            queued.missed_event = True
            return
        self._unschedulable.pop(queued.info.uid, None)
        queued.missed_event = False
        self._back_off(queued, queued.attempts, queued.since)
        if queued.ready_at <= now:
            self._activate(queued)

    def _activate(self, queued: QueuedPod) -> None:
        queued.ready_at = 0.0
        queued.ticket = self._ticket()
        info = queued.info
        heappush(self._active, (-info.priority, queued.added, queued.ticket, info.uid))

    def _back_off(self, queued: QueuedPod, failures: int, since: float) -> None:
        delay = min(INITIAL_BACKOFF * 2.0 ** min(max(failures - 1, 0), 10), MAX_BACKOFF)
        queued.ready_at = since + delay
        queued.ticket = self._ticket()
        heappush(self._backoff, (queued.ready_at, queued.added, queued.ticket, queued.info.uid))

    def _expire_backoff(self, now: float) -> None:
        while self._backoff and self._backoff[0][0] <= now:
            *_, ticket, uid = heappop(self._backoff)
            queued = self._pods.get(uid)
            if queued is not None and queued.ticket == ticket:
                self._activate(queued)

    def _first(
        self, heap: _Heap, accept: Callable[[QueuedPod], bool] | None = None
    ) -> QueuedPod | None:
        self._drop_stale(heap)
        skipped: _Heap = []
        found = None
        while heap and found is None:
            entry = heappop(heap)
            queued = self._pods.get(entry[3])
            if queued is None or queued.ticket != entry[2]:
                continue
            if accept is not None and not accept(queued):
                skipped.append(entry)
                continue
            found = queued
        for entry in skipped:
            heappush(heap, entry)
        return found

    def _drop_stale(self, heap: _Heap) -> None:
        while heap:
            queued = self._pods.get(heap[0][3])
            if queued is not None and queued.ticket == heap[0][2]:
                return
            heappop(heap)

    def _ticket(self) -> int:
        self._tickets += 1
        return self._tickets
