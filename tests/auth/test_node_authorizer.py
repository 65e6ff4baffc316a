"""A node reaches its own pods' things only."""

import pytest
from fake_lookup import FakeLookup

from kapi.api.user import UserInfo
from kapi.auth.interface import Attributes
from kapi.auth.node_authorizer import NodeAuthorizer

NODE = UserInfo("system:node:n1", groups=("system:nodes",))


def _pod(name: str, node: str, **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "a"}, "spec": {"nodeName": node, **spec}}


@pytest.fixture
def authorizer() -> NodeAuthorizer:
    lookup = FakeLookup()
    environment = [
        {"name": "x", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}},
        {"name": "y", "value": "z"},
    ]
    lookup.put(
        "pods",
        _pod(
            "mine",
            "n1",
            serviceAccountName="bot",
            imagePullSecrets=[{"name": "pull"}],
            containers=[{"env": environment, "envFrom": [{"configMapRef": {"name": "env-map"}}]}],
            volumes=[
                {"secret": {"secretName": "volume-secret"}},
                {"projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
            ],
        ),
    )
    lookup.put("pods", _pod("other", "n2", volumes=[{"secret": {"secretName": "foreign"}}]))
    return NodeAuthorizer(lookup)


@pytest.mark.parametrize(
    ("resource", "name", "allowed"),
    [
        ("secrets", "env-secret", True),
        ("secrets", "pull", True),
        ("secrets", "volume-secret", True),
        ("secrets", "foreign", False),
        ("secrets", "", False),
        ("configmaps", "env-map", True),
        ("configmaps", "kube-root-ca.crt", True),
        ("configmaps", "unrelated", False),
        ("pods", "mine", True),
        ("pods", "other", False),
    ],
)
def test_reading(authorizer: NodeAuthorizer, resource: str, name: str, allowed: bool) -> None:
    asked = Attributes(NODE, "get", "", "v1", resource, namespace="a", name=name)
    assert authorizer.authorize(asked).allowed is allowed


def test_refusals_say_why(authorizer: NodeAuthorizer) -> None:
    asked = Attributes(NODE, "get", "", "v1", "secrets", namespace="a", name="foreign")
    assert authorizer.authorize(asked).reason == (
        "no relationship found between node 'n1' and this object"
    )
    other = Attributes(NODE, "get", "", "v1", "nodes", name="n2")
    assert authorizer.authorize(other).reason == (
        "node 'n1' cannot read 'n2', only its own Node object"
    )


@pytest.mark.parametrize(("account", "allowed"), [("bot", True), ("default", False)])
def test_tokens_for_own_pods_only(authorizer: NodeAuthorizer, account: str, allowed: bool) -> None:
    asked = Attributes(NODE, "create", "", "v1", "serviceaccounts", "token", "a", account)
    assert authorizer.authorize(asked).allowed is allowed


@pytest.mark.parametrize(
    ("namespace", "name", "allowed"),
    [("kube-node-lease", "n1", True), ("kube-node-lease", "n2", False), ("a", "n1", False)],
)
def test_leases(authorizer: NodeAuthorizer, namespace: str, name: str, allowed: bool) -> None:
    group = "coordination.k8s.io"
    asked = Attributes(NODE, "update", group, "v1", "leases", namespace=namespace, name=name)
    assert authorizer.authorize(asked).allowed is allowed


def test_what_a_kubelet_needs_every_day(authorizer: NodeAuthorizer) -> None:
    for verb, resource, subresource in [
        ("create", "nodes", ""),
        ("patch", "nodes", "status"),
        ("patch", "pods", "status"),
        ("delete", "pods", ""),
        ("list", "services", ""),
        ("create", "events", ""),
    ]:
        asked = Attributes(
            NODE, verb, "", "v1", resource, subresource, "a", "x" if subresource else ""
        )
        assert authorizer.authorize(asked).allowed, (verb, resource, subresource)


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ("spec.nodeName=n1", True),
        ("status.phase!=Failed,spec.nodeName==n1", True),
        ("", False),
        ("spec.nodeName=n2", False),
        ("spec.nodeName!=n1", False),
        ("spec.nodeName", False),
    ],
)
def test_pods_are_listed_for_the_node_itself(
    authorizer: NodeAuthorizer, selector: str, allowed: bool
) -> None:
    for verb in ("list", "watch"):
        asked = Attributes(NODE, verb, "", "v1", "pods", field_selector=selector)
        assert authorizer.authorize(asked).allowed is allowed


def test_others_get_no_opinion(authorizer: NodeAuthorizer) -> None:
    impostor = UserInfo("system:node:n1")
    assert not authorizer.authorize(Attributes(impostor, "list", "", "v1", "services")).allowed
