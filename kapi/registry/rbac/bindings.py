"""RoleBinding and ClusterRoleBinding."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError, invalid, not_supported, required
from kapi.api.names import dns_subdomain_errors, path_segment_errors
from kapi.api.object import Object, name_of
from kapi.registry.fields import complaints
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

RBAC_GROUP = "rbac.authorization.k8s.io"


_SUBJECT_KINDS = ("ServiceAccount", "User", "Group")


def _role_reference(role: Object, *, cluster: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if role.get("apiGroup") != RBAC_GROUP:
        errors.append(not_supported("roleRef.apiGroup", role.get("apiGroup"), (RBAC_GROUP,)))
    kinds = ("ClusterRole",) if cluster else ("Role", "ClusterRole")
    if role.get("kind") not in kinds:
        errors.append(not_supported("roleRef.kind", role.get("kind") or "", kinds))
    name = str(role.get("name") or "")
    if not name:
        errors.append(required("roleRef.name"))
    return errors + complaints("roleRef.name", name, path_segment_errors(name))


def _subject(subject: Object, path: str, *, cluster: bool) -> list[FieldError]:
    kind, name = subject.get("kind") or "", str(subject.get("name") or "")
    errors = [] if name else [required(f"{path}.name")]
    group = subject.get("apiGroup") or ""
    if kind == "ServiceAccount":
        if name:
            errors += complaints(f"{path}.name", name, dns_subdomain_errors(name))
        if group:
            errors.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if cluster and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
    elif kind in _SUBJECT_KINDS:
        if group != RBAC_GROUP:
            errors.append(not_supported(f"{path}.apiGroup", group, (RBAC_GROUP,)))
    else:
        errors.append(not_supported(f"{path}.kind", kind, _SUBJECT_KINDS))
    return errors


_ROLE_TEXTS = {
    "RoleBinding": (
        "RoleRef can reference a Role in the current namespace or a ClusterRole in the global "
        "namespace. If the RoleRef cannot be resolved, the Authorizer must return an error."
    ),
    "ClusterRoleBinding": (
        "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot "
        "be resolved, the Authorizer must return an error."
    ),
}


def _columns(kind: str) -> tuple[Column, ...]:
    shown = kind[0].lower() + kind[1:]
    return (
        NAME_COLUMN,
        Column("Role", about=_ROLE_TEXTS[kind]),
        AGE_COLUMN,
        Column("Users", priority=1, about=f"Users in the {shown}"),
        Column("Groups", priority=1, about=f"Groups in the {shown}"),
        Column("ServiceAccounts", priority=1, about=f"ServiceAccounts in the {shown}"),
    )


class RoleBindingStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/rbac/rolebinding/strategy.go`."""

    allow_create_on_update = True
    cluster = False
    columns = _columns("RoleBinding")

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        role = obj.setdefault("roleRef", {})
        if not role.get("apiGroup"):
            role["apiGroup"] = RBAC_GROUP
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = RBAC_GROUP

    def validate(self, obj: Object) -> list[FieldError]:
        errors = _role_reference(obj.get("roleRef") or {}, cluster=self.cluster)
        for index, subject in enumerate(obj.get("subjects") or ()):
            errors += _subject(subject, f"subjects[{index}]", cluster=self.cluster)
        return errors

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        errors = self.validate(obj)
        role = obj.get("roleRef") or {}
        if role != (old.get("roleRef") or {}):
            shown = {
                "APIGroup": role.get("apiGroup") or "",
                "Kind": role.get("kind") or "",
                "Name": role.get("name") or "",
            }
            errors.append(invalid("roleRef", shown, "cannot change roleRef"))
        return errors

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
    columns = _columns("ClusterRoleBinding")
