"""RBAC: who may do what, in upstream's words."""

import pytest
from fake_lookup import FakeLookup
from hypothesis import given
from hypothesis import strategies as st

from kapi.api.user import UserInfo
from kapi.auth.authorizers import cluster_authorizer
from kapi.auth.bootstrap import BootstrapLookup
from kapi.auth.interface import Attributes
from kapi.auth.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    RbacAuthorizer,
)
from kapi.auth.rules import PolicyRule, compile_rule, describe_rules, uncovered_rules

ALICE = UserInfo("alice", groups=("dev", "system:authenticated"))
READ_PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}


def _binding(name: str, namespace: str, role: str, *subjects: dict[str, str]) -> dict[str, object]:
    kind, _, role_name = role.partition(" ")
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "metadata": metadata,
        "roleRef": {"kind": kind, "name": role_name},
        "subjects": list(subjects),
    }


@pytest.fixture
def lookup() -> FakeLookup:
    lookup = FakeLookup()
    lookup.put(ROLES, {"metadata": {"name": "read", "namespace": "a"}, "rules": [READ_PODS]})
    lookup.put(ROLE_BINDINGS, _binding("b", "a", "Role read", {"kind": "Group", "name": "dev"}))
    return lookup


def _pods(verb: str, namespace: str, **more: str) -> Attributes:
    return Attributes(ALICE, verb, "", "v1", "pods", namespace=namespace, **more)


def test_a_role_binding_allows_in_its_namespace_only(lookup: FakeLookup) -> None:
    rbac = RbacAuthorizer(lookup)
    decision = rbac.authorize(_pods("get", "a"))
    assert decision.allowed
    assert decision.reason == 'RBAC: allowed by RoleBinding "b/a" of Role "read" to Group "dev"'
    assert rbac.authorize(_pods("get", "a", subresource="log")).allowed
    assert not rbac.authorize(_pods("get", "a", subresource="exec")).allowed
    assert not rbac.authorize(_pods("delete", "a")).allowed
    assert not rbac.authorize(_pods("get", "b")).allowed
    assert not rbac.authorize(_pods("get", "")).allowed


def test_changes_take_effect_at_once(lookup: FakeLookup) -> None:
    rbac = RbacAuthorizer(lookup)
    assert rbac.authorize(_pods("get", "a")).allowed
    lookup.remove(ROLE_BINDINGS, "a", "b")
    assert not rbac.authorize(_pods("get", "a")).allowed


def test_a_missing_role_is_named_in_the_reason(lookup: FakeLookup) -> None:
    lookup.put(
        CLUSTER_ROLE_BINDINGS,
        _binding("x", "", "ClusterRole gone", {"kind": "User", "name": "alice"}),
    )
    decision = RbacAuthorizer(lookup).authorize(_pods("get", "b"))
    assert decision.reason == ('RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found')


def test_service_account_subjects(lookup: FakeLookup) -> None:
    account = UserInfo("system:serviceaccount:a:bot")
    lookup.put(CLUSTER_ROLES, {"metadata": {"name": "r"}, "rules": [READ_PODS]})
    lookup.put(
        ROLE_BINDINGS,
        _binding("c", "a", "ClusterRole r", {"kind": "ServiceAccount", "name": "bot"}),
    )
    lookup.put(
        CLUSTER_ROLE_BINDINGS,
        _binding("d", "", "ClusterRole r", {"kind": "ServiceAccount", "name": "bot"}),
    )
    rbac = RbacAuthorizer(lookup)
    allowed = rbac.authorize(Attributes(account, "get", "", "v1", "pods", namespace="a"))
    assert allowed.reason == (
        'RBAC: allowed by RoleBinding "c/a" of ClusterRole "r" to ServiceAccount "bot/a"'
    )
    # A cluster-wide binding without the subject's namespace names nobody.
    assert not rbac.authorize(Attributes(account, "get", "", "v1", "pods", namespace="b")).allowed


@pytest.mark.parametrize(
    ("rule", "attributes", "allowed"),
    [
        ({"resources": ["*"]}, {"resource": "pods", "subresource": "exec"}, True),
        ({"resources": ["*/scale"]}, {"resource": "x", "subresource": "scale"}, True),
        ({"resources": ["*/scale"]}, {"resource": "x"}, False),
        ({"resources": ["x"]}, {"resource": "x", "subresource": "scale"}, False),
        ({"resources": ["x"], "resourceNames": ["n"]}, {"resource": "x", "name": "n"}, True),
        ({"resources": ["x"], "resourceNames": ["n"]}, {"resource": "x"}, False),
        ({"nonResourceURLs": ["/api/*"]}, {"path": "/api/v1"}, True),
        ({"nonResourceURLs": ["/api/*"]}, {"path": "/apis"}, False),
        ({"nonResourceURLs": ["*"]}, {"path": "/apis"}, True),
        ({"resources": ["*"]}, {"path": "/apis"}, False),
    ],
)
def test_rule_matching(
    rule: dict[str, list[str]], attributes: dict[str, str], allowed: bool
) -> None:
    compiled = compile_rule({"verbs": ["get"], "apiGroups": ["g"], **rule})
    assert compiled.allows(Attributes(ALICE, "get", "g", **attributes)) is allowed


def test_the_default_roles_let_components_and_users_in() -> None:
    authorizer = cluster_authorizer(FakeLookup(), BootstrapLookup())
    manager = UserInfo("system:kube-controller-manager")
    scheduler = UserInfo("system:kube-scheduler")
    assert authorizer.authorize(Attributes(manager, "list", "apps", "v1", "deployments")).allowed
    binding = Attributes(scheduler, "create", "", "v1", "pods", "binding", "default", "p")
    assert authorizer.authorize(binding).allowed
    assert authorizer.authorize(Attributes(ALICE, "get", path="/apis")).allowed
    assert authorizer.authorize(Attributes(UserInfo("x", groups=("system:masters",)), "f")).allowed
    assert not authorizer.authorize(Attributes(ALICE, "list", "", "v1", "secrets")).allowed


def test_escalation_names_what_is_missing(lookup: FakeLookup) -> None:
    rbac = RbacAuthorizer(lookup)
    assert rbac.escalation(ALICE, "a", (compile_rule(READ_PODS),)) is None
    wanted = compile_rule({"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods"]})
    assert rbac.escalation(ALICE, "a", (wanted,)) == (
        'user "alice" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC '
        "permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}'
    )
    assert rbac.escalation(UserInfo("m", groups=("system:masters",)), "a", (wanted,)) is None


words = st.frozensets(st.sampled_from(["*", "a", "b", "c"]), min_size=1, max_size=3)
names = st.frozensets(st.sampled_from(["n", "m"]), max_size=2)
rules = st.builds(PolicyRule, words, words, words, names)


@given(st.lists(rules, max_size=4), rules)
def test_covered_rules_grant_nothing_new(held: list[PolicyRule], wanted: PolicyRule) -> None:
    """If a rule counts as covered, no request passes it that the held rules refuse."""
    if uncovered_rules(held, [wanted]):
        return
    for verb in "abc":
        for group in "abc":
            for resource in "abc":
                for name in ("", "n", "m", "other"):
                    asked = Attributes(ALICE, verb, group, "v1", resource, name=name)
                    if wanted.allows(asked):
                        assert any(rule.allows(asked) for rule in held)


@given(st.lists(rules, max_size=3))
def test_holding_a_rule_covers_it(held: list[PolicyRule]) -> None:
    assert uncovered_rules(held, held) == ()
    assert len(describe_rules(held)) <= len(held)
