"""What happens to a Service's linked and allocated fields before it is validated.

Source: `normalizeClusterIPs`, `patchAllocatedValues` and `dropTypeDependentFields` in
k8s.io/kubernetes `pkg/registry/core/service`.
"""

from kapi.api.object import Object
from kapi.registry.core.service_types import (
    is_externally_reachable,
    needs_cluster_ip,
    needs_health_check_port,
    needs_node_ports,
)


def link_cluster_ips(new: Object, old: Object | None) -> None:
    """Bring `clusterIP` and `clusterIPs` of a spec together, whichever the client wrote."""
    if old is None:
        if new.get("clusterIP") and not new.get("clusterIPs"):
            new["clusterIPs"] = [new["clusterIP"]]
        return
    same_single = new.get("clusterIP", "") == old.get("clusterIP", "")
    if old.get("clusterIPs") and not new.get("clusterIPs") and same_single:
        new["clusterIPs"] = list(old["clusterIPs"])
    if same_single or (new.get("clusterIPs") or []) != (old.get("clusterIPs") or []):
        return
    if new.get("clusterIP"):
        new["clusterIPs"] = [new["clusterIP"]]
    else:
        new.pop("clusterIPs", None)


def keep_allocated(new: Object, old: Object) -> None:
    """Fill in allocated values that a client left out, so that a plain PUT keeps them."""
    if needs_cluster_ip(old) and needs_cluster_ip(new):
        if not new.get("clusterIP") and old.get("clusterIP"):
            new["clusterIP"] = old["clusterIP"]
        same = new.get("clusterIP") == old.get("clusterIP")
        if not new.get("clusterIPs") and same and old.get("clusterIPs"):
            new["clusterIPs"] = list(old["clusterIPs"])
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if not new.get(field) and old.get(field):
                new[field] = old[field]
    if needs_node_ports(old) and needs_node_ports(new):
        _keep_node_ports(new, old)
    if needs_health_check_port(old) and needs_health_check_port(new):
        new["healthCheckNodePort"] = (
            new.get("healthCheckNodePort") or old.get("healthCheckNodePort") or 0
        )


def _keep_node_ports(new: Object, old: Object) -> None:
    before = {port.get("name", ""): port.get("nodePort") or 0 for port in old.get("ports") or ()}
    used = _node_ports(old) & _node_ports(new)
    for port in new.get("ports") or ():
        if port.get("nodePort"):
            continue
        known = before.get(port.get("name", ""), 0)
        if known and known not in used:
            port["nodePort"] = known


def _node_ports(spec: Object) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def drop_type_dependent(new: Object, old: Object) -> None:
    """Wipe fields that the new type has no use for, unless the client changed them too."""
    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        if (new.get("clusterIPs") or []) == (old.get("clusterIPs") or []) and new.get(
            "clusterIP", ""
        ) == old.get("clusterIP", ""):
            new.pop("clusterIP", None)
            new.pop("clusterIPs", None)
        for field in ("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            _drop_if_same(new, old, field)
    if needs_node_ports(old) and not needs_node_ports(new) and _same_node_ports(new, old):
        for port in new.get("ports") or ():
            port.pop("nodePort", None)
    if needs_health_check_port(old) and not needs_health_check_port(new):
        _drop_if_same(new, old, "healthCheckNodePort")
    if old.get("type") == "LoadBalancer" and new.get("type") != "LoadBalancer":
        _drop_if_same(new, old, "allocateLoadBalancerNodePorts")
        _drop_if_same(new, old, "loadBalancerClass")
    if is_externally_reachable(old) and not is_externally_reachable(new):
        _drop_if_same(new, old, "externalTrafficPolicy")


def _drop_if_same(new: Object, old: Object, field: str) -> None:
    if new.get(field) == old.get(field):
        new.pop(field, None)


def _same_node_ports(new: Object, old: Object) -> bool:
    return all(number in _node_ports(old) for number in _node_ports(new))
