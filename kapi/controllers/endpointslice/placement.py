"""Which endpoint goes into which slice, changing as few slices as possible. Pure.

Source: k8s.io/endpointslice `reconciler.go` (reconcileByPortMapping).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kapi.api.object import Object, name_of

MAX_ENDPOINTS = 100


@dataclass(slots=True)
class Placement:
    """Endpoint lists for new slices, slices with their new lists, and slices to remove."""

    create: list[list[Object]] = field(default_factory=list)
    update: list[tuple[Object, list[Object]]] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def identity(endpoint: Object) -> tuple[str, ...]:
    """The same endpoint before and after a change of its conditions."""
    target = endpoint.get("targetRef") or {}
    return (
        *endpoint["addresses"],
        endpoint.get("nodeName", ""),
        endpoint.get("hostname", ""),
        target.get("namespace", ""),
        target.get("name", ""),
        target.get("uid", ""),
    )


def place(
    existing: Iterable[Object],
    desired: Sequence[Object],
    is_current: Callable[[Object], bool],
    limit: int = MAX_ENDPOINTS,
) -> Placement:
    """`existing` are slices of one port set; `is_current` says if labels need no update."""
    result = Placement()
    missing = {identity(endpoint): endpoint for endpoint in desired}
    changed: list[tuple[Object, list[Object]]] = []
    unchanged: list[Object] = []
    for slice_ in sorted(existing, key=name_of):
        had = slice_.get("endpoints") or []
        kept = [
            missing.pop(identity(endpoint)) for endpoint in had if identity(endpoint) in missing
        ]
        if not kept:
            result.delete.append(slice_)
        elif kept != had or not is_current(slice_):
            changed.append((slice_, kept))
        else:
            unchanged.append(slice_)
    left = list(missing.values())
    # What is being written anyway is filled first, the fullest before others.
    changed.sort(key=lambda pair: len(pair[1]), reverse=True)
    for _, endpoints in changed:
        while left and len(endpoints) < limit:
            endpoints.append(left.pop())
    while left:
        fitting = _fullest_with_room(unchanged, len(left), limit)
        if fitting is not None:
            unchanged.remove(fitting)
            changed.append((fitting, [*(fitting.get("endpoints") or ()), *left]))
            left = []
        else:
            result.create.append(left[:limit])
            left = left[limit:]
    result.update = changed
    return result


def _fullest_with_room(slices: Iterable[Object], count: int, limit: int) -> Object | None:
    fitting = [s for s in slices if len(s.get("endpoints") or ()) + count <= limit]
    return max(fitting, key=lambda s: len(s.get("endpoints") or ()), default=None)
