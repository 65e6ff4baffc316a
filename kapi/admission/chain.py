"""The plugins in upstream's order: all mutate, then (after validation) all validate."""

from collections.abc import Sequence

from kapi.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from kapi.admission.default_classes import DefaultIngressClass, DefaultStorageClass
from kapi.admission.default_toleration_seconds import DefaultTolerationSeconds
from kapi.admission.limit_ranger import LimitRanger
from kapi.admission.namespace_lifecycle import NamespaceLifecycle
from kapi.admission.node_restriction import NodeRestriction
from kapi.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from kapi.admission.plugin import AdmissionPlugin
from kapi.admission.pod_security import PodSecurity
from kapi.admission.pod_topology_labels import PodTopologyLabels
from kapi.admission.priority import Priority
from kapi.admission.rbac_escalation import RbacEscalation
from kapi.admission.resource_quota import ResourceQuota
from kapi.admission.runtime_class import RuntimeClass
from kapi.admission.service_account import ServiceAccount
from kapi.admission.storage_object_in_use_protection import StorageObjectInUseProtection
from kapi.admission.taint_nodes_by_condition import TaintNodesByCondition
from kapi.auth.interface import Authorizer, ObjectLookup
from kapi.auth.rbac import RbacAuthorizer
from kapi.registry.admission import AdmissionRequest
from kapi.storage.interface import Store


def default_plugins(
    lookup: ObjectLookup, authorizer: Authorizer, rbac: RbacAuthorizer, store: Store
) -> list[AdmissionPlugin]:
    """What is on without being asked for. Source: upstream's RecommendedPluginOrder."""
    return [
        NamespaceLifecycle(lookup),
        LimitRanger(lookup),
        ServiceAccount(lookup),
        NodeRestriction(lookup),
        TaintNodesByCondition(),
        PodSecurity(lookup),
        Priority(lookup),
        DefaultTolerationSeconds(),
        DefaultStorageClass(lookup),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(lookup),
        RuntimeClass(lookup),
        CertificateApproval(authorizer),
        CertificateSigning(authorizer),
        CertificateSubjectRestriction(),
        DefaultIngressClass(lookup),
        PodTopologyLabels(lookup),
        RbacEscalation(authorizer, rbac, lookup),
        # Last: nobody else may refuse what it has booked.
        ResourceQuota(lookup, store),
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
