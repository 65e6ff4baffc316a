"""The Service kube-dns in kube-system, and what the server's identity may read.

Written with an administrator's rights by the control plane; the server itself only reads.
"""

from typing import Any

from kapi.api.errors import AlreadyExists, NotFound
from kapi.api.object import Object
from kapi.client.client import CLUSTER_ROLES, ENDPOINT_SLICES, SERVICES, Client, ResourceRef

NAMESPACE = "kube-system"
SERVICE_NAME = "kube-dns"
USER = "system:kube-dns"

_CLUSTER_ROLE_BINDINGS = ResourceRef(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
# kubeadm's name for it.
_ROLE_NAME = "system:coredns"
# Anything but the controllers' names keeps them away from the slice.
_MANAGED_BY = "kapi-dns"


async def ensure_service(client: Client, address: str, port: int, cluster_ip: str) -> None:
    """Create or mend the Service and its slice: `cluster_ip`:53 leads to `address`:`port`.

    Raises ApiError, for one when `cluster_ip` belongs to another Service.
    """
    await _ensure(client, SERVICES, NAMESPACE, _service(cluster_ip))
    await _ensure(client, ENDPOINT_SLICES, NAMESPACE, _slice(address, port))


async def ensure_access(client: Client) -> None:
    """Let the DNS user read services, slices and namespaces.

    The bootstrap role system:kube-dns knows neither slices nor namespaces. Raises ApiError.
    """
    await _ensure(client, CLUSTER_ROLES, "", _role())
    await _ensure(client, _CLUSTER_ROLE_BINDINGS, "", _role_binding())


async def _ensure(client: Client, resource: ResourceRef, namespace: str, wanted: Object) -> None:
    """Create, or set the fields that differ; fields that `wanted` does not name stay."""
    name = wanted["metadata"]["name"]
    try:
        present = await client.get(resource, namespace, name)
    except NotFound:
        try:
            await client.create(resource, namespace, wanted)
            return
        except AlreadyExists:
            present = await client.get(resource, namespace, name)
    patch = _difference(present, wanted)
    if patch:
        await client.patch(resource, namespace, name, patch)


def _difference(present: Object, wanted: Object) -> dict[str, Any]:
    """A merge patch; lists count as one value, objects are compared field by field."""
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        have = present.get(key)
        if isinstance(value, dict) and isinstance(have, dict):
            if inner := _difference(have, value):
                patch[key] = inner
        elif not _covers(have, value):
            patch[key] = value
    return patch


def _covers(have: Any, wanted: Any) -> bool:
    """Whether `have` says all that `wanted` says; the server may have added defaults."""
    if isinstance(wanted, dict):
        return isinstance(have, dict) and all(_covers(have.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(have, list)
            and len(have) == len(wanted)
            and all(_covers(a, b) for a, b in zip(have, wanted, strict=True))
        )
    return bool(have == wanted)


def _service(cluster_ip: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": SERVICE_NAME,
            "namespace": NAMESPACE,
            "labels": {
                "k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster_ip,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    }


def _slice(address: str, port: int) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": SERVICE_NAME,
            "namespace": NAMESPACE,
            "labels": {
                "kubernetes.io/service-name": SERVICE_NAME,
                "endpointslice.kubernetes.io/managed-by": _MANAGED_BY,
                "k8s-app": "kube-dns",
            },
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [
            {"name": "dns", "port": port, "protocol": "UDP"},
            {"name": "dns-tcp", "port": port, "protocol": "TCP"},
        ],
    }


def _role() -> Object:
    verbs = ["list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _ROLE_NAME},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": verbs},
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": verbs,
            },
        ],
    }


def _role_binding() -> Object:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _ROLE_NAME},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": _ROLE_NAME},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
    }
