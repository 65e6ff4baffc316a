"""The typed merge of an applied configuration into an object.

The applied side wins field by field; items of keyed lists keep the object's order except where the
applied list says otherwise. Source: sigs.k8s.io/structured-merge-diff `typed/merge.go`.
"""

from typing import Any

from kapi.api.patch.typed import (
    ABSENT,
    DEDUCED,
    child_node,
    indexed,
    is_granular_map,
    is_keyed_list,
    item_element,
)
from kapi.api.schema.node import SchemaNode


def merge(live: Any, applied: Any, node: SchemaNode) -> Any:
    """The merged value; shares parts with its inputs, changes neither."""
    if applied is ABSENT:
        return live
    if live is ABSENT:
        return applied
    if is_granular_map(node) and _readable(live, applied, dict):
        if live or applied:
            return _merge_maps(live or {}, applied or {}, node)
    elif is_keyed_list(node) and _readable(live, applied, list) and (live or applied):
        return _merge_lists(live or [], applied or [], node)
    return applied


def _readable(live: Any, applied: Any, kind: type) -> bool:
    return all(side is None or type(side) is kind for side in (live, applied))


def _merge_maps(live: dict[str, Any], applied: dict[str, Any], node: SchemaNode) -> Any:
    result = dict(live)
    for name, value in applied.items():
        child = child_node(node, name) or DEDUCED
        result[name] = merge(live.get(name, ABSENT), value, child)
    return result


class _ListMerge:
    """One pass over both lists; see `visitListItems` upstream for why each step is there."""

    def __init__(self, live: list[Any], applied: list[Any], node: SchemaNode) -> None:
        assert node.items is not None
        self._items = node.items
        self._live, self._applied = live, applied
        self._left = [item_element(node, item) for item in live]
        self._right = [item_element(node, item) for item in applied]
        self._live_items, self._applied_items = indexed(node, live), indexed(node, applied)
        self._shared = [one for one in self._right if one in self._live_items]
        self._done: set[str] = set()
        self._out: list[Any] = []

    def run(self) -> list[Any]:
        left = right = 0
        while left < len(self._left) or right < len(self._right):
            if left < len(self._left) and right < len(self._right):
                element = self._left[left]
                if element == self._right[right]:
                    self._take_applied(element)
                    left, right = left + 1, right + 1
                    continue
                if element in self._applied_items and self._shared and self._shared[0] != element:
                    # Shared, but the applied list wants another shared item first.
                    left += 1
                    continue
            if left < len(self._left):
                element = self._left[left]
                if element not in self._applied_items:
                    self._out.append(self._live[left])
                    left += 1
                    continue
                if element in self._done:
                    left += 1
            if right < len(self._right):
                self._take_applied(self._right[right])
                right += 1
        return self._out

    def _take_applied(self, element: str) -> None:
        live = self._live_items.get(element, ABSENT)
        self._out.append(merge(live, self._applied_items[element], self._items))
        self._done.add(element)
        if self._shared and self._shared[0] == element:
            self._shared.pop(0)


def _merge_lists(live: list[Any], applied: list[Any], node: SchemaNode) -> list[Any]:
    return _ListMerge(live, applied, node).run()
