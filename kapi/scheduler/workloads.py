"""Which pods belong together: the selectors of the Services and owners of a pod.

PodTopologySpread's default constraints count the pods that a pod's Services and its ReplicaSet,
ReplicationController or StatefulSet select.
"""

from collections.abc import Mapping
from typing import Any

from kapi.api.object import Object, name_of, namespace_of
from kapi.scheduler.pod_info import PodInfo, Selector, selector_of

_MEMO = 4096


class Workloads:
    """Fed from watches; answers are remembered until something changes."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, Mapping[str, str]]] = {}
        self._owners: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        self._memo: dict[tuple[Any, ...], Selector | None] = {}

    def set_service(self, service: Object) -> None:
        selector = (service.get("spec") or {}).get("selector") or {}
        self._services.setdefault(namespace_of(service), {})[name_of(service)] = selector
        self._memo.clear()

    def remove_service(self, service: Object) -> None:
        namespace = namespace_of(service)
        present = self._services.get(namespace, {})
        present.pop(name_of(service), None)
        if not present:
            self._services.pop(namespace, None)
        self._memo.clear()

    def set_owner(self, kind: str, owner: Object) -> None:
        """A ReplicaSet, ReplicationController or StatefulSet."""
        selector = (owner.get("spec") or {}).get("selector") or {}
        if kind == "ReplicationController":
            selector = {"matchLabels": selector}
        identity = (kind, namespace_of(owner), name_of(owner))
        if self._owners.get(identity) != selector:
            self._owners[identity] = selector
            self._memo.clear()

    def remove_owner(self, kind: str, owner: Object) -> None:
        self._owners.pop((kind, namespace_of(owner), name_of(owner)), None)
        self._memo.clear()

    def selector_for(self, pod: PodInfo) -> Selector | None:
        """The pods that belong with this one, or None if nothing says so."""
        identity = (pod.namespace, pod.owner, tuple(sorted(pod.labels.items())))
        if identity not in self._memo:
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            self._memo[identity] = self._find(pod)
        return self._memo[identity]

    def _find(self, pod: PodInfo) -> Selector | None:
        labels: dict[str, str] = {}
        for selector in self._services.get(pod.namespace, {}).values():
            if selector and all(pod.labels.get(k) == v for k, v in selector.items()):
                labels.update(selector)
        kind, name = pod.owner
        owner = self._owners.get((kind, pod.namespace, name), {})
        labels.update(owner.get("matchLabels") or {})
        expressions = owner.get("matchExpressions") or []
        if not labels and not expressions:
            return None
        return selector_of({"matchLabels": labels, "matchExpressions": expressions})
