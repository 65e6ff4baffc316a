"""The node authorizer: a kubelet reaches what its own pods need, and nothing else.

Only users `system:node:<name>` of group system:nodes are judged here; for everyone else there is
no opinion. Upstream: plugin/pkg/auth/authorizer/node/node_authorizer.go. The graph there is a
search here: a node's pods are few, and secrets are read when a pod starts, not all the time.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kapi.api.errors import BadRequest
from kapi.api.object import Object
from kapi.api.selectors import parse_field_selector
from kapi.api.user import UserInfo
from kapi.auth.bootstrap import RBAC_GROUP, BootstrapLookup
from kapi.auth.interface import Attributes, Decision, ObjectLookup
from kapi.auth.rules import PolicyRule, compile_rule

NODE_PREFIX = "system:node:"
GROUP_NODES = "system:nodes"
_NO_OPINION = Decision(False)
_ALLOWED = Decision(True)


def node_name_of(user: UserInfo) -> str:
    """The node behind an identity; empty for everyone who is not a node."""
    if GROUP_NODES in user.groups and user.name.startswith(NODE_PREFIX):
        return user.name[len(NODE_PREFIX) :]
    return ""


class NodeAuthorizer:
    """`lookup` is asked for pods; the rest follows from the request and the node's fixed rules."""

    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup
        self._rules = _node_rules()

    def authorize(self, attributes: Attributes) -> Decision:
        node = node_name_of(attributes.user)
        if not node:
            return _NO_OPINION
        refusal = self._refusal(node, attributes)
        if refusal is not None:
            return Decision(False, refusal)
        allowed = any(rule.allows(attributes) for rule in self._rules)
        return _ALLOWED if allowed else _NO_OPINION

    def _refusal(self, node: str, wanted: Attributes) -> str | None:
        """Why this node may not touch this very object, None if its fixed rules decide."""
        key = f"{wanted.group}/{wanted.resource}"
        if key in ("/secrets", "/configmaps"):
            return self._reference_refusal(node, wanted, ("get", "list", "watch"))
        if key == "/serviceaccounts":
            return self._service_account_refusal(node, wanted)
        if key == "/pods":
            return self._pod_refusal(node, wanted)
        if key == "/nodes":
            return _node_refusal(node, wanted)
        if key == "coordination.k8s.io/leases":
            return _lease_refusal(node, wanted)
        return None

    def _reference_refusal(
        self, node: str, wanted: Attributes, verbs: tuple[str, ...]
    ) -> str | None:
        if wanted.verb not in verbs or wanted.subresource:
            return f"can only {'/'.join(verbs)} individual resources of this type"
        if not wanted.name:
            return "No Object name found"
        references = _REFERENCES[wanted.resource]
        for pod in self._pods_of(node, wanted.namespace):
            if wanted.name in references(pod):
                return None
        return f"no relationship found between node '{node}' and this object"

    def _service_account_refusal(self, node: str, wanted: Attributes) -> str | None:
        if wanted.subresource == "token" and wanted.verb == "create":
            # The fixed rules spell the same grant; the pod check is what narrows it.
            return self._reference_refusal(
                node, replace(wanted, verb="get", subresource=""), ("get",)
            )
        return self._reference_refusal(node, wanted, ("get",))

    def _pod_refusal(self, node: str, wanted: Attributes) -> str | None:
        if wanted.verb in ("get", "watch", "list") and wanted.name:
            pod = self._lookup.get("pods", wanted.namespace, wanted.name)
            if pod is not None and pod.get("spec", {}).get("nodeName") != node:
                return f"no relationship found between node '{node}' and this object"
        elif wanted.verb in ("list", "watch") and _selected_node(wanted.field_selector) != node:
            return "can only list/watch pods with spec.nodeName field selector"
        return None

    def _pods_of(self, node: str, namespace: str) -> Iterator[Object]:
        for pod in self._lookup.list("pods", namespace):
            if pod.get("spec", {}).get("nodeName") == node:
                yield pod


def _selected_node(field_selector: str) -> str | None:
    """The one node that a selector asks for."""
    try:
        return parse_field_selector(field_selector).exact("spec.nodeName")
    except BadRequest:
        return None


def _node_refusal(node: str, wanted: Attributes) -> str | None:
    if wanted.verb in ("get", "list", "watch") and wanted.name != node:
        named = f"'{wanted.name}'" if wanted.name else "all nodes"
        return f"node '{node}' cannot read {named}, only its own Node object"
    return None


def _lease_refusal(node: str, wanted: Attributes) -> str | None:
    if wanted.namespace != "kube-node-lease":
        return (
            'can only access leases in the "kube-node-lease" system namespace, '
            f'not "{wanted.namespace}"'
        )
    if wanted.verb != "create" and wanted.name != node:
        return "can only access node lease with the same name as the requesting node"
    return None


def _node_rules() -> tuple[PolicyRule, ...]:
    role = BootstrapLookup().get(f"clusterroles.{RBAC_GROUP}", "", "system:node")
    rules = role["rules"] if role else []
    return tuple(compile_rule(rule) for rule in rules)


def _secret_names(pod: Object) -> set[str]:
    spec = pod.get("spec", {})
    names = {entry.get("name", "") for entry in spec.get("imagePullSecrets") or ()}
    for source in _environment_sources(spec):
        names.update(_named(source, "secretKeyRef", "secretRef"))
    for volume in spec.get("volumes") or ():
        names.add((volume.get("secret") or {}).get("secretName", ""))
        for source in (volume.get("projected") or {}).get("sources") or ():
            names.update(_named(source, "secret"))
    return names


def _config_map_names(pod: Object) -> set[str]:
    spec = pod.get("spec", {})
    names: set[str] = set()
    for source in _environment_sources(spec):
        names.update(_named(source, "configMapKeyRef", "configMapRef"))
    for volume in spec.get("volumes") or ():
        names.update(_named(volume, "configMap"))
        for source in (volume.get("projected") or {}).get("sources") or ():
            names.update(_named(source, "configMap"))
    return names


def _service_account_names(pod: Object) -> set[str]:
    return {pod.get("spec", {}).get("serviceAccountName") or "default"}


def _environment_sources(spec: Object) -> Iterator[dict[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from container.get("envFrom") or ()
            for variable in container.get("env") or ():
                yield variable.get("valueFrom") or {}


def _named(source: dict[str, Any], *keys: str) -> set[str]:
    return {(source.get(key) or {}).get("name", "") for key in keys}


_REFERENCES = {
    "secrets": _secret_names,
    "configmaps": _config_map_names,
    "serviceaccounts": _service_account_names,
}
