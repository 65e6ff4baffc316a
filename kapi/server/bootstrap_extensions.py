"""The APIServices, FlowSchemas and PriorityLevelConfigurations that every cluster has.

Sources: k8s.io/kubernetes `pkg/controlplane/apiserver/aggregator.go` for the priorities,
`pkg/registry/flowcontrol/ensurer` for the others.
"""

import asyncio

from kapi import env
from kapi.api.object import Object, name_of
from kapi.registry.flowcontrol.mandatory import (
    bootstrap_flow_schemas,
    bootstrap_priority_levels,
)
from kapi.registry.resource import Resource
from kapi.registry.store import GenericStore
from kapi.registry.strategy import RequestContext
from kapi.server.bootstrap import API_SERVER, ensure
from kapi.server.call import Api
from kapi.server.decoding import private_copy

_API_SERVICES = "apiservices.apiregistration.k8s.io"
_FLOW_SCHEMAS = "flowschemas.flowcontrol.apiserver.k8s.io"
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
    await asyncio.gather(
        *(ensure(services, obj) for obj in api_services(rows)),
        *(ensure(levels, private_copy(obj)) for obj in bootstrap_priority_levels()),
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
    status = GenericStore(store.resource, store.backing, store.resource.subresource("status"))

    async def build(old: Object) -> Object:
        condition = {
            "type": "Dangling",
            "status": "False",
            "lastTransitionTime": env.timestamp(),
            "reason": "Found",
            "message": "This FlowSchema references the PriorityLevelConfiguration object named "
            f'"{level}" and it exists',
        }
        return {**old, "status": {"conditions": [condition]}}

    context = RequestContext(
        API_SERVER, field_manager="api-priority-and-fairness-config-consumer-v1"
    )
    await status.update(context, name_of(obj), build)
