"""Requests by kind, over any transport.

Errors of the server arrive as `kapi.api.errors.ApiError` subclasses, a lost server as
ConnectionError. Nothing is retried here: callers decide.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from kapi.api.errors import from_status
from kapi.api.object import Object
from kapi.client.interface import Response, Transport

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

JSON = "application/json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

Body: TypeAlias = Object | list[Any]


@dataclass(frozen=True, slots=True)
class ResourceRef:
    """A resource as it appears in paths."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace:
            root += f"/namespaces/{namespace}"
        parts = [root, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


NAMESPACES = ResourceRef("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = ResourceRef("", "v1", "nodes", "Node", namespaced=False)
PODS = ResourceRef("", "v1", "pods", "Pod")
SERVICES = ResourceRef("", "v1", "services", "Service")
ENDPOINTS = ResourceRef("", "v1", "endpoints", "Endpoints")
CONFIG_MAPS = ResourceRef("", "v1", "configmaps", "ConfigMap")
SECRETS = ResourceRef("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = ResourceRef("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS = ResourceRef("", "v1", "events", "Event")
REPLICATION_CONTROLLERS = ResourceRef("", "v1", "replicationcontrollers", "ReplicationController")
PERSISTENT_VOLUMES = ResourceRef(
    "", "v1", "persistentvolumes", "PersistentVolume", namespaced=False
)
PERSISTENT_VOLUME_CLAIMS = ResourceRef("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
RESOURCE_CLAIMS = ResourceRef("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim")
RESOURCE_QUOTAS = ResourceRef("", "v1", "resourcequotas", "ResourceQuota")
POD_DISRUPTION_BUDGETS = ResourceRef("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
VOLUME_ATTRIBUTES_CLASSES = ResourceRef(
    "storage.k8s.io",
    "v1",
    "volumeattributesclasses",
    "VolumeAttributesClass",
    namespaced=False,
)
DEPLOYMENTS = ResourceRef("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = ResourceRef("apps", "v1", "replicasets", "ReplicaSet")
DAEMON_SETS = ResourceRef("apps", "v1", "daemonsets", "DaemonSet")
STATEFUL_SETS = ResourceRef("apps", "v1", "statefulsets", "StatefulSet")
CONTROLLER_REVISIONS = ResourceRef("apps", "v1", "controllerrevisions", "ControllerRevision")
JOBS = ResourceRef("batch", "v1", "jobs", "Job")
CRON_JOBS = ResourceRef("batch", "v1", "cronjobs", "CronJob")
ENDPOINT_SLICES = ResourceRef("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
CLUSTER_ROLES = ResourceRef(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False
)
LEASES = ResourceRef("coordination.k8s.io", "v1", "leases", "Lease")


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: type is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class Client:
    """A component's view of the cluster. `user_agent` becomes its default field manager."""

    def __init__(self, transport: Transport, user_agent: str = "kapi") -> None:
        self._transport = transport
        self._headers = {"user-agent": f"{user_agent}/kapi", "accept": JSON}

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Object:
        """One exchange with a JSON answer. Raises ApiError or ConnectionError."""
        data = b"" if body is None else orjson.dumps(body)
        headers = {**self._headers, "accept": accept}
        if data:
            headers["content-type"] = content_type
        answer = await self._transport.request(
            method, path, params=params, body=data, headers=headers
        )
        return _decoded(answer)

    async def get(
        self, resource: ResourceRef, namespace: str, name: str, *, subresource: str = ""
    ) -> Object:
        return await self.request("GET", resource.path(namespace, name, subresource))

    async def list(
        self, resource: ResourceRef, namespace: str = "", *, accept: str = JSON, **params: str
    ) -> Object:
        """The List object. Query parameters by their wire names: labelSelector, limit, ..."""
        return await self.request("GET", resource.path(namespace), params=params, accept=accept)

    async def create(
        self,
        resource: ResourceRef,
        namespace: str,
        obj: Object,
        *,
        name: str = "",
        subresource: str = "",
    ) -> Object:
        """Create; with `name` and `subresource` a POST below an object (binding, token)."""
        return await self.request("POST", resource.path(namespace, name, subresource), body=obj)

    async def update(
        self, resource: ResourceRef, namespace: str, obj: Object, *, subresource: str = ""
    ) -> Object:
        """Replace; the object's resourceVersion is the precondition."""
        path = resource.path(namespace, obj["metadata"]["name"], subresource)
        return await self.request("PUT", path, body=obj)

    async def patch(
        self,
        resource: ResourceRef,
        namespace: str,
        name: str,
        patch: Body,
        *,
        content_type: str = MERGE_PATCH,
        subresource: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        return await self.request(
            "PATCH",
            resource.path(namespace, name, subresource),
            params=params,
            body=patch,
            content_type=content_type,
        )

    async def delete(
        self,
        resource: ResourceRef,
        namespace: str,
        name: str,
        *,
        options: Object | None = None,
    ) -> Object:
        """Delete; `options` is a DeleteOptions body (grace, propagation, preconditions)."""
        return await self.request("DELETE", resource.path(namespace, name), body=options)

    async def delete_collection(
        self,
        resource: ResourceRef,
        namespace: str = "",
        *,
        options: Object | None = None,
        **params: str,
    ) -> Object:
        """Delete everything that the selectors in `params` match."""
        path = resource.path(namespace)
        return await self.request("DELETE", path, params=params, body=options)

    async def watch(
        self, resource: ResourceRef, namespace: str = "", *, accept: str = JSON, **params: str
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events until the server ends the watch.

        Raises ApiError for an ERROR event, ConnectionError for a stream that breaks or makes no
        sense.

        Leave the loop through `contextlib.aclosing`, so that the connection closes at once.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", **params}
        path = resource.path(namespace)
        headers = {**self._headers, "accept": accept}
        opened = self._transport.stream("GET", path, params=query, headers=headers)
        async with opened as (status, chunks):
            if status != 200:
                body = b"".join([chunk async for chunk in chunks])
                raise from_status(_json_or_message(body), status)
            async with aclosing(_lines(chunks)) as lines:
                async for line in lines:
                    event = _event(line)
                    if event["type"] == "ERROR":
                        raise from_status(event["object"])
                    yield WatchEvent(event["type"], event["object"])

    async def close(self) -> None:
        await self._transport.close()


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Whole lines. A line that spans many chunks is joined once, not chunk by chunk."""
    parts: list[bytes] = []
    async for chunk in chunks:
        first, *more = chunk.split(b"\n")
        parts.append(first)
        if not more:
            continue
        lines = [b"".join(parts), *more]
        parts = [lines.pop()]
        for line in lines:
            if line:
                yield line


def _event(line: bytes) -> Object:
    try:
        event: Object = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConnectionError(f"a line of the watch is not JSON: {error}") from None
    return event


def _json_or_message(body: bytes) -> Object:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": body.decode(errors="replace")}
    return value if isinstance(value, dict) else {"message": str(value)}


def _decoded(answer: Response) -> Object:
    value = _json_or_message(answer.body)
    if answer.status >= 400:
        raise from_status(value, answer.status)
    return value
