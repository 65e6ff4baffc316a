"""The eight promises of a watch, each a named function over a recorded stream.

Unit, simulation and end-to-end tests record what a watcher received and give it to `validate`;
where a function takes a history, that is every write to the store in order, from another source
than the watch. The promises are those of etcd's documentation, checked the way its robustness
tests do (`tests/robustness/validate/watch.go`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


class BrokenPromise(AssertionError):
    """A watch did not keep one of its promises."""


class NotOrdered(BrokenPromise):
    pass


class NotUnique(BrokenPromise):
    pass


class NotAtomic(BrokenPromise):
    pass


class NotReliable(BrokenPromise):
    pass


class NotResumable(BrokenPromise):
    pass


class NotBookmarkable(BrokenPromise):
    pass


class NotFiltered(BrokenPromise):
    pass


class WrongPreviousValue(BrokenPromise):
    pass


@dataclass(frozen=True, slots=True)
class Change:
    """One write: `value` is None for a delete, `previous` is None for a create."""

    key: str
    revision: int
    value: Any
    previous: Any = None


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The watch said: you have had everything up to `revision`."""

    revision: int


@dataclass(slots=True)
class Stream:
    """What one watcher asked for (every change after `since` that `selects` accepts) and got."""

    since: int
    selects: Callable[[Change], bool]
    batches: list[list[Change | Bookmark]] = field(default_factory=list)

    @property
    def items(self) -> list[Change | Bookmark]:
        return [item for batch in self.batches for item in batch]

    @property
    def changes(self) -> list[Change]:
        return [item for item in self.items if isinstance(item, Change)]


def ordered(stream: Stream) -> None:
    """Revisions never go back."""
    last = stream.since
    for item in stream.items:
        if item.revision < last:
            raise NotOrdered(f"{item} came after revision {last}")
        last = item.revision


def unique(stream: Stream) -> None:
    """No change is given twice, and none that the watcher already knew."""
    seen: set[tuple[str, int]] = set()
    for change in stream.changes:
        identity = (change.key, change.revision)
        if identity in seen or change.revision <= stream.since:
            raise NotUnique(f"{change} was given before")
        seen.add(identity)


def atomic(stream: Stream) -> None:
    """All changes of one revision come in one batch."""
    home: dict[int, int] = {}
    for number, batch in enumerate(stream.batches):
        for item in batch:
            if isinstance(item, Change) and home.setdefault(item.revision, number) != number:
                raise NotAtomic(f"revision {item.revision} was split over batches")


def reliable(stream: Stream, history: Iterable[Change]) -> None:
    """Nothing is missing up to the last revision the stream has shown."""
    last = max((item.revision for item in stream.items), default=stream.since)
    given = {(change.key, change.revision): change.value for change in stream.changes}
    for change in history:
        if stream.since < change.revision <= last and stream.selects(change):
            identity = (change.key, change.revision)
            if identity not in given:
                raise NotReliable(f"{change} is missing")
            if given[identity] != change.value:
                raise NotReliable(f"{change} was given as {given[identity]!r}")


def resumable(stream: Stream, history: Iterable[Change]) -> None:
    """A stream begins with the first change after the revision it was resumed from."""
    wanted = [c for c in history if c.revision > stream.since and stream.selects(c)]
    changes = stream.changes
    if changes and (not wanted or wanted[0].revision != changes[0].revision):
        raise NotResumable(f"resumed at {stream.since}, but {changes[0]} came first")


def bookmarkable(stream: Stream, history: Iterable[Change]) -> None:
    """Everything up to a bookmark's revision comes before the bookmark."""
    wanted = [c for c in history if c.revision > stream.since and stream.selects(c)]
    given: set[tuple[str, int]] = set()
    for item in stream.items:
        if isinstance(item, Change):
            given.add((item.key, item.revision))
            continue
        for change in wanted:
            late = change.revision <= item.revision and (change.key, change.revision) not in given
            if late:
                raise NotBookmarkable(f"{change} had not been given at {item}")


def filtered(stream: Stream) -> None:
    """Nothing comes that was not asked for."""
    for change in stream.changes:
        if not stream.selects(change):
            raise NotFiltered(f"{change} was not asked for")


def previous_value(stream: Stream, history: Iterable[Change]) -> None:
    """The previous value of a change is what the write before it left."""
    state: dict[str, Any] = {}
    before: dict[tuple[str, int], Any] = {}
    for change in history:
        before[change.key, change.revision] = state.get(change.key)
        state[change.key] = change.value
    for change in stream.changes:
        expected = before[change.key, change.revision]
        if change.previous != expected:
            raise WrongPreviousValue(f"{change} replaced {expected!r}")


def validate(stream: Stream, history: list[Change]) -> None:
    """All eight promises."""
    ordered(stream)
    unique(stream)
    atomic(stream)
    filtered(stream)
    reliable(stream, history)
    resumable(stream, history)
    bookmarkable(stream, history)
    previous_value(stream, history)
