"""The text of FailedScheduling, compared with what upstream prints."""

import pytest

from kapi.scheduler.framework import FitError, Rejection
from kapi.scheduler.messages import event_note, fit_error_text, not_preempted, preemption_text

CPU = Rejection("NodeResourcesFit", ("Insufficient cpu",))
BOTH = Rejection("NodeResourcesFit", ("Insufficient cpu", "Insufficient memory"))
TAINT = Rejection("TaintToleration", ("node(s) had untolerated taint(s)",), resolvable=False)
AWAY = Rejection("NodeAffinity", ("node(s) didn't satisfy plugin(s) [NodeAffinity]",))
CLAIM = Rejection("VolumeBinding", ('persistentvolumeclaim "x" not found',), resolvable=False)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FitError(0, {}), "no nodes available to schedule pods"),
        (
            FitError(3, {"a": CPU, "b": TAINT, "c": TAINT}),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).",
        ),
        (
            FitError(2, {"a": BOTH, "b": CPU}),
            "0/2 nodes are available: 1 Insufficient memory, 2 Insufficient cpu.",
        ),
        (
            FitError(12, {**{f"n{i}": TAINT for i in range(10)}, "x": CPU, "y": CPU}),
            "0/12 nodes are available: 10 node(s) had untolerated taint(s), 2 Insufficient cpu.",
        ),
        (
            FitError(3, {"a": CPU}, absent=AWAY),
            "0/3 nodes are available: 1 Insufficient cpu, "
            "2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
        ),
        (
            FitError(3, {}, pre_filter=CLAIM),
            '0/3 nodes are available: persistentvolumeclaim "x" not found.',
        ),
    ],
)
def test_fit_error(error: FitError, expected: str) -> None:
    assert fit_error_text(error) == expected


def test_with_what_preemption_found() -> None:
    victims = Rejection("DefaultPreemption", ("No preemption victims found for incoming pod",))
    useless = Rejection("DefaultPreemption", ("Preemption is not helpful for scheduling",))
    text = preemption_text(3, [victims], useless)
    assert fit_error_text(FitError(3, {"a": CPU, "b": TAINT, "c": TAINT}), text) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). "
        "no new claims to deallocate, preemption: 0/3 nodes are available: "
        "1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )
    assert not_preempted("x.") == "no new claims to deallocate, preemption: x."


def test_long_notes_are_cut() -> None:
    assert event_note("a" * 1023) == "a" * 1023
    assert event_note("a" * 2000) == "a" * 1020 + " ..."
