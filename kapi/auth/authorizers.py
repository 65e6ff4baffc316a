"""How authorizers are put together: the masters' short cut, then each in order."""

from collections.abc import Sequence

from kapi.api.user import GROUP_MASTERS
from kapi.auth.interface import Attributes, Authorizer, Decision, ObjectLookup
from kapi.auth.node_authorizer import NodeAuthorizer
from kapi.auth.rbac import RbacAuthorizer

_MASTER = Decision(True)


class UnionAuthorizer:
    """The first authorizer that allows wins; if none does, their reasons are joined by newlines."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def authorize(self, attributes: Attributes) -> Decision:
        if GROUP_MASTERS in attributes.user.groups:
            return _MASTER
        reasons = []
        for authorizer in self._authorizers:
            decision = authorizer.authorize(attributes)
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "\n".join(reasons))


def cluster_authorizer(lookup: ObjectLookup, rbac_lookup: ObjectLookup | None = None) -> Authorizer:
    """What upstream calls `--authorization-mode=Node,RBAC`.

    `rbac_lookup` is where roles and bindings come from, if not from `lookup`.
    """
    return UnionAuthorizer((NodeAuthorizer(lookup), RbacAuthorizer(rbac_lookup or lookup)))
