"""Every built-in resource, one row each, in the order discovery lists them.

Routes, discovery, OpenAPI paths, storage keys and RBAC names all follow from these rows. Adding a
kind means a strategy in its group's folder, a row here, and a sample in the contract tests.
"""

from kapi.api.object import GroupVersionKind
from kapi.registry import extension_rows as extensions
from kapi.registry import subresources as sub
from kapi.registry.apiextensions.custom_resource_definition import CustomResourceDefinitionStrategy
from kapi.registry.apps.controller_revision import ControllerRevisionStrategy
from kapi.registry.apps.daemon_set import DaemonSetStrategy
from kapi.registry.apps.deployment import DeploymentStrategy
from kapi.registry.apps.replica_set import ReplicaSetStrategy
from kapi.registry.apps.stateful_set import StatefulSetStrategy
from kapi.registry.authentication.reviews import SelfSubjectReviewStrategy, TokenReviewStrategy
from kapi.registry.authorization import reviews as authorization
from kapi.registry.batch.cron_job import CronJobStrategy
from kapi.registry.batch.job import JobStrategy
from kapi.registry.coordination.lease import LeaseStrategy
from kapi.registry.core import pod as pods
from kapi.registry.core.component_status import DEPRECATION as COMPONENT_STATUS_DEPRECATION
from kapi.registry.core.component_status import ComponentStatusStrategy
from kapi.registry.core.config_map import ConfigMapStrategy
from kapi.registry.core.endpoints import DEPRECATION as ENDPOINTS_DEPRECATION
from kapi.registry.core.endpoints import EndpointsStrategy
from kapi.registry.core.event import EventStrategy
from kapi.registry.core.limit_range import LimitRangeStrategy
from kapi.registry.core.namespace import NamespaceFinalizeStrategy, NamespaceStrategy
from kapi.registry.core.node import NodeStrategy
from kapi.registry.core.persistent_volume import PersistentVolumeStrategy
from kapi.registry.core.persistent_volume_claim import PersistentVolumeClaimStrategy
from kapi.registry.core.pod_template import PodTemplateStrategy
from kapi.registry.core.replication_controller import ReplicationControllerStrategy
from kapi.registry.core.resource_quota import ResourceQuotaStrategy
from kapi.registry.core.secret import SecretStrategy
from kapi.registry.core.service import ServiceStrategy
from kapi.registry.core.service_account import ServiceAccountStrategy
from kapi.registry.discovery.endpoint_slice import EndpointSliceStrategy
from kapi.registry.events.conversion import from_core, to_core
from kapi.registry.events.event import NewEventStrategy
from kapi.registry.networking.addresses import IPAddressStrategy, ServiceCIDRStrategy
from kapi.registry.networking.ingress import IngressClassStrategy, IngressStrategy
from kapi.registry.networking.network_policy import NetworkPolicyStrategy
from kapi.registry.node.runtime_class import RuntimeClassStrategy
from kapi.registry.policy.pod_disruption_budget import PodDisruptionBudgetStrategy
from kapi.registry.rbac.bindings import ClusterRoleBindingStrategy, RoleBindingStrategy
from kapi.registry.rbac.roles import ClusterRoleStrategy, RoleStrategy
from kapi.registry.resource import ALL_VERBS, Resource, Subresource
from kapi.registry.scheduling.priority_class import PriorityClassStrategy
from kapi.registry.storage.classes import StorageClassStrategy, VolumeAttributesClassStrategy
from kapi.registry.storage.csi import (
    CSIDriverStrategy,
    CSINodeStrategy,
    CSIStorageCapacityStrategy,
    VolumeAttachmentStrategy,
)
from kapi.registry.strategy import Strategy

ALL = ("all",)


def builtin_resources(service_cidr: str, node_port_range: tuple[int, int]) -> tuple[Resource, ...]:
    """The rows, in upstream's discovery order.

    `service_cidr` is where Services get their cluster IPs (`10.96.0.0/12`); `node_port_range` is
    the first and last node port.
    """
    return (
        *_core_cluster(),
        *_core_workloads(),
        *_core_access(ServiceStrategy(service_cidr, node_port_range)),
        extensions.api_services(),
        *_apps(),
        _new_events(),
        *_reviews(),
        *extensions.autoscalers(),
        *_batch(),
        extensions.signing_requests(),
        *_networking(),
        _disruption_budgets(),
        *_rbac(),
        *_storage(),
        *extensions.admission_registrations(),
        _custom_resource_definitions(),
        _priority_classes(),
        _leases(),
        _runtime_classes(),
        _endpoint_slices(),
        *extensions.dynamic_resources(),
        *extensions.flow_control(),
    )


def _core_cluster() -> tuple[Resource, ...]:
    namespace, node = NamespaceStrategy(), NodeStrategy()
    finalize = NamespaceFinalizeStrategy(namespace)
    return (
        Resource(
            "", "v1", "Binding", "bindings", True, Strategy(), verbs=sub.CREATE, create_only=True
        ),
        Resource(
            "", "v1", "ComponentStatus", "componentstatuses", False, ComponentStatusStrategy(), "",
            ("cs",), verbs=("get", "list"), deprecation=COMPONENT_STATUS_DEPRECATION,
        ),
        Resource("", "v1", "ConfigMap", "configmaps", True, ConfigMapStrategy(), "", ("cm",)),
        Resource(
            "", "v1", "Endpoints", "endpoints", True, EndpointsStrategy(), "", ("ep",),
            deprecation=ENDPOINTS_DEPRECATION,
        ),
        Resource("", "v1", "Event", "events", True, EventStrategy(), "", ("ev",)),
        Resource(
            "", "v1", "LimitRange", "limitranges", True, LimitRangeStrategy(), "", ("limits",)
        ),
        Resource(
            "", "v1", "Namespace", "namespaces", False, namespace, "", ("ns",),
            verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
            subresources=(
                Subresource("finalize", "store", ("update",), strategy=finalize),
                sub.status(namespace),
            ),
        ),
        Resource(
            "", "v1", "Node", "nodes", False, node, "", ("no",),
            subresources=(sub.proxy("NodeProxyOptions"), sub.status(node)),
        ),
    )  # fmt: skip


def _core_workloads() -> tuple[Resource, ...]:
    pod, controller = pods.PodStrategy(), ReplicationControllerStrategy()
    claim, volume = PersistentVolumeClaimStrategy(), PersistentVolumeStrategy()
    eviction = GroupVersionKind("policy", "v1", "Eviction")
    ephemeral = pods.EphemeralContainersStrategy(pod)
    status = pods.PodStatusStrategy(pod)
    return (
        Resource(
            "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True, claim,
            "", ("pvc",), subresources=(sub.status(claim),),
        ),
        Resource(
            "", "v1", "PersistentVolume", "persistentvolumes", False, volume,
            "", ("pv",), subresources=(sub.status(volume),),
        ),
        Resource(
            "", "v1", "Pod", "pods", True, pod, "", ("po",), ALL,
            subresources=(
                sub.stream("attach", "PodAttachOptions"),
                Subresource("binding", "custom", sub.CREATE, sub.core_kind("Binding")),
                Subresource("ephemeralcontainers", "store", sub.STATUS_VERBS, strategy=ephemeral),
                Subresource("eviction", "custom", sub.CREATE, eviction),
                sub.stream("exec", "PodExecOptions"),
                Subresource("log", "connect", ("get",)),
                sub.stream("portforward", "PodPortForwardOptions"),
                sub.proxy("PodProxyOptions"),
                Subresource(
                    "resize", "store", sub.STATUS_VERBS, strategy=pods.ResizeStrategy(pod)
                ),
                Subresource("status", "store", sub.STATUS_VERBS, strategy=status),
            ),
        ),
        Resource("", "v1", "PodTemplate", "podtemplates", True, PodTemplateStrategy()),
        Resource(
            "", "v1", "ReplicationController", "replicationcontrollers", True, controller,
            "", ("rc",), ALL,
            subresources=(sub.scale(plain_selector=True), sub.status(controller)),
        ),
    )  # fmt: skip


def _core_access(service: ServiceStrategy) -> tuple[Resource, ...]:
    token = GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest")
    quota = ResourceQuotaStrategy()
    return (
        Resource(
            "", "v1", "ResourceQuota", "resourcequotas", True, quota, "", ("quota",),
            subresources=(sub.status(quota),),
        ),
        Resource("", "v1", "Secret", "secrets", True, SecretStrategy()),
        Resource(
            "", "v1", "ServiceAccount", "serviceaccounts", True, ServiceAccountStrategy(),
            "", ("sa",),
            subresources=(Subresource("token", "custom", sub.CREATE, token),),
        ),
        Resource(
            "", "v1", "Service", "services", True, service, "", ("svc",), ALL,
            subresources=(sub.proxy("ServiceProxyOptions"), sub.status(service)),
        ),
    )  # fmt: skip


def _apps() -> tuple[Resource, ...]:
    deployment, replica_set = DeploymentStrategy(), ReplicaSetStrategy()
    daemon_set, stateful_set = DaemonSetStrategy(), StatefulSetStrategy()
    revision = ControllerRevisionStrategy()
    return (
        Resource("apps", "v1", "ControllerRevision", "controllerrevisions", True, revision),
        Resource(
            "apps", "v1", "DaemonSet", "daemonsets", True, daemon_set, "", ("ds",), ALL,
            subresources=(sub.status(daemon_set),),
        ),
        Resource(
            "apps", "v1", "Deployment", "deployments", True, deployment, "", ("deploy",), ALL,
            subresources=(sub.scale(), sub.status(deployment, kept_metadata=("labels",))),
        ),
        Resource(
            "apps", "v1", "ReplicaSet", "replicasets", True, replica_set, "", ("rs",), ALL,
            subresources=(sub.scale(), sub.status(replica_set)),
        ),
        Resource(
            "apps", "v1", "StatefulSet", "statefulsets", True, stateful_set, "", ("sts",), ALL,
            subresources=(sub.scale(), sub.status(stateful_set)),
        ),
    )  # fmt: skip


def _new_events() -> Resource:
    return Resource(
        "events.k8s.io", "v1", "Event", "events", True, NewEventStrategy(), "", ("ev",),
        storage_resource="events", storage_version=sub.core_kind("Event"),
        to_storage=to_core, from_storage=from_core,
    )  # fmt: skip


def _question(group: str, kind: str, strategy: Strategy, *, namespaced: bool = False) -> Resource:
    plural = f"{kind.lower()}s"
    return Resource(
        group, "v1", kind, plural, namespaced, strategy, verbs=sub.CREATE, create_only=True
    )


def _reviews() -> tuple[Resource, ...]:
    who, may = "authentication.k8s.io", "authorization.k8s.io"
    local = authorization.LocalSubjectAccessReviewStrategy()
    own = authorization.SelfSubjectAccessReviewStrategy()
    rules = authorization.SelfSubjectRulesReviewStrategy()
    return (
        _question(who, "SelfSubjectReview", SelfSubjectReviewStrategy()),
        _question(who, "TokenReview", TokenReviewStrategy()),
        _question(may, "LocalSubjectAccessReview", local, namespaced=True),
        _question(may, "SelfSubjectAccessReview", own),
        _question(may, "SelfSubjectRulesReview", rules),
        _question(may, "SubjectAccessReview", authorization.SubjectAccessReviewStrategy()),
    )


def _rbac() -> tuple[Resource, ...]:
    group = "rbac.authorization.k8s.io"
    binding, cluster_binding = RoleBindingStrategy(), ClusterRoleBindingStrategy()
    return (
        Resource(group, "v1", "ClusterRoleBinding", "clusterrolebindings", False, cluster_binding),
        Resource(group, "v1", "ClusterRole", "clusterroles", False, ClusterRoleStrategy()),
        Resource(group, "v1", "RoleBinding", "rolebindings", True, binding),
        Resource(group, "v1", "Role", "roles", True, RoleStrategy()),
    )


def _batch() -> tuple[Resource, ...]:
    cron_job, job = CronJobStrategy(), JobStrategy()
    return (
        Resource(
            "batch", "v1", "CronJob", "cronjobs", True, cron_job, "", ("cj",), ALL,
            subresources=(sub.status(cron_job),),
        ),
        Resource(
            "batch", "v1", "Job", "jobs", True, job, categories=ALL,
            subresources=(sub.status(job),),
        ),
    )  # fmt: skip


def _networking() -> tuple[Resource, ...]:
    group = "networking.k8s.io"
    ingress, service_cidr = IngressStrategy(), ServiceCIDRStrategy()
    return (
        Resource(group, "v1", "IngressClass", "ingressclasses", False, IngressClassStrategy()),
        Resource(
            group, "v1", "Ingress", "ingresses", True, ingress, "", ("ing",),
            subresources=(sub.status(ingress),),
        ),
        # The keys are those of `service_allocator`, which writes most of these objects.
        Resource(
            group, "v1", "IPAddress", "ipaddresses", False, IPAddressStrategy(), "", ("ip",),
            storage_resource="ipaddresses",
        ),
        Resource(
            group, "v1", "NetworkPolicy", "networkpolicies", True, NetworkPolicyStrategy(),
            "", ("netpol",),
        ),
        Resource(
            group, "v1", "ServiceCIDR", "servicecidrs", False, service_cidr,
            subresources=(sub.status(service_cidr),),
        ),
    )  # fmt: skip


def _runtime_classes() -> Resource:
    strategy = RuntimeClassStrategy()
    return Resource("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", False, strategy)


def _disruption_budgets() -> Resource:
    budget = PodDisruptionBudgetStrategy()
    return Resource(
        "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", True, budget, "", ("pdb",),
        subresources=(sub.status(budget),),
    )  # fmt: skip


def _storage() -> tuple[Resource, ...]:
    group = "storage.k8s.io"
    attachment, attributes = VolumeAttachmentStrategy(), VolumeAttributesClassStrategy()
    capacity, storage_class = CSIStorageCapacityStrategy(), StorageClassStrategy()
    return (
        Resource(group, "v1", "CSIDriver", "csidrivers", False, CSIDriverStrategy()),
        Resource(group, "v1", "CSINode", "csinodes", False, CSINodeStrategy()),
        Resource(group, "v1", "CSIStorageCapacity", "csistoragecapacities", True, capacity),
        Resource(
            group, "v1", "StorageClass", "storageclasses", False, storage_class, "", ("sc",)
        ),
        Resource(
            group, "v1", "VolumeAttachment", "volumeattachments", False, attachment,
            subresources=(sub.status(attachment),),
        ),
        Resource(
            group, "v1", "VolumeAttributesClass", "volumeattributesclasses", False, attributes,
            "", ("vac",),
        ),
    )  # fmt: skip


def _custom_resource_definitions() -> Resource:
    strategy = CustomResourceDefinitionStrategy()
    return Resource(
        "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions",
        False, strategy, "", ("crd", "crds"), ("api-extensions",),
        subresources=(sub.status(strategy),),
        # As upstream's discovery has it; objects are stored as they are sent.
        storage_version=GroupVersionKind(
            "apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition"
        ),
    )  # fmt: skip


def _priority_classes() -> Resource:
    group, strategy = "scheduling.k8s.io", PriorityClassStrategy()
    return Resource(group, "v1", "PriorityClass", "priorityclasses", False, strategy, "", ("pc",))


def _leases() -> Resource:
    return Resource("coordination.k8s.io", "v1", "Lease", "leases", True, LeaseStrategy())


def _endpoint_slices() -> Resource:
    strategy = EndpointSliceStrategy()
    return Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", True, strategy)
