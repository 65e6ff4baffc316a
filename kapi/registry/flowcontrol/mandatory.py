"""The objects that every cluster has, of which four may hardly be changed.

Source: k8s.io/kubernetes `pkg/apis/flowcontrol/bootstrap/default.go`, on the default settings of
1.36.
"""

from functools import cache
from typing import Any

from kapi.api.object import Object

GROUP = "flowcontrol.apiserver.k8s.io"
_AUTOUPDATE = {"apf.kubernetes.io/autoupdate-spec": "true"}
MANDATORY = ("exempt", "catch-all")
"""Of both kinds; whose specs must stay as they are."""

_EVERYBODY = ("group system:unauthenticated", "group system:authenticated")
_ALL = ("* * *",)
_ANY_PATH = ("* *",)
_LEASES = "coordination.k8s.io leases"

# name: (level, precedence, distinguisher, subjects, resource rules, paths). A resource rule is
# `verbs groups resources`, cluster-scoped too if it ends in `cluster` or is `* * *`.
_Schema = tuple[str, int, str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]
_SCHEMAS: dict[str, _Schema] = {
    "exempt": ("exempt", 1, "", ("group system:masters",), _ALL, _ANY_PATH),
    "probes": ("exempt", 2, "", _EVERYBODY, (), ("get /healthz,/readyz,/livez",)),
    "system-leader-election": (
        "leader-election", 100, "ByUser",
        ("user system:kube-controller-manager", "user system:kube-scheduler", "account *"),
        (f"get,create,update {_LEASES}",), (),
    ),
    "system-node-high": (
        "node-high", 400, "ByUser", ("group system:nodes",),
        ("* core nodes,nodes/status cluster", f"* {_LEASES}"), (),
    ),
    "system-nodes": ("system", 500, "ByUser", ("group system:nodes",), _ALL, _ANY_PATH),
    "kube-controller-manager": (
        "workload-high", 800, "ByNamespace", ("user system:kube-controller-manager",),
        _ALL, _ANY_PATH,
    ),
    "kube-scheduler": (
        "workload-high", 800, "ByNamespace", ("user system:kube-scheduler",), _ALL, _ANY_PATH,
    ),
    "kube-system-service-accounts": (
        "workload-high", 900, "ByNamespace", ("account *",), _ALL, _ANY_PATH,
    ),
    "service-accounts": (
        "workload-low", 9000, "ByUser", ("group system:serviceaccounts",), _ALL, _ANY_PATH,
    ),
    "global-default": ("global-default", 9900, "ByUser", _EVERYBODY, _ALL, _ANY_PATH),
    "catch-all": ("catch-all", 10000, "ByUser", _EVERYBODY, _ALL, _ANY_PATH),
}  # fmt: skip

# name: (shares, lendable percent, queues, hand size); without queues requests are rejected.
_LEVELS: dict[str, tuple[int, int, int, int]] = {
    "system": (30, 33, 64, 6),
    "node-high": (40, 25, 64, 6),
    "leader-election": (10, 0, 16, 4),
    "workload-high": (40, 50, 128, 6),
    "workload-low": (100, 90, 128, 6),
    "global-default": (20, 50, 128, 6),
    "catch-all": (5, 0, 0, 0),
}
_QUEUE_LENGTH = 50


def _subject(text: str) -> Object:
    kind, _, name = text.partition(" ")
    if kind == "account":
        account = {"namespace": "kube-system", "name": name}
        return {"kind": "ServiceAccount", "serviceAccount": account}
    return {"kind": kind.capitalize(), kind: {"name": name}}


def _resource_rule(text: str) -> Object:
    verbs, groups, resources, *scope = text.split()
    rule: Object = {
        "verbs": verbs.split(","),
        "apiGroups": ["" if group == "core" else group for group in groups.split(",")],
        "resources": resources.split(","),
        "namespaces": ["*"],
    }
    if scope or text == "* * *":
        rule["clusterScope"] = True
    return rule


def _path_rule(text: str) -> Object:
    verbs, _, paths = text.partition(" ")
    return {"verbs": verbs.split(","), "nonResourceURLs": paths.split(",")}


def _object(kind: str, name: str, spec: dict[str, Any]) -> Object:
    meta = {"name": name, "annotations": dict(_AUTOUPDATE)}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": meta, "spec": spec}


@cache
def _schema_spec(name: str) -> dict[str, Any]:
    level, precedence, distinguisher, subjects, resources, paths = _SCHEMAS[name]
    rule: Object = {"subjects": [_subject(text) for text in subjects]}
    if resources:
        rule["resourceRules"] = [_resource_rule(text) for text in resources]
    if paths:
        rule["nonResourceRules"] = [_path_rule(text) for text in paths]
    spec: Object = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [rule],
    }
    if distinguisher:
        spec["distinguisherMethod"] = {"type": distinguisher}
    return spec


@cache
def _level_spec(name: str) -> dict[str, Any]:
    if name == "exempt":
        exempt = {"nominalConcurrencyShares": 0, "lendablePercent": 0}
        return {"type": "Exempt", "exempt": exempt}
    shares, lendable, queues, hand = _LEVELS[name]
    response: Object = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": _QUEUE_LENGTH}
        response = {"type": "Queue", "queuing": queuing}
    limited = {
        "nominalConcurrencyShares": shares,
        "lendablePercent": lendable,
        "limitResponse": response,
    }
    return {"type": "Limited", "limited": limited}


def bootstrap_flow_schemas() -> list[Object]:
    """Shared specs: copy before changing."""
    return [_object("FlowSchema", name, _schema_spec(name)) for name in _SCHEMAS]


def bootstrap_priority_levels() -> list[Object]:
    """Shared specs: copy before changing."""
    kind = "PriorityLevelConfiguration"
    return [_object(kind, name, _level_spec(name)) for name in ("exempt", *_LEVELS)]


def mandatory_spec(kind: str, name: str) -> dict[str, Any] | None:
    """The spec this object must have, None if it is not one of the mandatory ones."""
    if name not in MANDATORY:
        return None
    return _schema_spec(name) if kind == "FlowSchema" else _level_spec(name)
