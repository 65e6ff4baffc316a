"""Role and ClusterRole, which differ in scope and in what a rule may name."""

from kapi.api.object import Object
from kapi.registry.strategy import Strategy


class RoleStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/rbac/role/strategy.go`."""

    allow_create_on_update = True
    cluster = False

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        obj["rules"] = obj.get("rules") or None


class ClusterRoleStrategy(RoleStrategy):
    """Adds non-resource URLs and aggregation."""

    cluster = True


def path_segment_errors(name: str, *, prefix: bool) -> list[str]:
    """RBAC names need only be usable as one segment of a URL path."""
    if not prefix and name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{item}'" for item in ("/", "%") if item in name]
