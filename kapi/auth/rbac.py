"""The RBAC authorizer: roles and bindings as they are stored, indexed by subject.

The index is rebuilt when one of the four resources changes, and it remembers its decisions, so a
repeated question costs one dictionary access. Upstream: plugin/pkg/auth/authorizer/rbac/rbac.go.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kapi.api.object import Object, name_of, namespace_of
from kapi.api.user import GROUP_MASTERS, SERVICE_ACCOUNT_PREFIX, UserInfo
from kapi.auth.bootstrap import RBAC_GROUP
from kapi.auth.interface import Attributes, Decision, ObjectLookup
from kapi.auth.rules import PolicyRule, compile_rule, describe_rules, uncovered_rules

CLUSTER_ROLES = f"clusterroles.{RBAC_GROUP}"
CLUSTER_ROLE_BINDINGS = f"clusterrolebindings.{RBAC_GROUP}"
ROLES = f"roles.{RBAC_GROUP}"
ROLE_BINDINGS = f"rolebindings.{RBAC_GROUP}"
_RESOURCES = (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)
_REMEMBERED_MAX = 8192


@dataclass(frozen=True, slots=True)
class _Grant:
    """One subject of one binding. `order` is the binding's place: cluster bindings come first."""

    order: int
    reason: str
    namespace: str
    rules: tuple[PolicyRule, ...]
    missing_role: str


class _Index:
    """Everything the four resources say at one moment."""

    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup
        self._compiled: dict[tuple[str, str, str], tuple[PolicyRule, ...] | None] = {}
        self._grants: dict[tuple[str, str], list[_Grant]] = {}
        self.remembered: dict[tuple[object, ...], Decision] = {}
        order = 0
        for resource in (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
            for binding in lookup.list(resource):
                order += 1
                self._add(binding, order)

    def _add(self, binding: Object, order: int) -> None:
        namespace = namespace_of(binding)
        role_kind, role_name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
        rules = self.rules_of(role_kind, namespace, role_name)
        missing = ""
        if rules is None:
            missing = f'{role_kind.lower()}.{RBAC_GROUP} "{role_name}" not found'
        where = (
            f'RoleBinding "{name_of(binding)}/{namespace}"'
            if namespace
            else (f'ClusterRoleBinding "{name_of(binding)}"')
        )
        for subject in binding.get("subjects") or ():
            key, spelled = _subject_key(subject, namespace)
            if key is None:
                continue
            reason = f'RBAC: allowed by {where} of {role_kind} "{role_name}" to {spelled}'
            grant = _Grant(order, reason, namespace, rules or (), missing)
            self._grants.setdefault(key, []).append(grant)

    def rules_of(self, kind: str, namespace: str, name: str) -> tuple[PolicyRule, ...] | None:
        """The compiled rules of a role, None if there is no such role."""
        key = (kind, namespace if kind == "Role" else "", name)
        if key not in self._compiled:
            resource = ROLES if kind == "Role" else CLUSTER_ROLES
            role = self._lookup.get(resource, key[1], name)
            self._compiled[key] = (
                None if role is None else tuple(compile_rule(r) for r in role.get("rules") or ())
            )
        return self._compiled[key]

    def grants(self, user: UserInfo, namespace: str) -> Iterator[_Grant]:
        """The user's grants that hold in `namespace`, in the order of their bindings."""
        keys = [("User", user.name), *(("Group", group) for group in user.groups)]
        held = [
            grant
            for key in keys
            for grant in self._grants.get(key, ())
            if not grant.namespace or grant.namespace == namespace
        ]
        yield from sorted(held, key=lambda grant: grant.order)


def _subject_key(subject: Object, namespace: str) -> tuple[tuple[str, str] | None, str]:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        home = subject.get("namespace") or namespace
        key = ("User", f"{SERVICE_ACCOUNT_PREFIX}{home}:{name}") if home else None
        return key, f'ServiceAccount "{name}/{home}"'
    if kind in ("User", "Group"):
        return (kind, name), f'{kind} "{name}"'
    return None, ""


class RbacAuthorizer:
    """Allows what a role allows, and has no opinion (not allowed, with a reason) otherwise."""

    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup
        self._version: tuple[int, ...] | None = None
        self._index: _Index | None = None

    def authorize(self, attributes: Attributes) -> Decision:
        index = self._current()
        user = attributes.user
        question = (
            user.name,
            user.groups,
            attributes.verb,
            attributes.group,
            attributes.resource,
            attributes.subresource,
            attributes.namespace,
            attributes.name,
            attributes.path,
        )
        decision = index.remembered.get(question)
        if decision is None:
            decision = _decide(index, attributes)
            if len(index.remembered) >= _REMEMBERED_MAX:
                index.remembered.clear()
            index.remembered[question] = decision
        return decision

    def rules_for(self, user: UserInfo, namespace: str) -> list[PolicyRule]:
        """All rules the user holds in the namespace (cluster-wide ones only, if it is empty)."""
        grants = self._current().grants(user, namespace)
        return [rule for grant in grants for rule in grant.rules]

    def role_rules(self, kind: str, namespace: str, name: str) -> tuple[PolicyRule, ...] | None:
        """The rules of a stored Role or ClusterRole; None if it does not exist."""
        return self._current().rules_of(kind, namespace, name)

    def escalation(
        self, user: UserInfo, namespace: str, wanted: tuple[PolicyRule, ...]
    ) -> str | None:
        """Why the user may not hand out these rules; None if they hold them all themselves.

        The caller asks first whether `escalate` or `bind` is granted, which overrides this.
        """
        if GROUP_MASTERS in user.groups:
            return None
        missing = uncovered_rules(self.rules_for(user, namespace), wanted)
        if not missing:
            return None
        groups = " ".join(f'"{group}"' for group in user.groups)
        return (
            f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions '
            "not currently held:\n" + "\n".join(describe_rules(missing))
        )

    def _current(self) -> _Index:
        version = tuple(self._lookup.version(resource) for resource in _RESOURCES)
        if self._index is None or version != self._version:
            self._index = _Index(self._lookup)
            self._version = version
        return self._index


def _decide(index: _Index, attributes: Attributes) -> Decision:
    missing: list[str] = []
    for grant in index.grants(attributes.user, attributes.namespace):
        if grant.missing_role:
            missing.append(grant.missing_role)
        for rule in grant.rules:
            if rule.allows(attributes):
                return Decision(True, grant.reason)
    if not missing:
        return Decision(False)
    text = missing[0] if len(missing) == 1 else f"[{', '.join(dict.fromkeys(missing))}]"
    return Decision(False, f"RBAC: {text}")
