"""ImageLocality: prefer nodes that already have the pod's images."""

from collections.abc import Sequence

from kapi.api.object import Object
from kapi.scheduler.cache import Cache
from kapi.scheduler.framework import MAX_NODE_SCORE
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo

_MEBIBYTE = 1024 * 1024
_LEAST = 23 * _MEBIBYTE
_MOST_PER_CONTAINER = 1000 * _MEBIBYTE


class ImageLocality:
    name = "ImageLocality"
    weight = 1

    def scores(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> list[int] | None:
        images = _image_names(pod.spec)
        known = [image for image in images if image in cache.image_nodes]
        if not known:
            return None
        total = len(cache.nodes())
        spread = {image: cache.image_nodes[image] / total for image in known}
        most = _MOST_PER_CONTAINER * len(images)
        return [
            _scaled(sum(int(node.images.get(i, 0) * spread[i]) for i in known), most)
            for node in nodes
        ]


def _scaled(size: int, most: int) -> int:
    clamped = min(max(size, _LEAST), most)
    return MAX_NODE_SCORE * (clamped - _LEAST) // (most - _LEAST)


def _image_names(spec: Object) -> list[str]:
    """Images of containers, init containers and image volumes, as nodes report them."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    names = [container.get("image") or "" for container in containers]
    names += [
        v["image"].get("reference") or "" for v in spec.get("volumes") or () if v.get("image")
    ]
    return [_with_tag(name) for name in names]


def _with_tag(name: str) -> str:
    """Nodes list images with a tag or digest; one without means `:latest`."""
    return name if name.rfind(":") > name.rfind("/") else f"{name}:latest"
