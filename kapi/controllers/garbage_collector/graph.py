"""Who owns what, by uid. Pure: says which objects have to be looked at, touches nothing.

An owner that has been named but not seen is a *virtual* node: it may not exist at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kapi.api.object import Object, is_deleting, name_of, namespace_of, split_api_version, uid_of
from kapi.client.client import ResourceRef

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
Reference = dict[str, Any]


@dataclass(slots=True, eq=False)
class Node:
    """An object as the graph knows it. `resource` is None for a virtual node."""

    uid: str
    resource: ResourceRef | None
    namespace: str
    name: str
    api_version: str
    kind: str
    resource_version: str = ""
    owners: tuple[Reference, ...] = ()
    finalizers: tuple[str, ...] = ()
    deleting: bool = False
    dependents: dict[str, "Node"] = field(default_factory=dict)

    @property
    def virtual(self) -> bool:
        return self.resource is None

    @property
    def deleting_dependents(self) -> bool:
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphaning(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers

    def blocking_dependents(self) -> list["Node"]:
        """Dependents that must be gone before this node may go, in foreground deletion."""
        return [
            dependent
            for dependent in self.dependents.values()
            if any(
                owner["uid"] == self.uid and owner.get("blockOwnerDeletion")
                for owner in dependent.owners
            )
        ]


@dataclass(slots=True)
class Work:
    """Uids to look at: whether to delete them, or to orphan their dependents."""

    delete: dict[str, None] = field(default_factory=dict)
    orphan: dict[str, None] = field(default_factory=dict)


class Graph:
    """Feed it every object's metadata; it answers with the work each change causes."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def __len__(self) -> int:
        return len(self._nodes)

    def virtual_nodes(self) -> list[Node]:
        return [node for node in self._nodes.values() if node.virtual]

    def put(self, resource: ResourceRef, obj: Object) -> Work:
        """An object was added or changed."""
        work = Work()
        uid = uid_of(obj)
        node = self._nodes.get(uid)
        if node is None:
            node = self._nodes[uid] = Node(uid, resource, "", "", "", "")
        was_virtual = node.virtual
        was_orphaning, was_waiting = node.orphaning, node.deleting_dependents
        before = node.owners
        metadata = obj["metadata"]
        node.resource = resource
        node.namespace, node.name = namespace_of(obj), name_of(obj)
        node.api_version, node.kind = resource.api_version, resource.kind
        node.resource_version = metadata.get("resourceVersion", "")
        node.finalizers = tuple(metadata.get("finalizers") or ())
        node.deleting = is_deleting(obj)
        node.owners = tuple(metadata.get("ownerReferences") or ())
        self._relink(node, before, work)
        if was_virtual:
            for dependent in node.dependents.values():
                if _misnames(dependent, node):
                    work.delete[dependent.uid] = None
        if node.orphaning and not was_orphaning:
            work.orphan[uid] = None
        if node.deleting_dependents and not was_waiting:
            work.delete.update(dict.fromkeys(node.dependents))
            work.delete[uid] = None
        return work

    def remove(self, uid: str) -> Work:
        """An object is gone (or was never there)."""
        work = Work()
        node = self._nodes.pop(uid, None)
        if node is None:
            return work
        work.delete.update(dict.fromkeys(node.dependents))
        for reference in node.owners:
            owner = self._nodes.get(reference["uid"])
            if owner is None:
                continue
            owner.dependents.pop(uid, None)
            if owner.deleting_dependents:
                work.delete[owner.uid] = None
            elif owner.virtual and not owner.dependents:
                del self._nodes[owner.uid]
        return work

    def _relink(self, node: Node, before: Iterable[Reference], work: Work) -> None:
        old = {reference["uid"]: reference for reference in before}
        new = {reference["uid"]: reference for reference in node.owners}
        for uid, reference in old.items():
            owner = self._nodes.get(uid)
            if owner is None:
                continue
            if uid not in new:
                owner.dependents.pop(node.uid, None)
                if owner.virtual and not owner.dependents:
                    del self._nodes[uid]
            stopped = uid not in new or not new[uid].get("blockOwnerDeletion")
            if reference.get("blockOwnerDeletion") and stopped and owner.deleting_dependents:
                work.delete[uid] = None
        for uid, reference in new.items():
            owner = self._nodes.get(uid)
            if owner is None:
                owner = self._nodes[uid] = Node(
                    uid,
                    None,
                    node.namespace,
                    reference.get("name", ""),
                    reference.get("apiVersion", ""),
                    reference.get("kind", ""),
                )
                work.delete[uid] = None
            owner.dependents[node.uid] = node
            if uid not in old and (owner.deleting_dependents or _misnames(node, owner)):
                # Came to be owned while its owner is going, or by somebody who is not there.
                work.delete[node.uid] = None


def _misnames(dependent: Node, owner: Node) -> bool:
    """Does a reference give the owner's uid with another place? Then nobody is at that place."""
    if owner.virtual:
        return False
    group, _ = split_api_version(owner.api_version)
    return any(
        reference["uid"] == owner.uid
        and (
            (owner.namespace and owner.namespace != dependent.namespace)
            or reference.get("name") != owner.name
            or reference.get("kind") != owner.kind
            or split_api_version(reference.get("apiVersion", ""))[0] != group
        )
        for reference in dependent.owners
    )
