"""Finds how many pods the controller of a pod is to have.

The workload kinds are read from informers. Any other kind is asked through its scale subresource,
which is also the way out while an informer lags behind.
"""

from dataclasses import dataclass
from typing import Any

from kapi import env
from kapi.api.errors import ApiError, NotFound
from kapi.api.object import Object, controller_of, split_api_version, uid_of
from kapi.client.client import (
    DEPLOYMENTS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Client,
    ResourceRef,
)
from kapi.client.informer import Informer
from kapi.client.informers import Informers
from kapi.controllers.disruption.plan import ControllerScale, SyncFailed

_REMEMBER_SECONDS = 30.0
_WORKLOADS = {
    ("", "ReplicationController"): REPLICATION_CONTROLLERS,
    ("apps", "ReplicaSet"): REPLICA_SETS,
    ("apps", "StatefulSet"): STATEFUL_SETS,
    ("apps", "Deployment"): DEPLOYMENTS,
}
# Owner references may still name the group these kinds came from.
_FORMER_GROUPS = {"extensions": "apps"}

Reference = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The kinds of a group version: their resources, and which of those have a scale."""

    resources: dict[str, ResourceRef]
    scalable: frozenset[str]
    until: float


class ScaleFinder:
    """`informers` holds what is to be synced before `find` is asked."""

    def __init__(self, client: Client, shared: Informers) -> None:
        self._client = client
        self.informers = {resource: shared.get(resource) for resource in _WORKLOADS.values()}
        self._kinds: dict[str, _Kinds] = {}

    async def find(self, reference: Reference, namespace: str) -> ControllerScale | None:
        """The scale behind a controller reference; None if there is no such controller.

        Raises SyncFailed if its kind has no scale, or the server cannot say.
        """
        known = self._known(reference, namespace)
        if known is not None:
            return known
        try:
            return await self._ask(reference, namespace)
        except (ApiError, ConnectionError) as error:
            raise SyncFailed(str(error), transient=True) from error

    def _known(self, reference: Reference, namespace: str) -> ControllerScale | None:
        found = self._cached(reference, namespace)
        if found is None or found[0] is DEPLOYMENTS:
            # A Deployment owns no pods itself.
            return None
        resource, obj = found
        owner = controller_of(obj)
        if resource is REPLICA_SETS and owner is not None and owner.get("kind") == "Deployment":
            above = self._cached(owner, namespace)
            if above is None:
                return None
            obj = above[1]
        return ControllerScale(uid_of(obj), int((obj.get("spec") or {}).get("replicas", 1)))

    def _cached(self, reference: Reference, namespace: str) -> tuple[ResourceRef, Object] | None:
        group, _version = split_api_version(str(reference.get("apiVersion", "")))
        kind = (_FORMER_GROUPS.get(group, group), str(reference.get("kind", "")))
        resource = _WORKLOADS.get(kind)
        if resource is None:
            return None
        informer: Informer = self.informers[resource]
        obj = informer.get(f"{namespace}/{reference.get('name', '')}")
        if obj is None or uid_of(obj) != reference.get("uid"):
            return None
        return resource, obj

    async def _ask(self, reference: Reference, namespace: str) -> ControllerScale | None:
        api_version, kind = str(reference.get("apiVersion", "")), str(reference.get("kind", ""))
        kinds = await self._kinds_of(api_version)
        resource = kinds.resources.get(kind)
        if resource is None:
            raise SyncFailed(f'no matches for kind "{kind}" in version "{api_version}"')
        if resource.plural not in kinds.scalable:
            qualified = f"{resource.plural}.{resource.group}".rstrip(".")
            raise SyncFailed(f"{qualified} does not implement the scale subresource")
        name = str(reference.get("name", ""))
        try:
            scale = await self._client.get(resource, namespace, name, subresource="scale")
        except NotFound:
            return None
        if uid_of(scale) != reference.get("uid"):
            return None
        return ControllerScale(uid_of(scale), int((scale.get("spec") or {}).get("replicas") or 0))

    async def _kinds_of(self, api_version: str) -> _Kinds:
        known = self._kinds.get(api_version)
        if known is not None and env.monotonic() < known.until:
            return known
        group, version = split_api_version(api_version)
        resources: dict[str, ResourceRef] = {}
        scalable: set[str] = set()
        root = "/apis" if group else "/api"
        try:
            listed = await self._client.request("GET", f"{root}/{api_version}")
        except NotFound:
            listed = {}
        for entry in listed.get("resources") or ():
            plural, _, below = str(entry["name"]).partition("/")
            if not below:
                ref = ResourceRef(
                    group, version, plural, entry["kind"], namespaced=entry["namespaced"]
                )
                resources.setdefault(entry["kind"], ref)
            elif below == "scale" and entry.get("kind") == "Scale":
                scalable.add(plural)
        until = env.monotonic() + _REMEMBER_SECONDS
        kinds = _Kinds(resources, frozenset(scalable), until)
        self._kinds[api_version] = kinds
        return kinds
