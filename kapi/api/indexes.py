"""Sets of completion indexes in text form, `1,3-5`.

Source: `parseIndexesString` in k8s.io/kubernetes `pkg/apis/batch/validation/validation.go`;
`pkg/controller/job/indexed_job_utils.go`.
"""

from collections.abc import Iterable


def count_indexes(text: str, completions: int) -> int:
    """How many indexes the text names. Raises ValueError with upstream's words."""
    return sum(last - first + 1 for first, last in parse_indexes(text, completions))


def parse_indexes(text: str, completions: int) -> list[tuple[int, int]]:
    """The intervals, both ends included. Raises ValueError with upstream's words."""
    if not text:
        return []
    intervals = []
    last = -1
    for part in text.split(","):
        limits = part.split("-")
        if len(limits) > 2:
            raise ValueError(
                f'the fragment "{part}" violates the requirement that an index interval can '
                "have at most two parts separated by '-'"
            )
        first = _index(limits[0], completions)
        if first <= last:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        end = first
        if len(limits) == 2:
            end = _index(limits[1], completions)
            if end <= first:
                raise ValueError(f"non-increasing order, previous: {first}, current: {end}")
        intervals.append((first, end))
        last = end
    return intervals


def _index(text: str, completions: int) -> int:
    if not text.isdigit():
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    number = int(text)
    if number >= completions:
        raise ValueError(f'too large index: "{text}"')
    return number


def index_set(text: str, completions: int) -> set[int]:
    """The indexes below `completions` that a status names; what is beyond, or no index, is left
    out, as it was written for another number of completions."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.update(range(int(first), min(int(last or first), completions - 1) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """The text for a set of indexes. Two in a row are listed, three and more are an interval."""
    intervals: list[list[int]] = []
    for index in sorted(indexes):
        if intervals and intervals[-1][1] == index - 1:
            intervals[-1][1] = index
        else:
            intervals.append([index, index])
    parts = []
    for first, last in intervals:
        if first == last:
            parts.append(str(first))
        else:
            parts.append(f"{first},{last}" if last == first + 1 else f"{first}-{last}")
    return ",".join(parts)
