"""The APIServices, FlowSchemas, PriorityClasses and the ServiceCIDR that every cluster has.

What every namespace has is put into the system's own here too.

Sources: k8s.io/kubernetes `pkg/controlplane/apiserver/aggregator.go` for the priorities of groups,
`pkg/registry/flowcontrol/ensurer` for FlowSchemas and their levels,
`pkg/registry/scheduling/rest` for PriorityClasses,
`pkg/controlplane/controller/defaultservicecidr` for the ServiceCIDR.
"""

import asyncio

from kapi import env
from kapi.api.object import Object, name_of
from kapi.registry.flowcontrol.mandatory import (
    bootstrap_flow_schemas,
    bootstrap_priority_levels,
)
from kapi.registry.resource import Resource
from kapi.registry.scheduling.priority_class import system_priority_classes
from kapi.registry.store import GenericStore
from kapi.server.bootstrap import SYSTEM_NAMESPACES, ensure, internal_context
from kapi.server.call import Api
from kapi.server.decoding import private_copy
from kapi.server.namespace_content import fill_namespace

_API_SERVICES = "apiservices.apiregistration.k8s.io"
_FLOW_SCHEMAS = "flowschemas.flowcontrol.apiserver.k8s.io"
_PRIORITY_CLASSES = "priorityclasses.scheduling.k8s.io"
_SERVICE_CIDRS = "servicecidrs.networking.k8s.io"
_PRIORITY_LEVELS = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
_GROUP_PRIORITIES = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
}
_VERSION_PRIORITIES = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("resource.k8s.io", "v1"): 21,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
}
_USUAL_VERSION_PRIORITY = 15


async def bootstrap_extensions(api: Api) -> None:
    """Create what is missing; what users changed stays as it is."""
    rows = [store.resource for store in api.stores.values()]
    services, levels = api.store_of(_API_SERVICES), api.store_of(_PRIORITY_LEVELS)
    classes = api.store_of(_PRIORITY_CLASSES)
    await asyncio.gather(
        *(ensure(classes, obj) for obj in system_priority_classes()),
        *(ensure(services, obj) for obj in api_services(rows)),
        *(ensure(levels, private_copy(obj)) for obj in bootstrap_priority_levels()),
        _ensure_service_cidr(api),
        *(fill_namespace(api, name) for name in SYSTEM_NAMESPACES),
    )
    await asyncio.gather(*(_ensure_flow_schema(api, obj) for obj in bootstrap_flow_schemas()))


def api_services(rows: list[Resource]) -> list[Object]:
    """One APIService per group and version that this server answers for itself."""
    served = sorted({(row.group, row.version) for row in rows if row.group in _GROUP_PRIORITIES})
    return [_api_service(group, version) for group, version in served]


def _api_service(group: str, version: str) -> Object:
    spec: Object = {
        "version": version,
        "groupPriorityMinimum": _GROUP_PRIORITIES[group],
        "versionPriority": _VERSION_PRIORITIES.get((group, version), _USUAL_VERSION_PRIORITY),
    }
    if group:
        spec["group"] = group
    labels = {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": labels},
        "spec": spec,
    }


async def _ensure_flow_schema(api: Api, obj: Object) -> None:
    store = api.store_of(_FLOW_SCHEMAS)
    if not await ensure(store, private_copy(obj)):
        return
    level = obj["spec"]["priorityLevelConfiguration"]["name"]
    condition = {
        "type": "Dangling",
        "status": "False",
        "reason": "Found",
        "message": "This FlowSchema references the PriorityLevelConfiguration object named "
        f'"{level}" and it exists',
    }
    manager = "api-priority-and-fairness-config-consumer-v1"
    await _set_condition(store, name_of(obj), condition, manager)


async def _ensure_service_cidr(api: Api) -> None:
    """The range that the server itself was given to take service addresses from."""
    store = api.store_of(_SERVICE_CIDRS)
    cidr: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [api.config.service_cidr]},
    }
    if not await ensure(store, cidr):
        return
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes Service CIDR is ready",
    }
    await _set_condition(store, "kubernetes", condition, "kube-apiserver")


async def _set_condition(store: GenericStore, name: str, condition: Object, manager: str) -> None:
    """Make this the one condition of a new object, as of now."""
    status = GenericStore(store.resource, store.backing, store.resource.subresource("status"))

    async def build(old: Object) -> Object:
        now = {**condition, "lastTransitionTime": env.timestamp()}
        return {**old, "status": {"conditions": [now]}}

    await status.update(internal_context(manager=manager), name, build)
