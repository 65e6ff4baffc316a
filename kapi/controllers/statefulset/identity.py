"""Names, labels and storage of a StatefulSet's numbered pods. Pure.

Source: k8s.io/kubernetes `pkg/controller/statefulset/stateful_set_utils.go`.
"""

import re

import orjson

from kapi.api.object import Object, labels_of, name_of, namespace_of
from kapi.controllers.hashes import fnv1, safe_encode
from kapi.controllers.history.plan import POD_REVISION, snapshot, template_of
from kapi.controllers.pods import pod_from_template

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
REVISION_HASH_LABEL = "controller.kubernetes.io/hash"

_POD_NAME = re.compile(r"(.*)-([0-9]+)", re.DOTALL)
# As in Go's JSON, which is what upstream hashes.
_ESCAPED = ((b"&", b"\\u0026"), (b"<", b"\\u003c"), (b">", b"\\u003e"))


def ordinal_of(set_name: str, pod_name: str) -> int | None:
    """The number of a pod of this set; None for any other name."""
    match = _POD_NAME.fullmatch(pod_name)
    if match is None or match[1] != set_name:
        return None
    ordinal = int(match[2])
    return ordinal if ordinal < 2**31 else None


def is_member(stateful_set: Object, pod: Object) -> bool:
    return ordinal_of(name_of(stateful_set), name_of(pod)) is not None


def start_of(stateful_set: Object) -> int:
    return int((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def ordinals(stateful_set: Object) -> range:
    """The numbers of the pods that there should be."""
    start = start_of(stateful_set)
    return range(start, start + int(stateful_set["spec"].get("replicas", 1)))


def revision_hash(stateful_set: Object, collision_count: int | None) -> str:
    """Of the recorded template; another one for each collision count."""
    data = orjson.dumps(snapshot(stateful_set), option=orjson.OPT_SORT_KEYS)
    for plain, escaped in _ESCAPED:
        data = data.replace(plain, escaped)
    return safe_encode(fnv1(data + str(collision_count or 0).encode()))


def revision_of(pod: Object) -> str:
    """The name of the revision that the pod was made from."""
    return labels_of(pod).get(POD_REVISION, "")


def new_pod(stateful_set: Object, revision: Object, ordinal: int) -> Object:
    """The pod with this number, from the template that `revision` recorded."""
    pod = pod_from_template(template_of(revision), stateful_set)
    name = f"{name_of(stateful_set)}-{ordinal}"
    metadata = pod["metadata"]
    metadata["name"] = name
    metadata["namespace"] = namespace_of(stateful_set)
    metadata["labels"] = {
        **metadata.get("labels", {}),
        **identity_labels(name, ordinal),
        POD_REVISION: name_of(revision),
    }
    pod["spec"] = {
        **pod["spec"],
        "hostname": name,
        "subdomain": stateful_set["spec"].get("serviceName") or "",
    }
    volumes = _volumes(stateful_set, pod["spec"].get("volumes") or [], ordinal)
    if volumes:
        pod["spec"]["volumes"] = volumes
    return pod


def identity_labels(pod_name: str, ordinal: int) -> dict[str, str]:
    return {POD_NAME_LABEL: pod_name, POD_INDEX_LABEL: str(ordinal)}


def claim_name(stateful_set: Object, template: Object, ordinal: int) -> str:
    return f"{name_of(template)}-{name_of(stateful_set)}-{ordinal}"


def claim_templates(stateful_set: Object) -> list[Object]:
    return list(stateful_set["spec"].get("volumeClaimTemplates") or ())


def _volumes(stateful_set: Object, given: list[Object], ordinal: int) -> list[Object]:
    """The claims come first and replace volumes of the same name."""
    claims = {
        name_of(template): {
            "name": name_of(template),
            "persistentVolumeClaim": {"claimName": claim_name(stateful_set, template, ordinal)},
        }
        for template in claim_templates(stateful_set)
    }
    return [*claims.values(), *(volume for volume in given if volume["name"] not in claims)]
