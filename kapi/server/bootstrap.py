"""What a cluster holds before anyone asks: system namespaces, default roles, its own Service.

Sources: k8s.io/kubernetes `pkg/controlplane/controller/{systemnamespaces,kubernetesservice}` and
`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`.
"""

import asyncio
import ipaddress
import logging

from kapi.api import errors
from kapi.api.object import Object, annotations_of, name_of, namespace_of
from kapi.api.schema import kind_schema
from kapi.api.user import GROUP_MASTERS, UserInfo
from kapi.auth.bootstrap import AUTOUPDATE, RBAC_GROUP, bootstrap_objects
from kapi.registry.store import GenericStore
from kapi.registry.strategy import RequestContext
from kapi.server.call import Api
from kapi.server.decoding import apply_defaults, private_copy

_log = logging.getLogger(__name__)

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
API_SERVER = UserInfo("system:apiserver", groups=(GROUP_MASTERS,))
_PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
}


def internal_context(namespace: str = "", manager: str = "kube-apiserver") -> RequestContext:
    """Another server may be bringing the same objects up to date: its writes are built upon."""
    context = RequestContext(API_SERVER, namespace=namespace, field_manager=manager)
    context.retry_conflicts = True
    return context


async def ensure(store: GenericStore, obj: Object, manager: str = "kube-apiserver") -> bool:
    """Create the object unless it is there; says whether it was created."""
    namespace, name = namespace_of(obj), name_of(obj)
    if store.backing.cache.get(store.resource.key(namespace, name)) is not None:
        return False
    row = store.resource
    apply_defaults(obj, kind_schema(row.group, row.version, row.kind), row.strategy)
    try:
        await store.create(internal_context(namespace, manager), obj)
    except errors.AlreadyExists:
        return False
    return True


async def bootstrap(api: Api) -> None:
    """Bring the cluster's own objects to what they should be."""
    namespaces = api.store_of("namespaces")
    await asyncio.gather(*(ensure(namespaces, _namespace(name)) for name in SYSTEM_NAMESPACES))
    await namespaces.fresh()
    await asyncio.gather(*(_ensure_rbac(api, obj) for obj in bootstrap_objects()))
    await _ensure_kubernetes_service(api)


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def _ensure_rbac(api: Api, obj: Object) -> None:
    """Create the role or binding, or add what an older one lacks (unless autoupdate is off)."""
    store = api.store_of(f"{_PLURALS[obj['kind']]}.{RBAC_GROUP}")
    if await ensure(store, private_copy(obj)):
        return
    field = "rules" if "rules" in obj else "subjects"

    async def build(old: Object) -> Object:
        if annotations_of(old).get(AUTOUPDATE) != "true":
            return old
        present = old.get(field) or []
        missing = [item for item in obj.get(field) or [] if item not in present]
        if missing:
            old[field] = [*present, *missing]
        return old

    if "aggregationRule" not in obj:
        await store.update(internal_context(namespace_of(obj)), name_of(obj), build)


async def _ensure_kubernetes_service(api: Api) -> None:
    """The Service `kubernetes` on the first service address, pointing at this server."""
    config = api.config
    first = str(next(ipaddress.ip_network(config.service_cidr).hosts()))
    labels = {"component": "apiserver", "provider": "kubernetes"}
    meta = {"name": "kubernetes", "namespace": "default", "labels": labels}
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.advertise_port}
    await ensure(
        api.store_of("services"),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": dict(meta),
            "spec": {
                "type": "ClusterIP",
                "clusterIP": first,
                "clusterIPs": [first],
                "ports": [port],
                "sessionAffinity": "None",
            },
        },
    )
