"""Labels on sandboxes and containers: the only state a kubelet has."""

import hashlib
from collections.abc import Mapping

import orjson

from kapi.api.object import Object, name_of, namespace_of, uid_of

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
ATTEMPT = "io.kubernetes.container.restartCount"
HASH = "io.kubernetes.container.hash"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
IMAGE = "kapi.image"
IMAGE_REF = "kapi.image-ref"
RESOURCES = "kapi.resources"
HOST_NETWORK = "kapi.host-network"
TERMINATION_FILE = "kapi.termination-file"


def pod_labels(pod: Object) -> dict[str, str]:
    return {POD_NAME: name_of(pod), POD_NAMESPACE: namespace_of(pod), POD_UID: uid_of(pod)}


def container_hash(container: Object) -> str:
    """Changes when the container must be replaced: only name and image count, as upstream."""
    text = f"{container['name']}\0{container.get('image', '')}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def encoded_resources(container: Object) -> str:
    return orjson.dumps(container.get("resources") or {}, option=orjson.OPT_SORT_KEYS).decode()


def attempt_of(labels: Mapping[str, str]) -> int:
    text = labels.get(ATTEMPT, "0")
    return int(text) if text.isdigit() else 0
