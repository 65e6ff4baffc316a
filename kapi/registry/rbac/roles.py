"""Role and ClusterRole, which differ in scope and in what a rule may name."""

from kapi.api.errors import FieldError, invalid, required
from kapi.api.names import path_segment_errors
from kapi.api.object import Object
from kapi.api.selectors import validate_label_selector
from kapi.registry.strategy import Strategy


class RoleStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/rbac/role/strategy.go`."""

    allow_create_on_update = True
    cluster = False

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def canonicalize(self, obj: Object) -> None:
        """No rules are stored as null; nobody owns that."""
        obj["rules"] = obj.get("rules") or None

    def validate(self, obj: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        for index, rule in enumerate(obj.get("rules") or ()):
            errors += policy_rule(rule, f"rules[{index}]", cluster=self.cluster)
        return errors


class ClusterRoleStrategy(RoleStrategy):
    """Adds non-resource URLs and aggregation."""

    cluster = True

    def validate(self, obj: Object) -> list[FieldError]:
        errors = super().validate(obj)
        aggregation = obj.get("aggregationRule")
        if aggregation is None:
            return errors
        path = "aggregationRule.clusterRoleSelectors"
        selectors = aggregation.get("clusterRoleSelectors") or []
        if not selectors:
            text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            errors.append(required(path, text))
        for index, selector in enumerate(selectors):
            own = f"{path}[{index}]"
            wrong = validate_label_selector(selector, own)
            errors += wrong
            if wrong:
                errors.append(invalid(own, None, "invalid label selector."))
        return errors


def policy_rule(rule: Object, path: str, *, cluster: bool) -> list[FieldError]:
    """One rule, about resources or about URLs.

    Source: `ValidatePolicyRule` in k8s.io/kubernetes `pkg/apis/rbac/validation/validation.go`.
    """
    errors: list[FieldError] = []
    if not rule.get("verbs"):
        errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs") or []
    if urls:
        own = f"{path}.nonResourceURLs"
        if not cluster:
            text = "namespaced rules cannot apply to non-resource URLs"
            errors.append(invalid(own, urls, text))
        if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(invalid(own, urls, text))
        return errors
    if not rule.get("apiGroups"):
        text = "resource rules must supply at least one api group"
        errors.append(required(f"{path}.apiGroups", text))
    if not rule.get("resources"):
        text = "resource rules must supply at least one resource"
        errors.append(required(f"{path}.resources", text))
    return errors
