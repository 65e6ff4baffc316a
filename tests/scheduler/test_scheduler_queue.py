"""The queue: order, back-off, and who is woken by what."""

from hypothesis import given
from hypothesis import strategies as st
from scheduler_objects import info

from kapi.scheduler.framework import ClusterEvent, EventKind
from kapi.scheduler.pod_info import PodInfo
from kapi.scheduler.queue import MAX_UNSCHEDULABLE_SECONDS, QueuedPod, SchedulingQueue


class OnlyDeletes:
    name = "OnlyDeletes"

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        return event.kind is EventKind.ASSIGNED_POD_DELETE


DELETE = ClusterEvent(EventKind.ASSIGNED_POD_DELETE)
NODE = ClusterEvent(EventKind.NODE_ADD)


def queue_of(*pods: PodInfo) -> SchedulingQueue:
    queue = SchedulingQueue({"OnlyDeletes": OnlyDeletes()})
    for number, pod in enumerate(pods):
        queue.add(pod, float(number))
    return queue


def popped(queue: SchedulingQueue, now: float = 0.0) -> QueuedPod:
    found = queue.pop(now)
    assert found is not None
    return found


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=20))
def test_priority_first_then_age(priorities: list[int]) -> None:
    queue = queue_of(*[info(f"p{i}", priority=value) for i, value in enumerate(priorities)])
    order = [popped(queue) for _ in priorities]
    assert [(-q.info.priority, q.added) for q in order] == sorted(
        (-value, float(i)) for i, value in enumerate(priorities)
    )
    assert queue.pop(0.0) is None


def test_a_refused_pod_sleeps_until_an_event_that_may_help() -> None:
    queue = queue_of(info("a"))
    queue.refuse(popped(queue), frozenset({"OnlyDeletes"}), 0.0)
    assert queue.pop(100.0) is None
    assert queue.on_event(NODE, 100.0) == 0
    assert queue.pop(100.0) is None
    assert queue.on_event(DELETE, 100.0) == 1
    assert popped(queue, 100.0).attempts == 1


def test_back_off_gives_way_when_there_is_nothing_else_to_do() -> None:
    queue = queue_of(info("a"), info("b"))
    queue.refuse(popped(queue), frozenset({"OnlyDeletes"}), 0.0)
    queue.on_event(DELETE, 0.1)
    assert popped(queue, 0.1).info.name == "b"
    assert popped(queue, 0.1).info.name == "a"


def test_back_off_after_errors_is_kept_and_grows() -> None:
    queue, now = queue_of(info("a")), 0.0
    for expected in (1.0, 2.0, 4.0, 8.0, 10.0, 10.0):
        queue.fail(popped(queue, now), now)
        assert queue.pop(now + expected - 0.01) is None
        assert queue.next_deadline(now) == expected
        now += expected


def test_nobody_waits_for_ever() -> None:
    queue = queue_of(info("a"))
    queue.refuse(popped(queue), frozenset({"OnlyDeletes"}), 10.0)
    assert queue.next_deadline(10.0) == MAX_UNSCHEDULABLE_SECONDS
    queue.wake_stale(10.0 + MAX_UNSCHEDULABLE_SECONDS)
    assert popped(queue, 10.0 + MAX_UNSCHEDULABLE_SECONDS).info.name == "a"
    assert queue.next_deadline(1000.0) is None


def test_events_during_a_hold_count_when_it_ends() -> None:
    queue = queue_of(info("a"))
    queued = popped(queue)
    queued.held = True
    queue.refuse(queued, frozenset({"OnlyDeletes"}), 0.0)
    queue.on_event(DELETE, 5.0)
    assert queue.pop(5.0) is None
    queue.release(queued.info.uid, 6.0)
    assert popped(queue, 6.0) is queued


def test_removed_pods_are_never_popped() -> None:
    queue = queue_of(info("a"), info("b"))
    queue.remove(info("a").uid)
    assert popped(queue).info.name == "b"
    assert queue.pop(0.0) is None
    assert len(queue) == 0


def test_a_change_of_the_pod_itself_wakes_it_if_plugins_read_it() -> None:
    class Self(OnlyDeletes):
        def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
            return event.kind is EventKind.POD_UPDATE

    queue = SchedulingQueue({"Self": Self()})
    queue.add(info("a"), 0.0)
    queue.refuse(popped(queue), frozenset({"Self"}), 0.0)
    queue.update(info("a"), may_help=False, now=1.0)
    assert queue.pop(1.0) is None
    queue.update(info("a", nodeSelector={"x": "y"}), may_help=True, now=2.0)
    assert popped(queue, 2.0).info.spec["nodeSelector"] == {"x": "y"}
