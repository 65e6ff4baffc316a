"""In which order a list stands after a strategic merge.

Elements that the patch names come in the patch's order; elements only the server has keep their
places relative to those. Source: `normalizeElementOrder`, `mergeSortedSlice` in
k8s.io/apimachinery `pkg/util/strategicpatch/patch.go`.
"""

from typing import Any

from kapi.api.errors import plain_error
from kapi.api.go_format import go_value


def identity(item: Any, merge_key: str) -> Any:
    """What makes an element the same as another: its merge key's value, or itself."""
    value = item.get(merge_key) if merge_key and isinstance(item, dict) else item
    # JSON tells true from 1, Python's equality does not.
    return (type(value) is bool, repr(value) if isinstance(value, (dict, list)) else value)


def _indexes(order: list[Any], merge_key: str) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for index, item in enumerate(order):
        found.setdefault(identity(item, merge_key), index)
    return found


def in_order(
    merged: list[Any], patch_order: list[Any], server_order: list[Any], merge_key: str
) -> list[Any]:
    """`merged` with the patch's elements ordered by `patch_order`, the rest by `server_order`."""
    wanted = _indexes(patch_order, merge_key)
    served = _indexes(server_order, merge_key)

    def place(item: Any, indexes: dict[Any, int]) -> int:
        return indexes.get(identity(item, merge_key), -1)

    patched = [item for item in merged if place(item, wanted) >= 0]
    others = [item for item in merged if place(item, wanted) < 0]
    patched.sort(key=lambda item: place(item, wanted))
    others.sort(key=lambda item: place(item, served))
    result: list[Any] = []
    left, right = 0, 0
    while left < len(others) and right < len(patched):
        mine, theirs = place(others[left], served), place(patched[right], served)
        if 0 <= mine < theirs:
            result.append(others[left])
            left += 1
        else:
            result.append(patched[right])
            right += 1
    return result + others[left:] + patched[right:]


def check_order(patch: list[Any], order: list[Any], merge_key: str) -> None:
    """Every element of the patch must be in the order list, in the same sequence."""
    kept = [
        item for item in patch if not (isinstance(item, dict) and item.get("$patch") == "delete")
    ]
    position = 0
    for item in order:
        if position < len(kept) and identity(kept[position], merge_key) == identity(
            item, merge_key
        ):
            position += 1
    if position < len(kept):
        raise plain_error(
            f"The order in patch list:\n{go_value(patch)}\n doesn't match"
            f" $setElementOrder list:\n{go_value(order)}\n"
        )
