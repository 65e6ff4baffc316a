"""The words in which a pod's failure to be scheduled is told, exactly as upstream's."""

from collections import Counter
from collections.abc import Iterable

from kapi.scheduler.framework import FitError, Rejection

NO_NODES = "no nodes available to schedule pods"

# With the default profile upstream's DynamicResources speaks first in PostFilter, always so.
_NO_CLAIMS = "no new claims to deallocate"
_MAX_NOTE = 1024


def fit_error_text(error: FitError, post_filter: str = "") -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had ... . <post filter>`."""
    if error.total_nodes == 0 and error.pre_filter is None:
        return NO_NODES
    head = f"0/{error.total_nodes} nodes are available"
    if error.pre_filter is not None:
        text = f"{head}: {', '.join(error.pre_filter.reasons)}."
    else:
        missing = error.total_nodes - len(error.verdicts)
        text = f"{head}: {_counted(error.verdicts.values(), error.absent, missing)}."
    return f"{text} {post_filter}".rstrip()


def preemption_text(total: int, outcomes: Iterable[Rejection], others: Rejection | None) -> str:
    """What PostFilter says when no node can be freed; `others` stands for all further nodes."""
    outcomes = list(outcomes)
    counted = _counted(outcomes, others, total - len(outcomes))
    return not_preempted(f"0/{total} nodes are available: {counted}.")


def not_preempted(why: str) -> str:
    return f"{_NO_CLAIMS}, preemption: {why}"


def event_note(text: str) -> str:
    """An event's note is limited; longer texts are cut as upstream cuts them."""
    return text if len(text) < _MAX_NOTE else text[: _MAX_NOTE - len(" ...")] + " ..."


def _counted(rejections: Iterable[Rejection], others: Rejection | None, missing: int) -> str:
    counts: Counter[str] = Counter()
    for rejection in rejections:
        counts.update(rejection.reasons)
    if others is not None and missing > 0:
        counts.update(dict.fromkeys(others.reasons, missing))
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
