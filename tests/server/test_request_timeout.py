"""Go's durations, as the `timeout` parameter takes them."""

import pytest

from kapi.server.filters.request_timeout import duration_problem


@pytest.mark.parametrize("text", ["0", "32s", "1h2m3.5s", "-1.5h", "+3ms", ".5s", "1.s", "2µs"])
def test_durations(text: str) -> None:
    assert duration_problem(text) == ""


@pytest.mark.parametrize(
    "text, problem",
    [
        ("x", 'time: invalid duration "x"'),
        ("-", 'time: invalid duration "-"'),
        (".s", 'time: invalid duration ".s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1s5", 'time: missing unit in duration "1s5"'),
        ("5d", 'time: unknown unit "d" in duration "5d"'),
    ],
)
def test_what_is_none(text: str, problem: str) -> None:
    assert duration_problem(text) == problem
