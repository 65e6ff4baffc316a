"""Templates, hashes, revision numbers and the annotations that carry them. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from kapi.api.object import Object, annotations_of, labels_of, name_of, owner_reference
from kapi.controllers.hashes import fnv1a, safe_encode

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO = "deprecated.deployment.rollback.to"

_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        ROLLBACK_TO,
    }
)
_MAX_HISTORY_CHARS = 2000
_MAX_NAME = 253


def template_hash(template: Object, collision_count: int | None) -> str:
    """A short stable name for a template; another one for each collision count.

    The shape is upstream's (FNV-1a, its safe alphabet); the value cannot be, as upstream hashes
    a Go memory dump.
    """
    value = fnv1a(orjson.dumps(_comparable(template), option=orjson.OPT_SORT_KEYS))
    if collision_count is not None:
        value = fnv1a(collision_count.to_bytes(4, "little") + bytes(4), value)
    return safe_encode(value)


def _comparable(template: Object) -> Object:
    metadata = {
        key: value
        for key, value in (template.get("metadata") or {}).items()
        if value and key != "creationTimestamp"
    }
    labels = {k: v for k, v in (metadata.pop("labels", None) or {}).items() if k != HASH_LABEL}
    if labels:
        metadata["labels"] = labels
    return {"metadata": metadata, "spec": template.get("spec")}


def same_template(one: Object, other: Object) -> bool:
    """Equal, apart from the hash label."""
    return _comparable(one) == _comparable(other)


def by_age(replica_sets: Iterable[Object]) -> list[Object]:
    """Oldest first, ties by name."""
    return sorted(
        replica_sets, key=lambda rs: (rs["metadata"].get("creationTimestamp") or "~", name_of(rs))
    )


def find_new(deployment: Object, replica_sets: Sequence[Object]) -> Object | None:
    """The oldest ReplicaSet that has the deployment's template."""
    template = deployment["spec"]["template"]
    for replica_set in by_age(replica_sets):
        if same_template(replica_set["spec"]["template"], template):
            return replica_set
    return None


def revision_of(obj: Object) -> int:
    """The revision annotation; 0 if absent or not a number."""
    try:
        return int(annotations_of(obj).get(REVISION, ""))
    except ValueError:
        return 0


def max_revision(replica_sets: Iterable[Object]) -> int:
    return max((revision_of(rs) for rs in replica_sets), default=0)


def last_revision(replica_sets: Iterable[Object]) -> int:
    """The second highest revision, which `rollback to 0` means; 0 if there is none."""
    highest = second = 0
    for replica_set in replica_sets:
        value = revision_of(replica_set)
        if value >= highest:
            highest, second = value, highest
        elif value > second:
            second = value
    return second


def new_annotations(
    deployment: Object, existing: dict[str, str] | None, revision: int
) -> dict[str, str]:
    """The annotations of the new ReplicaSet: the deployment's, and its place in history.

    Annotations removed from the deployment stay on the ReplicaSet, as upstream has it. A
    ReplicaSet that returns (a rollback by template) gets the new number and remembers its old.
    """
    found = dict(existing or {})
    for key, value in annotations_of(deployment).items():
        if key not in _NOT_COPIED:
            found[key] = value
    before = found.get(REVISION, "")
    if before and not before.isdigit():
        return found
    if int(before or 0) < revision:
        found[REVISION] = str(revision)
        if before:
            found[REVISION_HISTORY] = _longer_history(found.get(REVISION_HISTORY, ""), before)
    return found


def _longer_history(history: str, revision: str) -> str:
    numbers = [*filter(None, history.split(",")), revision]
    while len(",".join(numbers)) > _MAX_HISTORY_CHARS:
        numbers.pop(0)
    return ",".join(numbers)


def new_replica_set(deployment: Object, replicas: int, annotations: dict[str, str]) -> Object:
    """The ReplicaSet to create for the current template; its name is deterministic."""
    spec = deployment["spec"]
    template: dict[str, Any] = spec["template"]
    count = (deployment.get("status") or {}).get("collisionCount")
    suffix = template_hash(template, count)
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: suffix}
    selector = dict(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: suffix}
    metadata = {**(template.get("metadata") or {}), "labels": labels}
    name = f"{name_of(deployment)[: _MAX_NAME - len(suffix) - 1]}-{suffix}"
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": deployment["metadata"]["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": spec.get("minReadySeconds") or 0,
            "selector": selector,
            "template": {**template, "metadata": metadata},
        },
    }


def template_for_rollback(replica_set: Object) -> Object:
    """The template of an old ReplicaSet as the deployment had it."""
    template = replica_set["spec"]["template"]
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {
        k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL
    }
    return {**template, "metadata": metadata}


def annotations_for_rollback(deployment: Object, replica_set: Object) -> dict[str, str]:
    """The deployment's own bookkeeping annotations with the rest taken from the ReplicaSet."""
    kept = {k: v for k, v in annotations_of(deployment).items() if k in _NOT_COPIED}
    taken = {k: v for k, v in annotations_of(replica_set).items() if k not in _NOT_COPIED}
    kept.pop(ROLLBACK_TO, None)
    return {**taken, **kept}


def pod_labels(replica_set: Object) -> dict[str, str]:
    return labels_of(replica_set["spec"]["template"])
