"""The slices a service should have. Pure. Source: k8s.io/endpointslice."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from kapi.api.object import (
    Object,
    annotations_of,
    controller_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from kapi.controllers.backends import (
    HEADLESS_LABEL,
    LAST_CHANGE,
    Port,
    address_in_family,
    families_of,
    is_headless,
    may_back,
    published_hostname,
    publishes_not_ready,
    resolved_ports,
    target_reference,
)
from kapi.controllers.endpointslice.placement import place
from kapi.controllers.pods import is_ready, node_of

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
_ZONE = "topology.kubernetes.io/zone"
_OWN_LABELS = (SERVICE_NAME, MANAGED_BY, HEADLESS_LABEL)


@dataclass(slots=True)
class SlicePlan:
    """Objects to write. `missing_nodes`: pods were left out until their node is known."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    missing_nodes: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What all slices of one owner have in common, apart from ports and endpoints."""

    owner: Object
    labels: dict[str, str]
    annotations: dict[str, str]
    own_annotations: frozenset[str]
    """Names of annotations that are ours to change."""
    placeholder: bool = True
    """Keep one empty slice where there is nothing to list."""

    def new_slice(self, family: str, ports: Sequence[Port], endpoints: list[Object]) -> Object:
        metadata = {
            "generateName": f"{name_of(self.owner)}-",
            "namespace": namespace_of(self.owner),
            "labels": self.labels,
            "ownerReferences": [owner_reference(self.owner)],
        }
        if self.annotations:
            metadata["annotations"] = self.annotations
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": family,
            "endpoints": endpoints,
            "ports": list(ports),
        }

    def updated(self, slice_: Object, ports: Sequence[Port], endpoints: list[Object]) -> Object:
        kept = {
            key: text
            for key, text in annotations_of(slice_).items()
            if key not in self.own_annotations
        }
        metadata = {
            **slice_["metadata"],
            "labels": self.labels,
            "annotations": {**kept, **self.annotations},
        }
        return {**slice_, "metadata": metadata, "endpoints": endpoints, "ports": list(ports)}

    def is_current(self, slice_: Object) -> bool:
        return labels_of(slice_) == self.labels


Groups = dict[str, tuple[list[Port], list[Object]]]
"""Port set (as text) to its ports and endpoints."""


def plan_slices(
    service: Object,
    pods: Iterable[Object],
    nodes: Mapping[str, Object],
    existing: Sequence[Object],
    trigger: str | None,
) -> SlicePlan:
    """`existing` are the slices with our managed-by label for this service."""
    labels = {k: v for k, v in labels_of(service).items() if k not in _OWN_LABELS}
    labels[SERVICE_NAME] = name_of(service)
    labels[MANAGED_BY] = MANAGER
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    annotations = {LAST_CHANGE: trigger} if trigger else {}
    frame = Frame(service, labels, annotations, frozenset({LAST_CHANGE}))
    result = SlicePlan()
    backing = []
    for pod in pods:
        if not may_back(pod, include_terminating=True):
            continue
        if node_of(pod) not in nodes and not publishes_not_ready(service):
            result.missing_nodes = True
            continue
        backing.append(pod)
    families = families_of(service)
    for family in families:
        groups = _groups(service, backing, nodes, family)
        plan_family(frame, family, groups, existing, result)
    result.delete.extend(s for s in existing if s.get("addressType") not in families)
    return result


def plan_family(
    frame: Frame,
    family: str,
    groups: Groups,
    existing: Iterable[Object],
    result: SlicePlan,
) -> None:
    """Add what one address family needs to `result`."""
    mine: dict[str, list[Object]] = {}
    create: list[Object] = []
    delete: list[Object] = []
    total = 0
    for slice_ in existing:
        if slice_.get("addressType") != family:
            continue
        total += 1
        controller = controller_of(slice_)
        if controller is None or controller.get("uid") != uid_of(frame.owner):
            delete.append(slice_)
        elif not is_deleting(slice_):
            mine.setdefault(ports_key(slice_.get("ports") or ()), []).append(slice_)
    for key, (ports, endpoints) in groups.items():
        placement = place(mine.pop(key, ()), endpoints, frame.is_current)
        create += [frame.new_slice(family, ports, some) for some in placement.create]
        result.update += [frame.updated(s, ports, some) for s, some in placement.update]
        delete += placement.delete
    for rest in mine.values():
        delete += rest
    if frame.placeholder and not create and len(delete) == total:
        empty = frame.new_slice(family, (), [])
        if len(delete) == 1 and _is_placeholder(delete[0], frame):
            delete.clear()
        else:
            create.append(empty)
    _recycle(frame, create, delete, result)


def _is_placeholder(slice_: Object, frame: Frame) -> bool:
    return (
        not slice_.get("endpoints")
        and not slice_.get("ports")
        and not is_deleting(slice_)
        and frame.is_current(slice_)
    )


def _recycle(frame: Frame, create: list[Object], delete: list[Object], result: SlicePlan) -> None:
    """A slice about to go takes the content of one about to come: one write instead of two."""
    uid = uid_of(frame.owner)
    usable = [
        s for s in delete if not is_deleting(s) and (controller_of(s) or {}).get("uid") == uid
    ]
    while create and usable:
        old, new = usable.pop(0), create.pop(0)
        delete.remove(old)
        result.update.append(frame.updated(old, new["ports"], new["endpoints"]))
    result.create += create
    result.delete += [s for s in delete if not is_deleting(s)]


def ports_key(ports: Iterable[Port]) -> str:
    """Equal for equal sets of ports, in whatever order."""
    return b"\n".join(
        sorted(orjson.dumps(_plain_port(port), option=orjson.OPT_SORT_KEYS) for port in ports)
    ).decode()


def _plain_port(port: Port) -> Port:
    known = {key: port.get(key) for key in ("name", "port", "protocol", "appProtocol")}
    return {**known, "name": known["name"] or "", "protocol": known["protocol"] or "TCP"}


def _groups(
    service: Object, pods: Iterable[Object], nodes: Mapping[str, Object], family: str
) -> Groups:
    groups: Groups = {}
    for pod in pods:
        ip = address_in_family(pod, family)
        if ip is None:
            continue
        ports = resolved_ports(service, pod)
        if not ports and not is_headless(service):
            continue
        entry = groups.setdefault(ports_key(ports), (ports, []))
        entry[1].append(_endpoint(service, pod, ip, nodes.get(node_of(pod))))
    return groups


def _endpoint(service: Object, pod: Object, ip: str, node: Object | None) -> Object:
    serving, terminating = is_ready(pod), is_deleting(pod)
    ready = publishes_not_ready(service) or (serving and not terminating)
    endpoint: Object = {
        "addresses": [ip],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": target_reference(pod),
    }
    if node_of(pod):
        endpoint["nodeName"] = node_of(pod)
    hostname = published_hostname(service, pod)
    if hostname:
        endpoint["hostname"] = hostname
    zone = labels_of(node).get(_ZONE) if node is not None else None
    if zone:
        endpoint["zone"] = zone
    hints = _hints(service, zone, node_of(pod)) if ready else None
    if hints:
        endpoint["hints"] = hints
    return endpoint


def _hints(service: Object, zone: str | None, node: str) -> dict[str, Any] | None:
    """spec.trafficDistribution: each endpoint serves its own zone, or its own node first."""
    wish = (service.get("spec") or {}).get("trafficDistribution")
    if wish not in ("PreferClose", "PreferSameZone", "PreferSameNode"):
        return None
    hints: dict[str, Any] = {}
    if zone:
        hints["forZones"] = [{"name": zone}]
    if wish == "PreferSameNode" and node:
        hints["forNodes"] = [{"name": node}]
    return hints or None


SliceFilter = Callable[[Object], bool]


def managed_by(manager: str) -> SliceFilter:
    """Slices of other managers are never touched."""
    return lambda slice_: labels_of(slice_).get(MANAGED_BY) == manager
