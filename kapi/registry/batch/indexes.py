"""Sets of completion indexes in text form, `1,3-5`.

Source: `parseIndexesString` in k8s.io/kubernetes `pkg/apis/batch/validation/validation.go`.
"""


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
