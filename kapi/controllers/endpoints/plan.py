"""The Endpoints object a service should have. Pure.

Source: upstream `pkg/controller/endpoint` and `pkg/api/v1/endpoints` (RepackSubsets).
"""

from collections.abc import Iterable
from typing import Any

from kapi.api.object import Object, annotations_of, labels_of, name_of, namespace_of
from kapi.controllers.backends import (
    HEADLESS_LABEL,
    LAST_CHANGE,
    address_in_family,
    families_of,
    is_headless,
    may_back,
    published_hostname,
    publishes_not_ready,
    resolved_ports,
    target_reference,
)
from kapi.controllers.pods import is_ready, node_of

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
CAPACITY = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES = 1000
Subset = dict[str, Any]


def plan_subsets(service: Object, pods: Iterable[Object]) -> list[Subset]:
    """Ports that have exactly the same ready and not-ready addresses share a subset."""
    family = families_of(service)[0]
    publish = publishes_not_ready(service)
    by_port: dict[tuple[Any, ...], dict[str, tuple[Object, bool]]] = {}
    ports: dict[tuple[Any, ...], dict[str, Any] | None] = {}
    for pod in pods:
        if not may_back(pod, include_terminating=publish):
            continue
        ip = address_in_family(pod, family)
        if ip is None:
            continue
        address = _address(service, pod, ip)
        usable = publish or is_ready(pod)
        found: list[dict[str, Any] | None] = list(resolved_ports(service, pod))
        if not service["spec"].get("ports") and is_headless(service):
            found = [None]
        for port in found:
            identity = _port_identity(port)
            ports[identity] = port
            by_port.setdefault(identity, {})[_address_identity(address)] = (address, usable)
    return _packed(by_port, ports)


def _address(service: Object, pod: Object, ip: str) -> Object:
    address: Object = {"ip": ip}
    hostname = published_hostname(service, pod)
    if hostname:
        address["hostname"] = hostname
    if node_of(pod):
        address["nodeName"] = node_of(pod)
    address["targetRef"] = target_reference(pod)
    return address


def _address_identity(address: Object) -> str:
    return f"{address['ip']} {address['targetRef']['uid']}"


def _port_identity(port: dict[str, Any] | None) -> tuple[Any, ...]:
    return tuple(sorted(port.items())) if port is not None else ()


def _packed(
    by_port: dict[tuple[Any, ...], dict[str, tuple[Object, bool]]],
    ports: dict[tuple[Any, ...], dict[str, Any] | None],
) -> list[Subset]:
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for identity, addresses in by_port.items():
        same = tuple(sorted((name, usable) for name, (_, usable) in addresses.items()))
        groups.setdefault(same, []).append(identity)
    subsets = []
    for identities in groups.values():
        addresses = by_port[identities[0]]
        ordered = [addresses[name] for name in sorted(addresses)]
        ready = [address for address, usable in ordered if usable]
        not_ready = [address for address, usable in ordered if not usable]
        subset: Subset = {}
        if ready:
            subset["addresses"] = ready
        if not_ready:
            subset["notReadyAddresses"] = not_ready
        own = [port for identity in sorted(identities) if (port := ports[identity]) is not None]
        if own:
            subset["ports"] = [_endpoint_port(port) for port in own]
        subsets.append(subset)
    return sorted(subsets, key=lambda s: [sorted(map(str, p.items())) for p in s.get("ports", ())])


def _endpoint_port(port: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in port.items() if value != ""}


def truncated(subsets: list[Subset]) -> tuple[list[Subset], bool]:
    """At most 1000 addresses in all, and whether any was dropped; ready ones go last."""
    ready = sum(len(subset.get("addresses", ())) for subset in subsets)
    rest = sum(len(subset.get("notReadyAddresses", ())) for subset in subsets)
    if ready + rest <= MAX_ADDRESSES:
        return subsets, False
    room = {"addresses": min(ready, MAX_ADDRESSES)}
    room["notReadyAddresses"] = MAX_ADDRESSES - room["addresses"]
    totals = {"addresses": ready, "notReadyAddresses": rest}
    left = dict(room)
    kept = []
    for subset in subsets:
        smaller = dict(subset)
        for field, total in totals.items():
            have = subset.get(field) or []
            share = min(left[field], -(-len(have) * room[field] // total) if total else 0)
            left[field] -= share
            smaller.pop(field, None)
            if share:
                smaller[field] = have[:share]
        if "addresses" in smaller or "notReadyAddresses" in smaller:
            kept.append(smaller)
    return kept, True


def plan_endpoints(
    service: Object, pods: Iterable[Object], current: Object | None, trigger: str | None
) -> Object | None:
    """The object to write, or None if `current` is right. Without `current` it is to be created.

    The trigger time alone is no reason to write.
    """
    subsets, over = truncated(plan_subsets(service, pods))
    labels = {k: v for k, v in labels_of(service).items() if k != HEADLESS_LABEL}
    labels[MANAGED_BY] = MANAGER
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    had = annotations_of(current) if current is not None else {}
    annotations = {k: v for k, v in had.items() if k not in (LAST_CHANGE, CAPACITY)}
    if over:
        annotations[CAPACITY] = "truncated"
    if (
        current is not None
        and (current.get("subsets") or []) == subsets
        and labels_of(current) == labels
        and had.get(CAPACITY) == annotations.get(CAPACITY)
    ):
        return None
    if trigger:
        annotations[LAST_CHANGE] = trigger
    base = current or {"apiVersion": "v1", "kind": "Endpoints", "metadata": {}}
    metadata = {
        **base["metadata"],
        "name": name_of(service),
        "namespace": namespace_of(service),
        "labels": labels,
        "annotations": annotations,
    }
    return {**base, "metadata": metadata, "subsets": subsets}
