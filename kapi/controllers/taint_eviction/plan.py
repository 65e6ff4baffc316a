"""How long a pod may stay on a tainted node. Pure.

Source: upstream `pkg/controller/tainteviction`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from kapi.api.node_selector import tolerates
from kapi.api.object import Object

FOREVER = float("inf")
Taint = dict[str, Any]
Toleration = dict[str, Any]


def no_execute_taints(node: Object | None) -> list[Taint]:
    if node is None:
        return []
    taints = (node.get("spec") or {}).get("taints") or ()
    return [taint for taint in taints if taint.get("effect") == "NoExecute"]


def seconds_to_stay(taints: Sequence[Taint], tolerations: Iterable[Toleration]) -> float:
    """0: evict now. FOREVER: all taints are tolerated without limit.

    In between, the smallest tolerationSeconds of the tolerations that match.
    """
    tolerations = list(tolerations)
    limits = []
    for taint in taints:
        matching = [toleration for toleration in tolerations if tolerates(toleration, taint)]
        if not matching:
            return 0.0
        limits += [
            t["tolerationSeconds"] for t in matching if t.get("tolerationSeconds") is not None
        ]
    return max(0.0, float(min(limits))) if limits else FOREVER
