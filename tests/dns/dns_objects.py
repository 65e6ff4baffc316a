"""A small cluster for the DNS tests, and a way to ask its zone in one line."""

from kapi.dns.zone import Zone

DOMAIN = "cluster.local"


def service(name, *ports, namespace="default", **spec):
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "ClusterIP", "ports": list(ports), **spec},
    }


def cluster_ips(*addresses):
    return {"clusterIP": addresses[0], "clusterIPs": list(addresses)}


def port(number, name="", protocol="TCP"):
    return {"port": number, "protocol": protocol, **({"name": name} if name else {})}


def endpoint_slice(service_name, ports, *endpoints, namespace="default", family="IPv4"):
    return {
        "metadata": {
            "name": f"{service_name}-abcde",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service_name},
        },
        "addressType": family,
        "ports": ports,
        "endpoints": list(endpoints),
    }


def endpoint(address, hostname="", ready=True):
    made = {"addresses": [address], "conditions": {"ready": ready}}
    return {**made, "hostname": hostname} if hostname else made


def zone_of(*entries):
    """`entries`: (service, slices...) tuples."""
    zone = Zone(DOMAIN, ["10.96.0.10"])
    for name in ("default", "kube-system", "empty"):
        zone.put_namespace({"metadata": {"name": name}})
    for item, *slices in entries:
        meta = item["metadata"]
        zone.put_service(f"{meta['namespace']}/{meta['name']}", item, slices)
    return zone


def sample_zone():
    return zone_of(
        (
            service("web", port(80, "http"), port(443), **cluster_ips("10.96.0.20", "fd00::20")),
            endpoint_slice("web", [port(8080, "http")], endpoint("10.244.0.5")),
        ),
        (
            service("db", port(5432, "sql"), **cluster_ips("None")),
            endpoint_slice(
                "db",
                [port(5432, "sql")],
                endpoint("10.244.0.6", "db-0"),
                endpoint("10.244.0.7"),
                endpoint("10.244.0.8", "db-2", ready=False),
            ),
        ),
        (
            service("idle", port(1, "x"), **cluster_ips("None")),
            endpoint_slice("idle", [port(1, "x")], endpoint("10.244.0.9", ready=False)),
        ),
        (service("out", type="ExternalName", externalName="www.Example.com."),),
        (service("alias", type="ExternalName", externalName="web.default.svc.cluster.local"),),
        (service("dead", type="ExternalName", externalName="no.default.svc.cluster.local"),),
        (service("loop-a", type="ExternalName", externalName="loop-b.default.svc.cluster.local"),),
        (service("loop-b", type="ExternalName", externalName="loop-a.default.svc.cluster.local"),),
        (service("literal", type="ExternalName", externalName="192.0.2.1"),),
    )
