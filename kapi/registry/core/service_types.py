"""What a Service's type entitles it to, asked by defaults, validation and allocation alike."""

from kapi.api.object import Object

HEADLESS = "None"


def is_headless(spec: Object) -> bool:
    """`clusterIP: None`: names resolve to the pods themselves."""
    return spec.get("clusterIP") == HEADLESS or spec.get("clusterIPs") == [HEADLESS]


def needs_cluster_ip(spec: Object) -> bool:
    """Even a headless Service has a value there. A spec without a type is no Service yet."""
    return spec.get("type") not in (None, "ExternalName")


def needs_node_ports(spec: Object) -> bool:
    if spec.get("type") == "NodePort":
        return True
    return (
        spec.get("type") == "LoadBalancer"
        and spec.get("allocateLoadBalancerNodePorts") is not False
    )


def needs_health_check_port(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_externally_reachable(spec: Object) -> bool:
    kind = spec.get("type")
    return kind in ("NodePort", "LoadBalancer") or (
        kind == "ClusterIP" and bool(spec.get("externalIPs"))
    )
