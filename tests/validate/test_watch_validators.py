"""Each promise is broken once, and only its own function says so."""

import pytest

from tests.validate import watch
from tests.validate.watch import Bookmark, Change, Stream

A2, B3 = Change("/r/a", 2, "1"), Change("/r/b", 3, "1")
A4, B5 = Change("/r/a", 4, "2", "1"), Change("/r/b", 5, None, "1")
HISTORY = [A2, B3, A4, B5, Change("/other", 6, "1")]


def stream(*batches: list[Change | Bookmark], since: int = 1) -> Stream:
    return Stream(since, lambda change: change.key.startswith("/r/"), list(batches))


def test_a_faultless_stream_is_accepted() -> None:
    watch.validate(stream([A2, B3], [Bookmark(3)], [A4], [B5, Bookmark(6)]), HISTORY)
    watch.validate(stream([A4], since=3), HISTORY)
    watch.validate(stream(), HISTORY)


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (stream([B3, A2]), watch.NotOrdered),
        (stream([A2], [Bookmark(3)], [A2]), watch.NotOrdered),
        (stream([A2, A2]), watch.NotUnique),
        (stream([A2], since=2), watch.NotUnique),
        (stream([A2], [Change("/r/c", 2, "1")]), watch.NotAtomic),
        (stream([A2], [A4]), watch.NotReliable),
        (stream([A2], [Change("/r/b", 3, "other")]), watch.NotReliable),
        (stream([Change("/other", 6, "1")], since=5), watch.NotFiltered),
        (stream([A2], [Change("/r/b", 3, "1", "9")]), watch.WrongPreviousValue),
        (stream([A2], [B3], [Change("/r/a", 4, "2")]), watch.WrongPreviousValue),
    ],
)
def test_a_broken_promise_has_a_name(broken: Stream, error: type[Exception]) -> None:
    with pytest.raises(error):
        watch.validate(broken, HISTORY)


def test_a_resumed_stream_that_skips_is_found() -> None:
    with pytest.raises(watch.NotResumable):
        watch.resumable(stream([A4], since=2), HISTORY)


def test_an_early_bookmark_is_found() -> None:
    with pytest.raises(watch.NotBookmarkable):
        watch.bookmarkable(stream([A2, Bookmark(3)], [B3]), HISTORY)
