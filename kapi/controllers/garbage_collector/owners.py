"""Is an owner there? Asks the graph first, the server where the graph cannot know."""

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from kapi.api.errors import NotFound
from kapi.api.object import is_deleting, split_api_version, uid_of
from kapi.client.client import METADATA_ONLY, Client, ResourceRef
from kapi.client.events import WARNING, EventRecorder
from kapi.controllers.garbage_collector.graph import FOREGROUND, Graph, Node, Reference

_log = logging.getLogger(__name__)
_ABSENT_ENTRIES = 500
Verdict = Literal["solid", "dangling", "waiting", "unknown"]


@dataclass(slots=True)
class Classified:
    """The owner references of one object. `unknown`: of a kind the server does not have."""

    solid: list[Reference] = field(default_factory=list)
    dangling: list[Reference] = field(default_factory=list)
    waiting: list[Reference] = field(default_factory=list)
    unknown: list[Reference] = field(default_factory=list)


class Owners:
    """Judges owner references. `resources` maps (group, kind) to the resource."""

    def __init__(self, client: Client, graph: Graph, recorder: EventRecorder) -> None:
        self._client = client
        self._graph = graph
        self._recorder = recorder
        self._absent: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self.resources: dict[tuple[str, str], ResourceRef] = {}

    def resource_of(self, api_version: str, kind: str) -> ResourceRef | None:
        group, _ = split_api_version(api_version)
        return self.resources.get((group, kind))

    async def classify(self, node: Node) -> Classified:
        found = Classified()
        lists: dict[Verdict, list[Reference]] = {
            "solid": found.solid,
            "dangling": found.dangling,
            "waiting": found.waiting,
            "unknown": found.unknown,
        }
        for reference in node.owners:
            lists[await self._judge(node, reference)].append(reference)
        return found

    async def _judge(self, node: Node, reference: Reference) -> Verdict:
        resource = self.resource_of(reference["apiVersion"], reference["kind"])
        if resource is None:
            return "unknown"
        if resource.namespaced and not node.namespace:
            # A cluster-scoped object cannot say in which namespace its owner is.
            _log.warning("%s %s has a namespaced owner", node.kind, node.name)
            return "solid"
        namespace = node.namespace if resource.namespaced else ""
        known = self._graph.get(reference["uid"])
        if known is not None and not known.virtual:
            if _same_place(known, resource, namespace, reference["name"]):
                return "waiting" if known.deleting_dependents else "solid"
            if resource.namespaced and known.namespace != namespace:
                self._report_wrong_namespace(node, reference)
        return await self._look_up(resource, namespace, reference)

    async def _look_up(
        self, resource: ResourceRef, namespace: str, reference: Reference
    ) -> Verdict:
        place = _place(resource, namespace, reference)
        if place in self._absent:
            return "dangling"
        try:
            live = await self._client.request(
                "GET", resource.path(namespace, reference["name"]), accept=METADATA_ONLY
            )
        except NotFound:
            live = {"metadata": {}}
        if uid_of(live) != reference["uid"]:
            self._absent[place] = None
            if len(self._absent) > _ABSENT_ENTRIES:
                self._absent.popitem(last=False)
            return "dangling"
        waiting = is_deleting(live) and FOREGROUND in (live["metadata"].get("finalizers") or ())
        return "waiting" if waiting else "solid"

    async def exists(self, node: Node) -> bool | None:
        """Does the object of a virtual node exist? None: its kind is unknown here."""
        reference = {
            "apiVersion": node.api_version,
            "kind": node.kind,
            "name": node.name,
            "uid": node.uid,
        }
        resource = self.resource_of(node.api_version, node.kind)
        if resource is None:
            return None
        if resource.namespaced and not node.namespace:
            return None
        namespace = node.namespace if resource.namespaced else ""
        return await self._look_up(resource, namespace, reference) != "dangling"

    def _report_wrong_namespace(self, node: Node, reference: Reference) -> None:
        owner = f"{reference['apiVersion']}/{reference['kind']}, namespace: {node.namespace}, "
        owner += f"name: {reference['name']}, uid: {reference['uid']}"
        about = {
            "kind": node.kind,
            "apiVersion": node.api_version,
            "namespace": node.namespace,
            "name": node.name,
            "uid": node.uid,
        }
        message = f'ownerRef [{owner}] does not exist in namespace "{node.namespace}"'
        self._recorder.event_for(about, WARNING, "OwnerRefInvalidNamespace", message)


def _same_place(node: Node, resource: ResourceRef, namespace: str, name: str) -> bool:
    group, _ = split_api_version(node.api_version)
    return (
        group == resource.group
        and node.kind == resource.kind
        and node.namespace == namespace
        and node.name == name
    )


def _place(resource: ResourceRef, namespace: str, reference: Reference) -> tuple[str, ...]:
    return (resource.group, resource.kind, namespace, reference["name"], reference["uid"])
