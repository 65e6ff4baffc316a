"""RoleBinding and ClusterRoleBinding."""

from datetime import datetime
from typing import Any

from kapi.api.object import Object, name_of
from kapi.registry.rbac.roles import path_segment_errors
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

RBAC_GROUP = "rbac.authorization.k8s.io"


class RoleBindingStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/rbac/rolebinding/strategy.go`."""

    allow_create_on_update = True
    cluster = False
    columns = (
        NAME_COLUMN,
        Column("Role"),
        AGE_COLUMN,
        Column("Users", priority=1),
        Column("Groups", priority=1),
        Column("ServiceAccounts", priority=1),
    )

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        role = obj.setdefault("roleRef", {})
        if not role.get("apiGroup"):
            role["apiGroup"] = RBAC_GROUP
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = RBAC_GROUP

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        role = obj.get("roleRef") or {}
        users, groups, accounts = [], [], []
        for subject in obj.get("subjects") or ():
            kind, name = subject.get("kind"), str(subject.get("name", ""))
            if kind == "User":
                users.append(name)
            elif kind == "Group":
                groups.append(name)
            elif kind == "ServiceAccount":
                accounts.append(f"{subject.get('namespace', '')}/{name}")
        return [
            name_of(obj),
            f"{role.get('kind', '')}/{role.get('name', '')}",
            age(obj, now),
            ", ".join(users),
            ", ".join(groups),
            ", ".join(accounts),
        ]


class ClusterRoleBindingStrategy(RoleBindingStrategy):
    """Refers to ClusterRoles only."""

    cluster = True
