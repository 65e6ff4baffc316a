"""The RBAC objects every cluster starts with.

The rules are facts of Kubernetes v1.36 (plugin/pkg/auth/authorizer/rbac/bootstrappolicy), kept in
`bootstrap_roles.json` in a compact form: a rule is `[verbs, groups, resources(, names)]` or
`[verbs, non-resource paths]`, each a list of words; the core group is spelled `core`, a subject
`Kind [namespace/]name`. Roles that aggregate others (admin, edit, view) are stored with their
rules already summed up, as they stand in a fresh cluster.
"""

from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

import orjson

from kapi.api.object import Object, name_of, namespace_of

RBAC_GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_AGGREGATE_TO = "rbac.authorization.k8s.io/aggregate-to-"
_KINDS = {
    "clusterRoles": "ClusterRole",
    "roles": "Role",
    "clusterRoleBindings": "ClusterRoleBinding",
    "roleBindings": "RoleBinding",
}
_PLURALS = {kind: f"{key.lower()}.{RBAC_GROUP}" for key, kind in _KINDS.items()}


def bootstrap_objects() -> list[Object]:
    """The default ClusterRoles, Roles and their bindings, as rbac.authorization.k8s.io/v1 objects.

    Fresh dicts on each call: the caller may store or change them.
    """
    table = _table()
    return [_object(kind, row) for key, kind in _KINDS.items() for row in table[key]]


@cache
def _table() -> dict[str, list[dict[str, Any]]]:
    text = resources.files("kapi.auth").joinpath("bootstrap_roles.json").read_bytes()
    table: dict[str, list[dict[str, Any]]] = orjson.loads(text)
    return table


def _object(kind: str, row: dict[str, Any]) -> Object:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    if "aggregateTo" in row:
        labels[_AGGREGATE_TO + row["aggregateTo"]] = "true"
    metadata: Object = {"name": row["name"], "labels": labels, "annotations": {AUTOUPDATE: "true"}}
    if "namespace" in row:
        metadata["namespace"] = row["namespace"]
    obj: Object = {"apiVersion": f"{RBAC_GROUP}/v1", "kind": kind, "metadata": metadata}
    if "aggregates" in row:
        label = _AGGREGATE_TO + row["aggregates"]
        obj["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
    if "rules" in row:
        obj["rules"] = [_rule(rule) for rule in row["rules"]]
        return obj
    role_kind, _, role_name = row["role"].partition(" ")
    obj["roleRef"] = {"apiGroup": RBAC_GROUP, "kind": role_kind, "name": role_name}
    if row["subjects"]:
        obj["subjects"] = [_subject(subject) for subject in row["subjects"]]
    return obj


def _rule(words: list[str]) -> Object:
    verbs, *rest = (text.split() for text in words)
    if len(rest) == 1:
        return {"verbs": verbs, "nonResourceURLs": rest[0]}
    groups = ["" if group == "core" else group for group in rest[0]]
    rule: Object = {"verbs": verbs, "apiGroups": groups, "resources": rest[1]}
    if len(rest) == 3:
        rule["resourceNames"] = rest[2]
    return rule


def _subject(text: str) -> Object:
    kind, _, name = text.partition(" ")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition("/")
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"kind": kind, "apiGroup": RBAC_GROUP, "name": name}


class BootstrapLookup:
    """The default RBAC objects as an ObjectLookup, for a server that does not store RBAC kinds."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        for obj in bootstrap_objects():
            named = self._objects.setdefault(_PLURALS[obj["kind"]], {})
            named[namespace_of(obj), name_of(obj)] = obj

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def list(self, resource: str, namespace: str = "") -> Iterable[Object]:
        found = self._objects.get(resource, {})
        return [obj for (where, _), obj in found.items() if not namespace or where == namespace]

    def version(self, resource: str) -> int:
        return 0
