"""Every built-in resource, one row each, in the order discovery lists them.

Routes, discovery, OpenAPI paths, storage keys and RBAC names all follow from these rows. Adding a
kind means a strategy in its group's folder, a row here, and a sample in the contract tests.
"""

from kapi.api.object import GroupVersionKind, Object
from kapi.registry.apps.deployment import DeploymentStrategy
from kapi.registry.apps.replica_set import ReplicaSetStrategy
from kapi.registry.authentication.reviews import SelfSubjectReviewStrategy, TokenReviewStrategy
from kapi.registry.authorization.reviews import (
    LocalSubjectAccessReviewStrategy,
    SelfSubjectAccessReviewStrategy,
    SelfSubjectRulesReviewStrategy,
    SubjectAccessReviewStrategy,
)
from kapi.registry.cells import selector_string
from kapi.registry.coordination.lease import LeaseStrategy
from kapi.registry.core.config_map import ConfigMapStrategy
from kapi.registry.core.endpoints import EndpointsStrategy
from kapi.registry.core.event import EventStrategy
from kapi.registry.core.namespace import NamespaceFinalizeStrategy, NamespaceStrategy
from kapi.registry.core.node import NodeStrategy
from kapi.registry.core.pod import (
    EphemeralContainersStrategy,
    PodStatusStrategy,
    PodStrategy,
    ResizeStrategy,
)
from kapi.registry.core.replication_controller import ReplicationControllerStrategy
from kapi.registry.core.secret import SecretStrategy
from kapi.registry.core.service import ServiceStrategy
from kapi.registry.core.service_account import ServiceAccountStrategy
from kapi.registry.discovery.endpoint_slice import EndpointSliceStrategy
from kapi.registry.events.conversion import from_core, to_core
from kapi.registry.events.event import NewEventStrategy
from kapi.registry.rbac.bindings import ClusterRoleBindingStrategy, RoleBindingStrategy
from kapi.registry.rbac.roles import ClusterRoleStrategy, RoleStrategy
from kapi.registry.resource import Resource, ScaleFacts, Subresource
from kapi.registry.status import StatusStrategy
from kapi.registry.strategy import Strategy

STATUS_VERBS = ("get", "patch", "update")
PROXY_VERBS = ("create", "delete", "get", "patch", "update")
STREAM_VERBS = ("create", "get")
CREATE = ("create",)

SCALE = GroupVersionKind("autoscaling", "v1", "Scale")
ALL = ("all",)


def builtin_resources(service_cidr: str, node_port_range: tuple[int, int]) -> tuple[Resource, ...]:
    """The rows, in upstream's discovery order.

    `service_cidr` is where Services get their cluster IPs (`10.96.0.0/12`); `node_port_range` is
    the first and last node port.
    """
    return (
        *_core(service_cidr, node_port_range),
        *_core_workloads(),
        *_apps(),
        _new_events(),
        *_authentication(),
        *_authorization(),
        *_rbac(),
        _leases(),
        _endpoint_slices(),
    )


def _status(main: Strategy, *, kept_metadata: tuple[str, ...] = ()) -> Subresource:
    strategy = StatusStrategy(main, kept_metadata=kept_metadata)
    return Subresource("status", "store", STATUS_VERBS, strategy=strategy)


def _scale(facts: ScaleFacts) -> Subresource:
    return Subresource("scale", "scale", STATUS_VERBS, kind=SCALE, scale=facts)


def _label_selector(obj: Object) -> str:
    return selector_string((obj.get("spec") or {}).get("selector"))


def _plain_selector(obj: Object) -> str:
    return selector_string({"matchLabels": (obj.get("spec") or {}).get("selector")})


def _core_kind(kind: str) -> GroupVersionKind:
    return GroupVersionKind("", "v1", kind)


def _core(service_cidr: str, node_port_range: tuple[int, int]) -> tuple[Resource, ...]:
    namespace, node = NamespaceStrategy(), NodeStrategy()
    service = ServiceStrategy(service_cidr, node_port_range)
    return (
        Resource(
            "",
            "v1",
            "Binding",
            "bindings",
            True,
            Strategy(),
            singular="binding",
            verbs=CREATE,
            create_only=True,
        ),
        Resource(
            "",
            "v1",
            "ConfigMap",
            "configmaps",
            True,
            ConfigMapStrategy(),
            singular="configmap",
            short_names=("cm",),
        ),
        Resource(
            "",
            "v1",
            "Endpoints",
            "endpoints",
            True,
            EndpointsStrategy(),
            singular="endpoints",
            short_names=("ep",),
        ),
        Resource(
            "",
            "v1",
            "Event",
            "events",
            True,
            EventStrategy(),
            singular="event",
            short_names=("ev",),
        ),
        Resource(
            "",
            "v1",
            "Namespace",
            "namespaces",
            False,
            namespace,
            singular="namespace",
            short_names=("ns",),
            verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
            subresources=(
                Subresource(
                    "finalize",
                    "store",
                    ("update",),
                    strategy=NamespaceFinalizeStrategy(namespace),
                ),
                _status(namespace),
            ),
        ),
        Resource(
            "",
            "v1",
            "Node",
            "nodes",
            False,
            node,
            singular="node",
            short_names=("no",),
            subresources=(
                Subresource("proxy", "connect", PROXY_VERBS, _core_kind("NodeProxyOptions")),
                _status(node),
            ),
        ),
        Resource("", "v1", "Secret", "secrets", True, SecretStrategy(), singular="secret"),
        Resource(
            "",
            "v1",
            "ServiceAccount",
            "serviceaccounts",
            True,
            ServiceAccountStrategy(),
            singular="serviceaccount",
            short_names=("sa",),
            subresources=(
                Subresource(
                    "token",
                    "custom",
                    CREATE,
                    GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest"),
                ),
            ),
        ),
        Resource(
            "",
            "v1",
            "Service",
            "services",
            True,
            service,
            singular="service",
            short_names=("svc",),
            categories=ALL,
            subresources=(
                Subresource("proxy", "connect", PROXY_VERBS, _core_kind("ServiceProxyOptions")),
                _status(service),
            ),
        ),
    )


def _core_workloads() -> tuple[Resource, ...]:
    pod, controller = PodStrategy(), ReplicationControllerStrategy()
    return (
        Resource(
            "",
            "v1",
            "Pod",
            "pods",
            True,
            pod,
            singular="pod",
            short_names=("po",),
            categories=ALL,
            subresources=(
                Subresource("attach", "connect", STREAM_VERBS, _core_kind("PodAttachOptions")),
                Subresource("binding", "custom", CREATE, _core_kind("Binding")),
                Subresource(
                    "ephemeralcontainers",
                    "store",
                    STATUS_VERBS,
                    strategy=EphemeralContainersStrategy(pod),
                ),
                Subresource(
                    "eviction", "custom", CREATE, GroupVersionKind("policy", "v1", "Eviction")
                ),
                Subresource("exec", "connect", STREAM_VERBS, _core_kind("PodExecOptions")),
                Subresource("log", "connect", ("get",)),
                Subresource(
                    "portforward", "connect", STREAM_VERBS, _core_kind("PodPortForwardOptions")
                ),
                Subresource("proxy", "connect", PROXY_VERBS, _core_kind("PodProxyOptions")),
                Subresource("resize", "store", STATUS_VERBS, strategy=ResizeStrategy(pod)),
                Subresource("status", "store", STATUS_VERBS, strategy=PodStatusStrategy(pod)),
            ),
        ),
        Resource(
            "",
            "v1",
            "ReplicationController",
            "replicationcontrollers",
            True,
            controller,
            singular="replicationcontroller",
            short_names=("rc",),
            categories=ALL,
            subresources=(_scale(ScaleFacts(_plain_selector)), _status(controller)),
        ),
    )


def _apps() -> tuple[Resource, ...]:
    deployment, replica_set = DeploymentStrategy(), ReplicaSetStrategy()
    scale = _scale(ScaleFacts(_label_selector))
    return (
        Resource(
            "apps",
            "v1",
            "Deployment",
            "deployments",
            True,
            deployment,
            singular="deployment",
            short_names=("deploy",),
            categories=ALL,
            subresources=(scale, _status(deployment, kept_metadata=("labels",))),
        ),
        Resource(
            "apps",
            "v1",
            "ReplicaSet",
            "replicasets",
            True,
            replica_set,
            singular="replicaset",
            short_names=("rs",),
            categories=ALL,
            subresources=(scale, _status(replica_set)),
        ),
    )


def _new_events() -> Resource:
    return Resource(
        "events.k8s.io",
        "v1",
        "Event",
        "events",
        True,
        NewEventStrategy(),
        singular="event",
        short_names=("ev",),
        storage_resource="events",
        storage_version=_core_kind("Event"),
        to_storage=to_core,
        from_storage=from_core,
    )


def _question(group: str, kind: str, strategy: Strategy, *, namespaced: bool = False) -> Resource:
    name = kind.lower()
    return Resource(
        group,
        "v1",
        kind,
        f"{name}s",
        namespaced,
        strategy,
        singular=name,
        verbs=CREATE,
        create_only=True,
    )


def _authentication() -> tuple[Resource, ...]:
    group = "authentication.k8s.io"
    return (
        _question(group, "SelfSubjectReview", SelfSubjectReviewStrategy()),
        _question(group, "TokenReview", TokenReviewStrategy()),
    )


def _authorization() -> tuple[Resource, ...]:
    group = "authorization.k8s.io"
    local = LocalSubjectAccessReviewStrategy()
    return (
        _question(group, "LocalSubjectAccessReview", local, namespaced=True),
        _question(group, "SelfSubjectAccessReview", SelfSubjectAccessReviewStrategy()),
        _question(group, "SelfSubjectRulesReview", SelfSubjectRulesReviewStrategy()),
        _question(group, "SubjectAccessReview", SubjectAccessReviewStrategy()),
    )


def _rbac() -> tuple[Resource, ...]:
    group = "rbac.authorization.k8s.io"
    return (
        Resource(
            group,
            "v1",
            "ClusterRoleBinding",
            "clusterrolebindings",
            False,
            ClusterRoleBindingStrategy(),
            singular="clusterrolebinding",
        ),
        Resource(
            group,
            "v1",
            "ClusterRole",
            "clusterroles",
            False,
            ClusterRoleStrategy(),
            singular="clusterrole",
        ),
        Resource(
            group,
            "v1",
            "RoleBinding",
            "rolebindings",
            True,
            RoleBindingStrategy(),
            singular="rolebinding",
        ),
        Resource(group, "v1", "Role", "roles", True, RoleStrategy(), singular="role"),
    )


def _leases() -> Resource:
    return Resource(
        "coordination.k8s.io", "v1", "Lease", "leases", True, LeaseStrategy(), singular="lease"
    )


def _endpoint_slices() -> Resource:
    return Resource(
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        "endpointslices",
        True,
        EndpointSliceStrategy(),
        singular="endpointslice",
    )
