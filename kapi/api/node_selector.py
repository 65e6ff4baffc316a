"""Node selectors, taints and tolerations: the matching rules of the core API.

Source: k8s.io/component-helpers `scheduling/corev1`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kapi.api.object import Object

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"
PREFER_NO_SCHEDULE = "PreferNoSchedule"


def term_matches(term: Mapping[str, Any], labels: Mapping[str, str], node_name: str) -> bool:
    """One node selector term; its expressions and fields must all hold, an empty one never does."""
    expressions = term.get("matchExpressions") or ()
    fields = term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_requirement_holds(item, labels) for item in expressions) and all(
        _requirement_holds(item, {"metadata.name": node_name}) for item in fields
    )


def node_selector_matches(
    selector: Mapping[str, Any], labels: Mapping[str, str], node_name: str
) -> bool:
    """Any of the terms is enough; no terms match nothing."""
    terms = selector.get("nodeSelectorTerms") or ()
    return any(term_matches(term, labels, node_name) for term in terms)


def pod_accepts_node(spec: Object, labels: Mapping[str, str], node_name: str) -> bool:
    """`spec.nodeSelector` and the required node affinity of a pod."""
    wanted = spec.get("nodeSelector")
    if wanted and any(labels.get(key) != value for key, value in wanted.items()):
        return False
    required = required_node_affinity(spec)
    return required is None or node_selector_matches(required, labels, node_name)


def required_node_affinity(spec: Object) -> Mapping[str, Any] | None:
    node_affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    found: Mapping[str, Any] | None = node_affinity.get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return found


def preferred_node_affinity(spec: Object) -> Sequence[Mapping[str, Any]]:
    node_affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()


def _requirement_holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = requirement["key"], requirement["operator"]
    values: Sequence[str] = requirement.get("values") or ()
    actual = labels.get(key)
    if operator == "In":
        return actual is not None and actual in values
    if operator == "NotIn":
        return actual is None or actual not in values
    if operator == "Exists":
        return actual is not None
    if operator == "DoesNotExist":
        return actual is None
    if operator in ("Gt", "Lt") and actual is not None and len(values) == 1:
        return _compares(actual, operator, values[0])
    return False


def _compares(actual: str, operator: str, limit: str) -> bool:
    try:
        left, right = int(actual), int(limit)
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether this toleration covers this taint; an empty effect or key covers every one."""
    effect, key = toleration.get("effect"), toleration.get("key")
    if effect and effect != taint["effect"]:
        return False
    if key and key != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return operator == "Equal" and (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(
    taints: Iterable[Mapping[str, Any]],
    tolerations: Sequence[Mapping[str, Any]],
    effects: tuple[str, ...],
) -> Iterable[Mapping[str, Any]]:
    """The taints with one of these effects that no toleration covers."""
    for taint in taints:
        if taint["effect"] in effects and not any(tolerates(t, taint) for t in tolerations):
            yield taint
