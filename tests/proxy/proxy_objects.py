"""The address plan of the proxy's tests, and builders for the objects they need.

10.96.0.0/16    cluster IPs             10.244.0.0/16   pods; the bridge itself is 10.244.0.1
192.0.2.0/24    the node's own network  198.51.100.0/24 external and load balancer addresses
"""

from kapi.proxy.model import NodeContext
from kapi.proxy.render import RenderOptions

NODE = NodeContext(frozenset({"node-a"}))
OPTIONS = RenderOptions("10.244.0.0/16", ("10.96.0.0/16",), bridge="kapi0")
LOCAL_ADDRESSES = {"127.0.0.1", "10.244.0.1", "192.0.2.1"}


def port(number, *, name="", protocol="TCP", node_port=0, target=0):
    made = {"port": number, "protocol": protocol, "targetPort": target or number}
    if name:
        made["name"] = name
    if node_port:
        made["nodePort"] = node_port
    return made


def service(name, cluster_ip, *ports, namespace="default", labels=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name, "labels": labels or {}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster_ip,
            "clusterIPs": [cluster_ip],
            "ports": list(ports),
            **spec,
        },
    }


def endpoint(address, *, node="node-a", **conditions):
    return {
        "addresses": [address],
        "nodeName": node,
        "conditions": {"ready": True, "serving": True, "terminating": False, **conditions},
    }


def endpoint_slice(service_name, ports, *endpoints, namespace="default", suffix="abcde"):
    """`ports`: (name, protocol, number) triples."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": f"{service_name}-{suffix}",
            "labels": {"kubernetes.io/service-name": service_name},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": name, "protocol": protocol, "port": number} for name, protocol, number in ports
        ],
        "endpoints": list(endpoints),
    }
