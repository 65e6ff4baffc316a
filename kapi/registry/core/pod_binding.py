"""Binding a pod to a node: what POST pods/<name>/binding does to the pod.

Source: `assignPod` and `setPodNodeAndMetadata` in k8s.io/kubernetes
`pkg/registry/core/pod/storage/storage.go`.
"""

from kapi import env
from kapi.api.errors import (
    ApiError,
    BadRequest,
    Conflict,
    FieldError,
    UntypedError,
    not_supported,
    required,
    resource_conflict,
)
from kapi.api.object import Object, clone, condition_of, is_deleting, metadata, name_of, uid_of


def bind(pod: Object, binding: Object) -> Object:
    """The pod as it is once `binding` has been carried out; `pod` is not changed.

    Raises BadRequest (names differ), Conflict (wrong uid, already bound, being deleted, gated)
    and InternalError for a target that is not a node, as upstream does.
    """
    name = name_of(pod)
    if name_of(binding) and name_of(binding) != name:
        raise BadRequest("name in URL does not match name in Binding object")
    check_binding(binding)
    node = str(binding["target"]["name"])
    wanted_uid = uid_of(binding)
    if wanted_uid and wanted_uid != uid_of(pod):
        raise _uid_conflict(pod, wanted_uid)
    wanted_revision = metadata(binding).get("resourceVersion")
    if wanted_revision and wanted_revision != metadata(pod).get("resourceVersion"):
        raise resource_conflict("pods", "", name)
    why = _refusal(pod)
    if why:
        raise _binding_conflict(name, why)
    bound = clone(pod)
    bound["spec"]["nodeName"] = node
    annotations = metadata(binding).get("annotations")
    if annotations:
        metadata(bound)["annotations"] = {**(metadata(pod).get("annotations") or {}), **annotations}
    labels = metadata(binding).get("labels")
    if labels:
        metadata(bound)["labels"] = {**(metadata(pod).get("labels") or {}), **labels}
    _mark_scheduled(bound.setdefault("status", {}))
    return bound


def check_binding(binding: Object) -> None:
    """Raises upstream's plain error when the target is no node."""
    complaints = validate_binding(binding)
    if complaints:
        raise _aggregate(complaints)


def validate_binding(binding: Object) -> list[FieldError]:
    """Complaints about the target, which must be a node."""
    target = binding.get("target") or {}
    errors = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        errors.append(required("target.name"))
    return errors


def _aggregate(complaints: list[FieldError]) -> ApiError:
    texts = [str(item) for item in complaints]
    return UntypedError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def _refusal(pod: Object) -> str:
    name = name_of(pod)
    if is_deleting(pod):
        return f"pod {name} is being deleted, cannot be assigned to a host"
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    if spec.get("schedulingGates"):
        return f"pod {name} has non-empty .spec.schedulingGates"
    return ""


def _binding_conflict(name: str, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
        details={"name": name, "kind": "pods/binding"},
    )


def _uid_conflict(pod: Object, wanted: str) -> Conflict:
    namespace, name = metadata(pod).get("namespace", ""), name_of(pod)
    return resource_conflict(
        "pods",
        "",
        name,
        f"StorageError: invalid object, Code: 4, Key: /registry/pods/{namespace}/{name}, "
        "ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
        f"UID in precondition: {wanted}, UID in object meta: {uid_of(pod)}",
    )


def _mark_scheduled(status: Object) -> None:
    status.pop("nominatedNodeName", None)
    conditions = status.setdefault("conditions", [])
    scheduled = condition_of(conditions, "PodScheduled")
    if scheduled is None:
        conditions.append(
            {
                "type": "PodScheduled",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": env.timestamp(),
            }
        )
        return
    if scheduled.get("status") != "True":
        scheduled["lastTransitionTime"] = env.timestamp()
    scheduled["status"] = "True"
    for field in ("reason", "message"):
        scheduled.pop(field, None)
