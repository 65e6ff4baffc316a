"""Which rules an aggregated ClusterRole should have. Pure.

Source: k8s.io/kubernetes `pkg/controller/clusterroleaggregation`.
"""

from collections.abc import Iterable
from typing import Any

from kapi.api.object import Object, labels_of, name_of
from kapi.api.selectors import label_selector_from_object


def aggregated_rules(role: Object, others: Iterable[Object]) -> list[dict[str, Any]]:
    """The union of the selected roles' rules: selectors in order, roles by name, each rule once."""
    candidates = sorted((other for other in others if name_of(other) != name_of(role)), key=name_of)
    rules: list[dict[str, Any]] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        matcher = label_selector_from_object(selector)
        for other in candidates:
            if not matcher.matches(labels_of(other)):
                continue
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


def same_rules(one: Iterable[dict[str, Any]], other: Iterable[dict[str, Any]]) -> bool:
    """Do both lists grant the same? Order is of no meaning, and a bootstrap role has its own."""
    first, second = list(one), list(other)
    return all(rule in second for rule in first) and all(rule in first for rule in second)
