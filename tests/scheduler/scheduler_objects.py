"""Small builders of nodes and pods for the scheduler's tests."""

from typing import Any

from kapi.api.object import Object
from kapi.scheduler.cache import Cache
from kapi.scheduler.pod_info import PodInfo, pod_info


def node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"node-{name}",
            "labels": {"kubernetes.io/hostname": name, **(labels or {})},
        },
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}},
    }


def pod(
    name: str,
    *,
    namespace: str = "default",
    labels: dict[str, str] | None = None,
    requests: dict[str, str] | None = None,
    ports: list[Object] | None = None,
    **spec: Any,
) -> Object:
    container: Object = {"name": "main", "image": "example.org/app:1"}
    if requests:
        container["resources"] = {"requests": requests}
    if ports:
        container["ports"] = ports
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"{namespace}-{name}",
            "labels": labels or {},
        },
        "spec": {"containers": [container], "schedulerName": "default-scheduler", **spec},
        "status": {"phase": "Pending"},
    }


def info(name: str, **fields: Any) -> PodInfo:
    return pod_info(pod(name, **fields))


def cache_of(*nodes: Object, bound: dict[str, list[PodInfo]] | None = None) -> Cache:
    """A cache with these nodes, and `bound` pods by the name of their node."""
    cache = Cache()
    for item in nodes:
        cache.set_node(item)
    for name, pods in (bound or {}).items():
        for item in pods:
            cache.assume(item, name)
    return cache
