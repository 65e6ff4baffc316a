"""The plugins in upstream's order: all mutate, then (after validation) all validate."""

from collections.abc import Sequence

from kapi.admission.default_toleration_seconds import DefaultTolerationSeconds
from kapi.admission.namespace_lifecycle import NamespaceLifecycle
from kapi.admission.node_restriction import NodeRestriction
from kapi.admission.plugin import AdmissionPlugin
from kapi.admission.pod_topology_labels import PodTopologyLabels
from kapi.admission.priority import Priority
from kapi.admission.rbac_escalation import RbacEscalation
from kapi.admission.service_account import ServiceAccount
from kapi.admission.taint_nodes_by_condition import TaintNodesByCondition
from kapi.auth.interface import Authorizer, ObjectLookup
from kapi.auth.rbac import RbacAuthorizer
from kapi.registry.admission import AdmissionRequest


def default_plugins(
    lookup: ObjectLookup, authorizer: Authorizer, rbac: RbacAuthorizer
) -> list[AdmissionPlugin]:
    """What is on without being asked for. Source: upstream's RecommendedPluginOrder."""
    return [
        NamespaceLifecycle(lookup),
        ServiceAccount(lookup),
        NodeRestriction(lookup),
        TaintNodesByCondition(),
        Priority(lookup),
        DefaultTolerationSeconds(),
        PodTopologyLabels(lookup),
        RbacEscalation(authorizer, rbac, lookup),
    ]


class AdmissionChain:
    """Calls each plugin for the operations and resources it names."""

    def __init__(self, plugins: Sequence[AdmissionPlugin]) -> None:
        self._plugins = tuple(plugins)

    async def mutate(self, request: AdmissionRequest) -> None:
        for plugin in self._plugins:
            if plugin.handles(request):
                await plugin.mutate(request)

    async def validate(self, request: AdmissionRequest) -> None:
        for plugin in self._plugins:
            if plugin.handles(request):
                await plugin.validate(request)
