"""Nobody hands out rights they do not hold.

Source: k8s.io/kubernetes `pkg/registry/rbac/{role,rolebinding}/policybased`.
"""

from kapi.admission.plugin import AdmissionPlugin, refuse
from kapi.api.errors import resource_not_found
from kapi.api.object import Object
from kapi.api.user import GROUP_MASTERS
from kapi.auth.interface import Attributes, Authorizer, ObjectLookup
from kapi.auth.rbac import RbacAuthorizer
from kapi.auth.rules import PolicyRule, compile_rule
from kapi.registry.admission import AdmissionRequest

_GROUP = "rbac.authorization.k8s.io"
_ROLES = ("roles", "clusterroles")
_BINDINGS = ("rolebindings", "clusterrolebindings")
_EVERYTHING = (
    PolicyRule(frozenset("*"), frozenset("*"), frozenset("*")),
    PolicyRule(frozenset("*"), paths=frozenset("*")),
)


class RbacEscalation(AdmissionPlugin):
    def __init__(self, authorizer: Authorizer, rbac: RbacAuthorizer, lookup: ObjectLookup) -> None:
        self._authorizer, self._rbac, self._lookup = authorizer, rbac, lookup

    def handles(self, request: AdmissionRequest) -> bool:
        return (
            request.resource.group == _GROUP
            and request.operation in ("CREATE", "UPDATE")
            and GROUP_MASTERS not in request.ctx.user.groups
        )

    async def validate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        if request.old is not None and _only_metadata_changed(request.obj, request.old):
            return
        plural = request.resource.plural
        if plural in _ROLES:
            self._check_role(request, request.obj)
        elif plural in _BINDINGS:
            self._check_binding(request, request.obj)

    def _may(self, request: AdmissionRequest, verb: str, resource: str, name: str) -> bool:
        attributes = Attributes(
            request.ctx.user,
            verb,
            _GROUP,
            request.resource.version,
            resource,
            namespace=request.namespace,
            name=name,
        )
        return self._authorizer.authorize(attributes).allowed

    def _check_role(self, request: AdmissionRequest, role: Object) -> None:
        if self._may(request, "escalate", request.resource.plural, request.name):
            return
        old = request.old or {}
        if role.get("aggregationRule") or old.get("aggregationRule"):
            if self._rbac.escalation(request.ctx.user, "", _EVERYTHING):
                raise refuse(
                    request, "must have cluster-admin privileges to use the aggregationRule"
                )
            return
        wanted = tuple(compile_rule(rule) for rule in role.get("rules") or ())
        self._refuse_escalation(request, wanted)

    def _check_binding(self, request: AdmissionRequest, binding: Object) -> None:
        reference = binding["roleRef"]
        resource = "roles" if reference["kind"] == "Role" else "clusterroles"
        if self._may(request, "bind", resource, reference["name"]):
            return
        rules = self._rbac.role_rules(reference["kind"], request.namespace, reference["name"])
        if rules is None:
            raise resource_not_found(resource, _GROUP, reference["name"])
        self._refuse_escalation(request, rules)

    def _refuse_escalation(self, request: AdmissionRequest, wanted: tuple[PolicyRule, ...]) -> None:
        why = self._rbac.escalation(request.ctx.user, request.namespace, wanted)
        if why:
            raise refuse(request, why)


def _only_metadata_changed(new: Object, old: Object) -> bool:
    """Is the content the same? Then only owners, finalizers, labels and the like differ."""
    return {key: value for key, value in new.items() if key != "metadata"} == {
        key: value for key, value in old.items() if key != "metadata"
    }
